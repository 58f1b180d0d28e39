"""Arms of one policy, trained in processes of their own and compared: whole, resumed, refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evals.base import io
from evals.base.errors import UsageError
from evals.base.progress import Progress
from harness.config import Experiment, read_experiment, validate
from harness.config.compare import arm_experiment, tuning_experiment
from harness.config.shipped import experiment_file
from harness.jobs.compare import _prepare, train_and_compare
from harness.models.policy import Policy, save_policy
from harness.sweep.space_table import parse_space
from harness.train.checks import check_experiment
from harness.train.preflight import check_fit

SHORT = {"max_tokens": 24, "checkpoint_every": 50, "learning_rate": 1e-3}


def raw(policy: Path, teacher: Path) -> dict[str, Any]:
    rl = {"kind": "grpo", "name": "rl", "steps": 50, "completions_per_step": 8, "group_size": 4, **SHORT}
    answers = {"samples": 4, "max_tokens": 60, "keep": {}, "per_question": 4}
    distil = {
        "kind": "distill", "name": "distil", "teacher": {"model": str(teacher), "template": "tags"},
        "answers": answers, "steps": 50, "batch_size": 2, **SHORT,
    }  # fmt: skip
    return {
        "name": "arms",
        "policy": {"model": str(policy), "template": "tags"},
        "data": {"train": "tiny-aime:train[:6]", "dev": "tiny-aime:dev[:2]", "dev_samples": 1},
        "budget": {"measure": "tokens", "limit": 3000.0},
        "compare": {
            "seeds": 2,
            "workers": 2,
            "arms": {
                "rl": {"stages": [rl]},
                "distilled": {"stages": [distil]},
            },
        },
        "eval": {"benchmarks": ["tiny-aime"], "samples": 1, "max_tokens": 16, "temperature": 1.0},
        "tracking": {"wandb": "off"},
    }


@pytest.fixture
def experiment(make_random_policy: Callable[..., Policy], tmp_path: Path) -> Experiment:
    for seed, name in enumerate(("student", "teacher")):
        save_policy(make_random_policy(seed), tmp_path / name)
    return validate(raw(tmp_path / "student", tmp_path / "teacher"), "test")


@pytest.mark.slow
def test_arms_are_trained_to_their_budget_and_compared(experiment: Experiment, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    result = train_and_compare(experiment, folder, Progress(quiet=True))
    rows = {row.arm: row for row in result.rows}
    assert list(rows) == ["base", "rl", "distilled"]
    assert rows["rl"].seeds == 2
    for name in ("rl", "distilled"):
        assert 3000 <= rows[name].tokens < 3000 + 8 * 60  # the step that reaches the budget is its last
    assert rows["distilled"].teacher_flops > 0 == rows["rl"].teacher_flops
    assert [(c.a, c.b) for c in result.comparisons] == [
        ("base", "rl"), ("base", "distilled"), ("rl", "distilled"),
    ]  # fmt: skip
    assert result.comparisons[2].test == "t over seeds and questions"
    page = result.report.read_text(encoding="utf-8")
    assert "distilled, seed 2" in page
    assert "Accuracy against compute" in page

    before = {path: path.stat().st_mtime_ns for path in folder.glob("arms/*/*/*/metrics.jsonl")}
    assert len(before) == 4
    again = train_and_compare(experiment, folder, Progress(quiet=True))
    assert again.recorded() == result.recorded()
    assert {path: path.stat().st_mtime_ns for path in before} == before
    other = experiment.model_copy(update={"seed": 7})
    with pytest.raises(UsageError, match="other arms or settings"):
        train_and_compare(other, folder, Progress(quiet=True))


@pytest.mark.slow
def test_controls_and_on_policy_distillation_are_arms(
    make_random_policy: Callable[..., Policy], tmp_path: Path
) -> None:
    for seed, name in enumerate(("student", "teacher")):
        save_policy(make_random_policy(seed), tmp_path / name)
    told = raw(tmp_path / "student", tmp_path / "teacher")
    on_policy = {
        "kind": "on_policy_distill", "name": "on-policy", "teacher": {"model": str(tmp_path / "teacher")},
        "steps": 50, "completions_per_step": 8, "group_size": 4, **SHORT,
    }  # fmt: skip
    told["compare"]["arms"] = {"rl": told["compare"]["arms"]["rl"], "on-policy": {"stages": [on_policy]}}
    told["controls"] = {"rewards": ["random"]}
    result = train_and_compare(validate(told, "test"), tmp_path / "out", Progress(quiet=True))
    rows = {row.arm: row for row in result.rows}
    assert list(rows) == ["base", "rl", "on-policy", "rl-random"]
    assert rows["on-policy"].teacher_flops > 0
    assert rows["on-policy"].tokens >= 3000
    [control] = result.recorded().controls
    assert (control.arm, control.control, control.share) == ("rl", "rl-random", None)
    written = io.read_lines(next((tmp_path / "out/arms/rl-random").glob("*/*/metrics.jsonl")))
    assert any("reward/random" in row for row in written)
    assert "Is it real?" in result.report.read_text(encoding="utf-8")


def test_a_teacher_with_other_tokens_is_refused_before_any_arm_is_trained(
    make_random_policy: Callable[..., Policy], tmp_path: Path
) -> None:
    save_policy(make_random_policy(0), tmp_path / "student")
    other = make_random_policy(1)
    other.tokenizer.add_tokens(["<new>"])
    save_policy(other, tmp_path / "teacher")
    told = raw(tmp_path / "student", tmp_path / "teacher")
    stage = {
        "kind": "on_policy_distill", "teacher": {"model": str(tmp_path / "teacher")},
        "steps": 50, "completions_per_step": 8, "group_size": 4, **SHORT,
    }  # fmt: skip
    told["compare"]["arms"]["distilled"] = {"stages": [stage]}
    with pytest.raises(UsageError, match=r"on_policy_distill.teacher: .* has another tokenizer than"):
        train_and_compare(validate(told, "test"), tmp_path / "out", Progress(quiet=True))
    assert not (tmp_path / "out").exists()


def test_an_arm_is_an_experiment_of_its_own(experiment: Experiment) -> None:
    one = arm_experiment(experiment, "distilled", 5)
    assert (one.seed, one.sweep_of, one.compare) == (5, "arms", None)
    assert [stage.kind for stage in one.stages] == ["distill"]
    assert one.budget == experiment.budget


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"seeds": 0}, "compare.seeds"),
        ({"tuning_trials": 2}, r"arms\.rl\.space: either all arms are tuned"),
        ({"arms": {}}, "compare.arms"),
        ({"arms": {"base": {"stages": []}}}, "rename the arm"),
    ],
)
def test_unfair_or_empty_comparisons_are_refused(change: dict[str, Any], told: str, tmp_path: Path) -> None:
    bad = raw(tmp_path, tmp_path)
    bad["compare"] |= change
    with pytest.raises(UsageError, match=told):
        validate(bad, "file.toml")


@pytest.mark.parametrize(
    ("space", "told"),
    [
        ({"rl.group_size": [3]}, r"compare\.arms\.rl\.space with rl\.group_size = 3"),
        (
            {"rl.beta": {"low": 1.0}},
            r"compare\.arms\.rl\.space: rl\.beta: low, high and step must be numbers",
        ),
        ({"rl.rewards": {"presets": {"odd": {"acuracy": 1.0}}}}, "acuracy"),
        ({"policy.template": ["tags", "tgas"]}, "unknown template 'tgas'"),
    ],
)
def test_every_arms_space_is_read_before_anything_is_measured(
    make_random_policy: Callable[..., Policy], tmp_path: Path, space: dict[str, Any], told: str
) -> None:
    save_policy(make_random_policy(0), tmp_path / "policy")
    bad = raw(tmp_path / "policy", tmp_path / "policy")
    bad["compare"] |= {"tuning_trials": 2}
    bad["compare"]["arms"]["rl"]["space"] = space
    bad["compare"]["arms"]["distilled"]["space"] = {"distil.learning_rate": [1e-3, 1e-4]}
    with pytest.raises(UsageError, match=told):
        train_and_compare(validate(bad, "test"), tmp_path / "out", Progress(quiet=True))
    assert not (tmp_path / "out").exists()


def test_an_arm_that_evaluates_in_between_can_be_tuned(tmp_path: Path) -> None:
    tuned = raw(tmp_path, tmp_path)
    tuned["compare"]["tuning_trials"] = 2
    tuned["compare"]["hang_minutes"], tuned["compare"]["max_attempts"] = 90.0, 5
    for name, key in (("rl", "rl.beta"), ("distilled", "distil.learning_rate")):
        tuned["compare"]["arms"][name]["space"] = {key: [0.01, 0.02]}
    tuned["compare"]["arms"]["rl"]["stages"].append({"kind": "evaluate", "name": "after"})
    sweep = tuning_experiment(validate(tuned, "test"), "rl")
    assert sweep.sweep is not None
    assert (sweep.sweep.hang_minutes, sweep.sweep.max_attempts) == (90.0, 5)
    trial = parse_space(sweep.sweep.space).apply(sweep, {"rl.beta": 0.02})
    check_experiment(trial)
    assert (trial.eval.benchmarks, trial.stages[-1].benchmarks) == ([], ["tiny-aime"])


def test_a_policy_with_named_targets_can_be_prepared(tmp_path: Path) -> None:
    other = raw(tmp_path, tmp_path)
    own = {"model": str(tmp_path), "template": "tags", "lora": {"targets": ["q_proj"]}}
    other["compare"]["arms"]["rl"]["policy"] = own
    _prepare(validate(other, "test"), Progress(quiet=True))


def test_stages_beside_arms_are_refused(tmp_path: Path) -> None:
    bad = raw(tmp_path, tmp_path)
    bad["stages"] = [{"kind": "grpo"}]
    with pytest.raises(UsageError, match="leave out"):
        validate(bad, "file.toml")


def test_the_shipped_comparison_can_run() -> None:
    experiment = read_experiment([experiment_file("tiny-distill-vs-rl")])
    assert experiment.compare is not None
    assert experiment.compare.seeds >= 3
    for name in experiment.compare.arms:
        arm = arm_experiment(experiment, name, 1)
        sets = check_experiment(arm)
        check_fit(arm, sets.of(arm.data.train), sets.of(arm.data.dev))  # a teacher's tokenizer, too
