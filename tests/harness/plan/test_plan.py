"""Plans against what runs then take, against published model sizes, and against slices of real lists."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.base import io
from evals.base.errors import UsageError
from evals.base.progress import Progress
from evals.task import TaskError
from evals.tasks.registry import load_spec
from harness.config import Budget, Experiment, OnPolicyDistill, Policy, read_experiment, validate
from harness.config.servers import Servers
from harness.config.shipped import experiment_file
from harness.models.architecture import architecture
from harness.models.devices import DEVICES
from harness.plan import plan as planning
from harness.plan.plan import plan_here, plan_on
from harness.plan.profile import Tried, first
from harness.plan.workload import assumed, work
from harness.sweep.executors import local
from harness.train.ledger import stage_costs
from harness.train.pipeline import run_experiment
from tests.harness.plan.planned import raw


@pytest.mark.parametrize(
    ("model", "billions"),
    [
        ("Qwen/Qwen2.5-0.5B", 0.49),
        ("Qwen/Qwen2.5-1.5B", 1.54),
        ("Qwen/Qwen2.5-7B-Instruct", 7.62),
        ("Qwen/Qwen2.5-32B", 32.8),
        ("meta-llama/Llama-3.2-1B", 1.24),
        ("meta-llama/Llama-3.2-3B", 3.21),
        ("meta-llama/Llama-3.1-8B", 8.03),
        ("deepseek-ai/DeepSeek-R1-Distill-Qwen-14B", 14.8),
        ("deepseek-ai/DeepSeek-R1-Distill-Llama-70B", 70.6),
    ],
)
def test_known_models_have_their_published_sizes(model: str, billions: float) -> None:
    assert architecture(Policy(model=model)).parameters / 1e9 == pytest.approx(billions, rel=0.01)


def test_a_model_that_is_not_known_is_refused() -> None:
    with pytest.raises(UsageError, match="neither a folder, nor in the local hub cache"):
        architecture(Policy(model="nobody/nothing"))


def test_tokens_and_flops_are_those_of_the_run(experiment: Experiment, tmp_path: Path) -> None:
    """With the lengths that the run turned out to have; prompts are counted by characters here."""
    run_experiment(experiment, tmp_path / "run", Progress(quiet=True))
    rows = list(io.read_lines(tmp_path / "run/metrics.jsonl"))
    costs = {cost.stage: cost for cost in stage_costs(tmp_path / "run", experiment.stages)}
    seen = {
        "reject": costs["reject"].tokens / 24,
        "sft": costs["sft"].tokens / 14,
        "grpo": sum(row["length"] for row in rows if row["stage"] == "grpo") / 6,
    }
    planned = {part.name: part for part in work(experiment, lambda part, most: seen.get(part) or most)}
    for name, cost in costs.items():
        part = planned[name]
        assert (part.sampled or part.learned) == pytest.approx(cost.tokens, rel=0.01)
    # A byte-level tokenizer: four times the assumed prompt tokens, so responses alone are compared.
    assert planned["grpo"].steps == 6
    assert planned["tiny-aime"].sampled == 30 * 2 * 12
    assert planned["grpo: dev"].sampled == pytest.approx(3 * 2 * seen["grpo"])


def test_a_budget_cuts_what_comes_last(tmp_path: Path, experiment: Experiment) -> None:
    whole = {part.name: part for part in work(experiment, assumed(10))}
    limit = whole["reject"].sampled + 0.5 * whole["sft"].learned
    cut = validate(raw(tmp_path / "policy", budget={"measure": "tokens", "limit": limit}), "test")
    parts = {part.name: part for part in work(cut, assumed(10))}
    assert parts["reject"] == whole["reject"]
    assert parts["sft"].learned == pytest.approx(0.5 * whole["sft"].learned)
    assert parts["grpo"].flops == 0
    assert parts["tiny-aime"] == whole["tiny-aime"]


def test_trying_it_out_measures_every_part(experiment: Experiment) -> None:
    found = plan_here(experiment, Progress(quiet=True), price=2.0)
    timed = {part.part: part.seconds for part in found.parts}
    assert set(timed) >= {"reject", "sft", "grpo", "grpo: dev", "tiny-aime"}
    assert all(value > 0 for value in timed.values())
    assert found.device_hours * 3600 == pytest.approx(sum(timed.values()))
    assert found.cost == pytest.approx(2 * found.device_hours)
    assert found.memory_gib > 0


def test_runs_are_tried_on_the_cores_that_they_will_have(
    experiment: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = {
        "trials": 5, "workers": 2, "confirm_seeds": 1, "confirm_top": 2, "confirm_steps": 18,
        "space": {"grpo.beta": [0.0, 0.01]},
    }  # fmt: skip
    swept = validate(raw(tmp_path / "policy", sweep=sweep), "test")
    tried: list[tuple[str, int | None]] = []

    def try_out(run: Experiment, progress: Progress, name: str, threads: int | None) -> Tried:
        tried.append((name, threads))
        return Tried({"grpo": 2.0}, {"grpo": 4.0}, rate=100.0, start=1.0, memory=1.0)

    monkeypatch.setattr(planning, "try_out", try_out)
    monkeypatch.setattr(local, "cores", lambda: 4)
    found = plan_here(swept, Progress(quiet=True), price=None)
    # The winner's and the other candidates' fresh seeds differ in nothing that is tried.
    assert tried == [("trial", 2), ("fresh seed", 4)]
    trial = sum(part.seconds for part in found.parts if part.run == "trial")
    others = sum(part.runs * part.seconds for part in found.parts if part.run != "trial")
    assert found.elapsed == pytest.approx(3 * trial + others)  # five trials, two at a time
    assert found.device_hours * 3600 == pytest.approx(5 * trial + others)
    assert found.to_json()["elapsed"] == found.elapsed


def test_a_sweep_counts_its_trials(experiment: Experiment, tmp_path: Path) -> None:
    sweep = {"trials": 5, "confirm_seeds": 2, "space": {"grpo.beta": [0.0, 0.01]}}
    swept = validate(raw(tmp_path / "policy", sweep=sweep), "test")
    runs = {part.run: part.runs for part in plan_on(swept, DEVICES["h100"], 1, 10, None).parts}
    assert runs == {"trial": 5, "fresh seed": 2, "base": 1}


def test_only_runs_that_are_measured_have_benchmarks_and_fresh_seeds_their_own_steps(
    experiment: Experiment, tmp_path: Path
) -> None:
    sweep = {
        "trials": 5, "confirm_seeds": 2, "confirm_top": 3, "confirm_steps": 18,
        "space": {"grpo.beta": [0.0, 0.01]},
    }  # fmt: skip
    swept = validate(raw(tmp_path / "policy", sweep=sweep), "test")
    found = plan_on(swept, DEVICES["h100"], 1, 10, None).parts
    assert {part.run: part.runs for part in found} == {
        "trial": 5, "fresh seed": 2, "fresh seed, not chosen": 4, "base": 1,
    }  # fmt: skip
    assert {part.run for part in found if part.part == "tiny-aime"} == {"fresh seed", "base"}
    steps = {part.run: part.steps for part in found if part.part == "grpo"}
    assert steps == {"trial": 6, "fresh seed": 18, "fresh seed, not chosen": 18}


def test_the_controls_of_a_sweeps_winner_are_counted(experiment: Experiment, tmp_path: Path) -> None:
    sweep = {"objective": "tiny-aime/pass@1", "trials": 2, "confirm_seeds": 3, "confirm_steps": 8}
    space = {"grpo.learning_rate": {"low": 1e-4, "high": 1e-3}}
    swept = raw(tmp_path / "policy", sweep={**sweep, "space": space}, controls={"rewards": ["random"]})
    parts = plan_on(validate(swept, "test"), DEVICES["h100"], 1, 10.0, None).parts
    runs = {part.run: part.runs for part in parts}
    assert runs == {"trial": 2, "fresh seed": 3, "control: random": 3, "base": 1}
    measured = [part for part in parts if part.run == "control: random" and part.part == "tiny-aime"]
    assert len(measured) == 1


def test_benchmarks_between_stages_are_counted(experiment: Experiment, tmp_path: Path) -> None:
    """In trials too, and by trying it out, where they are not run."""
    changed = raw(tmp_path / "policy", sweep={"trials": 3, "space": {"grpo.beta": [0.0, 0.01]}})
    changed["stages"].insert(2, {"kind": "evaluate", "name": "between"})
    found = plan_on(validate(changed, "test"), DEVICES["h100"], 1, 10, None).parts
    assert [part.run for part in found if part.part == "between: tiny-aime"] == ["trial", "fresh seed"]
    del changed["sweep"], changed["stages"][:2]
    tried = plan_here(validate(changed, "test"), Progress(quiet=True), price=None)
    assert [part.part for part in tried.parts if "tiny-aime" in part.part] == [
        "between: tiny-aime",
        "tiny-aime",
    ]


def test_the_shipped_comparison_is_priced_without_its_models(data_folder: Path) -> None:
    experiment = read_experiment([experiment_file("distill-vs-rl")])
    found = plan_on(experiment, DEVICES["h100"], 1, None, 2.5)
    assert experiment.budget is not None
    trained = [part for part in found.parts if part.run == "rl" and part.part == "rl"]
    assert trained[0].flops == pytest.approx(experiment.budget.limit)
    assert found.cost == pytest.approx(2.5 * found.device_hours)
    assert experiment.compare is not None
    own = {name for name, arm in experiment.compare.arms.items() if not arm.control_of}
    assert len(own) < len(experiment.compare.arms)
    tuned = {part.run for part in found.parts if part.run.endswith(": tuning")}
    assert tuned == {f"{name}: tuning" for name in own}  # controls have what their arms were tuned to
    assert 10 < found.device_hours < 10_000
    small = plan_on(experiment, DEVICES["rtx4090"], 1, None, None)
    assert "GiB per device" in small.warnings[0]


def test_the_devices_of_servers_are_paid_for(experiment: Experiment) -> None:
    apart = experiment.model_copy(
        update={"policy": experiment.policy.model_copy(update={"servers": Servers(count=3)})}
    )
    found = plan_on(apart, DEVICES["h100"], 1, None, None)
    trained = [part for part in found.parts if part.run != "base"]
    assert {part.devices for part in trained} == {4}
    hours = sum(part.devices * part.runs * part.seconds for part in found.parts) / 3600
    assert found.device_hours == pytest.approx(hours)
    assert "3 more for the servers" in found.basis


def test_benchmarks_are_priced_by_the_engine_that_samples_them(
    experiment: Experiment, tmp_path: Path
) -> None:
    own = raw(tmp_path / "policy")
    own["eval"]["engine"] = "vllm"
    parts = {part.name: part for part in work(validate(own, "test"), assumed(10))}
    assert parts["tiny-aime"].policy.engine.kind == "vllm"
    assert parts["grpo"].policy.engine.kind == "transformers"


@given(st.none() | st.integers(-40, 40), st.none() | st.integers(-40, 40), st.integers(1, 8))
def test_the_first_questions_of_a_slice(start: int | None, stop: int | None, count: int) -> None:
    spec = f"tiny-aime:test[{'' if start is None else start}:{'' if stop is None else stop}]"
    try:
        whole = load_spec(spec)[1]
    except TaskError:  # it selects nothing
        return
    assert load_spec(first(spec, count))[1] == whole[:count]
    assert load_spec(first("tiny-aime:test", count))[1] == load_spec("tiny-aime:test")[1][:count]


def test_a_teacher_that_reads_along_shares_the_budget_of_its_stage(experiment: Experiment) -> None:
    stage = OnPolicyDistill(
        teacher=Policy(model="tiny-teacher"), steps=10, completions_per_step=8, group_size=4, max_tokens=20
    )
    plain = experiment.model_copy(update={"stages": [stage], "budget": None})
    own, read = (part for part in work(plain, assumed(10)) if part.role == "train")
    student, teacher = architecture(plain.policy).shape, architecture(stage.teacher).shape
    prompt = round(own.prompt)
    once = 10 * 2 * student.forward(prompt, [10] * 4)
    assert (own.sampling_flops, own.learning_flops) == (once, 3 * once)
    assert read.flops == 10 * 2 * teacher.forward(prompt, [10] * 4)
    half = plain.model_copy(update={"budget": Budget(limit=(own.flops + read.flops) / 2)})
    less = [part for part in work(half, assumed(10)) if part.role == "train"]
    assert [part.steps for part in less] == [5, 5]
    assert sum(part.flops for part in less) == pytest.approx((own.flops + read.flops) / 2)
