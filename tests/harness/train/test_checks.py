"""What a run checks and reads before it trains."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch

from evals.base.errors import UsageError
from evals.base.progress import Progress
from evals.tasks import registry
from harness import config
from harness.config import GRPO, SFT, Data, Eval, Experiment, Reject
from harness.models.policy import Policy, load_policy, save_policy
from harness.train.checks import check_experiment, prepare_policy
from harness.train.pipeline import run_experiment

HEAVY = ("torch", "transformers", "peft", "vllm", "wandb", "scipy", "pandas", "py3langid", "optuna")


def experiment(policy: config.Policy, stages: list[Any], **more: Any) -> Experiment:
    data = Data(train="tiny-aime:train[:4]", dev="tiny-aime:dev[:2]", dev_samples=1)
    return Experiment(name="x", policy=policy, data=data, stages=stages, **more)


def test_importing_a_recipe_loads_no_library_that_trains() -> None:
    code = f"import sys, harness.train.checks; print(*[name for name in {HEAVY} if name in sys.modules])"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == ""


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine without a GPU, and the folder of a cache in which nothing has been built."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.mark.parametrize(
    ("policy", "stages", "key"),
    [
        (config.Policy(model="tiny", template="tags", device="cuda"), [GRPO()], "policy"),
        (
            config.Policy(model="tiny", template="tags"),
            [Reject(teacher=config.Policy(model="tiny-teacher", device="cuda")), SFT(data="reject")],
            r"reject\.teacher",
        ),
    ],
)
def test_a_gpu_that_is_not_there_is_missed_before_anything_is_built(
    no_gpu: Path, tmp_path: Path, policy: config.Policy, stages: list[Any], key: str
) -> None:
    made = experiment(policy, stages)
    with pytest.raises(UsageError, match=rf'{key}\.device is "cuda", but PyTorch finds no GPU'):
        run_experiment(made, tmp_path / "run", Progress(quiet=True))
    assert not no_gpu.exists()
    assert not (tmp_path / "run").exists()
    check_experiment(made, runs_here=False)  # a plan for another machine


def test_no_policy_is_built_for_a_gpu_that_is_not_there(no_gpu: Path) -> None:
    with pytest.raises(UsageError, match="finds no GPU"):
        prepare_policy(config.Policy(model="tiny", device="cuda"), Progress(quiet=True))
    assert not no_gpu.exists()


@pytest.mark.parametrize("setting", [{"eval_every": 5}, {"keep_best": True}])
@pytest.mark.parametrize("kind", ["grpo", "sft"])
def test_evaluations_without_dev_questions_are_refused(setting: dict[str, Any], kind: str) -> None:
    stage = GRPO(**setting) if kind == "grpo" else SFT(data="tiny-traces", **setting)
    made = experiment(config.Policy(model="tiny", template="tags"), [stage])
    check_experiment(made)
    bare = made.model_copy(update={"data": Data(train="tiny-aime:train[:4]")})
    with pytest.raises(UsageError, match=rf"{kind}\.{next(iter(setting))} has no effect without data\.dev"):
        check_experiment(bare)


def test_a_revision_of_what_is_built_here_is_refused(no_gpu: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"policy\.revision is for hub models"):
        load_policy(config.Policy(model="tiny", revision="main"))
    assert not no_gpu.exists()


def test_names_that_are_not_known_are_told_all_at_once() -> None:
    made = Experiment(
        name="x",
        policy=config.Policy(model="tiny", template="tagz"),
        data=Data(train="tiny-aime:train[:4]", dev="tiny-mth:dev"),
        stages=[GRPO(rewards={"acuracy": 1.0})],
    )
    with pytest.raises(UsageError) as caught:
        check_experiment(made, runs_here=False)
    told = str(caught.value)
    for meant in ("tags", "accuracy", "tiny-math"):
        assert f"did you mean '{meant}'?" in told
    assert len(told.splitlines()) == 3


def test_settings_of_an_advantage_that_do_not_fit_the_group_are_refused() -> None:
    chosen = {"kind": "pass_at_k", "k": 9}
    made = experiment(config.Policy(model="tiny"), [GRPO(advantage=chosen, group_size=8)])  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"grpo\.advantage\.k \(9\) must be at most grpo\.group_size \(8\)"):
        check_experiment(made)


def test_copies_of_the_weights_are_for_servers() -> None:
    copied = {"kind": "vllm", "data_parallel": 2}
    servers = config.Policy(model="tiny", template="tags", engine=copied, servers={"count": 1})
    check_experiment(experiment(servers, [GRPO()]))
    alone = config.Policy(model="tiny", template="tags", engine=copied)
    with pytest.raises(UsageError, match=r"policy\.engine\.data_parallel: one process runs one copy"):
        check_experiment(experiment(alone, [GRPO()]))
    measured = Eval(benchmarks=["tiny-aime"], engine=copied)
    with pytest.raises(UsageError, match=r"eval\.engine\.data_parallel: one process runs one copy"):
        check_experiment(experiment(config.Policy(model="tiny", template="tags"), [GRPO()], eval=measured))


def test_samples_of_a_benchmark_that_is_not_measured_are_refused() -> None:
    made = experiment(
        config.Policy(model="tiny", template="tags"),
        [GRPO()],
        eval=Eval(benchmarks=["tiny-aime"], samples={"tiny-amie": 4}),
    )
    with pytest.raises(UsageError, match=r"eval\.samples\.tiny-amie: is not measured; accepted: tiny-aime"):
        check_experiment(made)


def test_a_run_reads_each_set_of_questions_once(
    tiny_random_policy: Policy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: Counter[str] = Counter()
    real = registry.Tasks.load_spec

    def counting(tasks: registry.Tasks, spec: str) -> Any:
        read[spec] += 1
        return real(tasks, spec)

    monkeypatch.setattr(registry.Tasks, "load_spec", counting)
    save_policy(tiny_random_policy, tmp_path / "policy")
    made = experiment(
        config.Policy(model=str(tmp_path / "policy"), template="tags"),
        [
            Reject(data=["tiny-aime:train[:3]"], samples=8, max_tokens=60, keep={}),
            SFT(data="reject", steps=1, batch_size=2, max_tokens=8),
            config.Evaluate(),
            SFT(name="again", data="reject", steps=1, batch_size=2, max_tokens=8),
        ],
        eval=Eval(benchmarks=["tiny-aime"], max_tokens=4),
    )
    assert run_experiment(made, tmp_path / "run", Progress(quiet=True)) == "done"
    specs = ("tiny-aime:train[:4]", "tiny-aime:dev[:2]", "tiny-aime:train[:3]", "tiny-aime")
    assert read == dict.fromkeys(specs, 1)
