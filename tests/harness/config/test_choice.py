"""A choice by name or as a table, and as a sweep sets it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from evals.base.errors import UsageError
from harness.config import Experiment, Reject, dump_toml, read_experiment
from harness.config.choice import Choice
from harness.config.load import set_key, validate
from harness.sweep.space_table import parse_space

RAW: dict[str, Any] = {
    "name": "x",
    "policy": {"model": "tiny"},
    "data": {"train": "tiny-math:train"},
    "stages": [{"kind": "grpo"}],
}


def made(**stage: Any) -> Experiment:
    return validate({**RAW, "stages": [{"kind": "grpo", **stage}]}, "x")


def test_a_name_and_a_table_read_back_as_they_were_written(tmp_path: Path) -> None:
    experiment = made(loss={"kind": "sapo", "temperature_positive": 2.0}, advantage="opo")
    text = dump_toml(experiment)
    assert 'engine = "transformers"' in text
    assert 'advantage = "opo"' in text
    (tmp_path / "x.toml").write_text(text)
    assert read_experiment([tmp_path / "x.toml"]) == experiment


def test_a_file_goes_by_its_absolute_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert made(loss="mine.py:f").stages[0].loss == Choice(kind=f"{tmp_path}/mine.py:f")  # type: ignore[union-attr]
    assert made(loss="package.module:f").stages[0].loss.kind == "package.module:f"  # type: ignore[union-attr]


def test_another_kind_drops_the_settings_of_the_one_before() -> None:
    raw: dict[str, Any] = {
        "stages": [{"kind": "grpo", "loss": {"kind": "sapo", "temperature_positive": 2.0}}]
    }
    set_key(raw, "grpo.loss.kind", "sapo")
    assert raw["stages"][0]["loss"] == {"kind": "sapo", "temperature_positive": 2.0}
    set_key(raw, "grpo.loss.kind", "gmpo")
    set_key(raw, "grpo.loss.low", 0.1)
    assert raw["stages"][0]["loss"] == {"kind": "gmpo", "low": 0.1}
    plain: dict[str, Any] = {"stages": [{"kind": "grpo", "loss": "clip"}]}
    set_key(plain, "grpo.loss.kind", "cispo")
    assert plain["stages"][0]["loss"] == {"kind": "cispo"}


def test_a_sweep_over_losses_and_the_settings_of_one() -> None:
    experiment = made()
    space = parse_space(
        {
            "grpo.loss.kind": ["clip", "sapo"],
            "grpo.loss.temperature_positive": {"low": 1.0, "high": 3.0, "when": {"grpo.loss.kind": "sapo"}},
        }
    )
    space.check(experiment)
    assert space.nearest(experiment) == {"grpo.loss.kind": "clip"}
    chosen = space.apply(experiment, {"grpo.loss.kind": "sapo", "grpo.loss.temperature_positive": 2.0})
    assert chosen.stages[0].loss == Choice(kind="sapo", temperature_positive=2.0)  # type: ignore[union-attr, call-arg]
    assert space.point_of(chosen, experiment) == {
        "grpo.loss.kind": "sapo",
        "grpo.loss.temperature_positive": 2.0,
    }


def test_a_sweep_over_losses_that_choose_tokens_and_their_settings() -> None:
    experiment = made(minibatches=2)
    space = parse_space(
        {
            "grpo.loss.kind": ["clip", "clip_cov", "kl_cov"],
            "grpo.loss.share": {
                "low": 1e-4,
                "high": 1e-2,
                "when": {"grpo.loss.kind": ["clip_cov", "kl_cov"]},
            },
            "grpo.loss.coefficient": {"choices": [0.1, 1.0], "when": {"grpo.loss.kind": "kl_cov"}},
        }
    )
    space.check(experiment)
    point = {"grpo.loss.kind": "kl_cov", "grpo.loss.share": 1e-3, "grpo.loss.coefficient": 0.1}
    chosen = space.apply(experiment, point)
    assert chosen.stages[0].loss == Choice(kind="kl_cov", share=1e-3, coefficient=0.1)  # type: ignore[union-attr, call-arg]
    assert space.point_of(chosen, experiment) == point


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("policy.engine", "vlm", "policy.engine: unknown engine 'vlm'; did you mean 'vllm'"),
        ("eval.engine", "sglang", "eval.engine: unknown engine 'sglang'; accepted: transformers, vllm"),
        ("grpo.advantage", "grup", "grpo.advantage: unknown advantage 'grup'; did you mean 'group'"),
        ("grpo.loss", {"low": 1}, "grpo.loss.kind: Field required"),
        ("grpo.loss", "sapo", r"grpo.epsilon has no effect with loss = 'sapo'"),
        ("grpo.loss", "kl_cov", r"grpo.epsilon has no effect with loss = 'kl_cov'"),
        ("grpo.advantage", "opo", r"grpo.baseline has no effect with advantage = 'opo'"),
    ],
)
def test_what_is_refused(key: str, value: Any, said: str) -> None:
    stage = {"kind": "grpo", "epsilon": 0.3, "baseline": "leave_one_out"}
    raw: dict[str, Any] = {**RAW, "policy": {"model": "tiny"}, "stages": [stage]}
    set_key(raw, key, value)
    with pytest.raises(UsageError, match=said):
        validate(raw, "x")


def test_files_are_named_in_full_wherever_an_experiment_names_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    raw = {
        "name": "x",
        "policy": {"model": "tiny", "template": "mine.py:asked"},
        "data": {"train": "own:all"},
        "tasks": {"own": {"source": "q.jsonl", "grader": "mine.py:right"}},
        "stages": [{"kind": "reject", "keep": {"accuracy": 1.0, "mine.py:short": 0.5}}],
    }
    experiment = validate(raw, where="x.toml")
    assert experiment.policy.template == f"{tmp_path}/mine.py:asked"
    assert experiment.tasks["own"].grader.kind == f"{tmp_path}/mine.py:right"
    (stage,) = experiment.stages
    assert isinstance(stage, Reject)
    assert list(stage.keep) == ["accuracy", f"{tmp_path}/mine.py:short"]
