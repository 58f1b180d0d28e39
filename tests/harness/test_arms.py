"""Arms of one policy, trained in processes of their own and compared: whole, resumed, refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.arms import arm_experiment, train_and_compare
from harness.config import Experiment, read_experiment, validate
from harness.errors import UsageError
from harness.policy import Policy, save_policy
from harness.progress import Progress
from harness.recipe import check_experiment
from harness.shipped import experiment_file

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
        ("rl", "base"), ("distilled", "base"), ("distilled", "rl"),
    ]  # fmt: skip
    assert result.comparisons[2].test == "t over seeds and questions"
    page = result.report.read_text(encoding="utf-8")
    assert "distilled, seed 2" in page
    assert "Accuracy against compute" in page

    before = {path: path.stat().st_mtime_ns for path in folder.glob("arms/*/*/*/metrics.jsonl")}
    assert len(before) == 4
    again = train_and_compare(experiment, folder, Progress(quiet=True))
    assert json.dumps(again.to_json()) == json.dumps(result.to_json())
    assert {path: path.stat().st_mtime_ns for path in before} == before
    other = experiment.model_copy(update={"seed": 7})
    with pytest.raises(UsageError, match="other arms or settings"):
        train_and_compare(other, folder, Progress(quiet=True))


def test_an_arm_is_an_experiment_of_its_own(experiment: Experiment) -> None:
    one = arm_experiment(experiment, "distilled", 5)
    assert (one.seed, one.sweep_of, one.compare) == (5, "arms", None)
    assert [stage.kind for stage in one.stages] == ["distill"]
    assert one.budget == experiment.budget


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"seeds": 0}, "compare.seeds"),
        ({"tuning_trials": 2}, r"arms\.rl\.space: with tuning_trials every arm is tuned"),
        ({"arms": {}}, "compare.arms"),
        ({"arms": {"base": {"stages": []}}}, "name the arm otherwise"),
    ],
)
def test_unfair_or_empty_comparisons_are_refused(change: dict[str, Any], told: str, tmp_path: Path) -> None:
    bad = raw(tmp_path, tmp_path)
    bad["compare"] |= change
    with pytest.raises(UsageError, match=told):
        validate(bad, "file.toml")


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
        check_experiment(arm_experiment(experiment, name, 1))
