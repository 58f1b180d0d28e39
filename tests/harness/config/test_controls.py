"""``[controls]``: the arms that it makes, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from evals.base.errors import UsageError
from harness.config import GRPO, Experiment, RewardTerm, validate
from harness.config.compare import arm_experiment, untrained
from harness.config.controls import controlled


def raw(**settings: Any) -> dict[str, Any]:
    rl = {
        "stages": [
            {"kind": "sft", "data": "tiny-traces"},
            {"name": "rl", "rewards": {"accuracy": 1.0, "format": 0.1}},
        ],
        "space": {"rl.learning_rate": [1e-4, 2e-4], "rl.rewards.format": [0.0, 0.5]},
    }
    sft = {"stages": [{"kind": "sft", "data": "tiny-traces"}], "space": {"sft.learning_rate": [1e-3, 2e-3]}}
    return {
        "name": "x",
        "policy": {"model": "tiny"},
        "data": {"train": "tiny-math"},
        "controls": {},
        "compare": {"tuning_trials": 2, "arms": {"rl": rl, "sft": sft}},
        **settings,
    }


def test_each_arm_that_learns_from_rewards_gets_two_controls() -> None:
    found = validate(raw(), where="here")
    assert found.compare is not None
    assert list(found.compare.arms) == ["rl", "sft", "rl-random", "rl-format"]
    for reward in ("random", "format"):
        arm = found.compare.arms[f"rl-{reward}"]
        assert arm.control_of == "rl"
        assert list(arm.space) == ["rl.learning_rate"]
        stage = arm.stages[1]
        assert isinstance(stage, GRPO)
        assert stage.rewards == {reward: 1.0}
        assert (
            stage.model_copy(update={"rewards": found.compare.arms["rl"].stages[1].rewards})
            == (  # type: ignore[union-attr]
                found.compare.arms["rl"].stages[1]
            )
        )
    assert list(untrained(found)) == ["base"]
    assert arm_experiment(found, "rl-random", 3).controls is None


def test_what_was_written_down_is_read_back() -> None:
    found = validate(raw(), where="here")
    again = Experiment.model_validate(found.model_dump(mode="json", exclude_none=True))
    assert again == found


def test_rewards_of_distillation_have_controls_only_where_they_count() -> None:
    stage: dict[str, Any] = {"kind": "on_policy_distill", "teacher": {"model": "tiny-teacher"}}
    rl = {"stages": [{"name": "rl"}]}
    for rewards, wanted in (({"accuracy": 1.0}, 4), ({"accuracy": 0.0}, 3), ({}, 3)):
        mixed = {**stage, **({"rewards": rewards} if rewards else {})}
        arms = {"rl": rl, "opd": {"stages": [mixed]}}
        told = raw(compare={"arms": arms}, controls={"rewards": ["random"]})
        found = validate(told, where="here")
        assert found.compare is not None
        assert len(found.compare.arms) == wanted
    assert RewardTerm.of(0.0).counts is False


SWEPT: dict[str, Any] = {
    "compare": None,
    "stages": [{"name": "rl", "rewards": {"accuracy": 1.0}}, {"kind": "sft", "data": "x.jsonl"}],
    "sweep": {"space": {"rl.beta": [0.0, 0.1]}},
    "eval": {"benchmarks": ["tiny-aime"]},
    "controls": {},
}


def test_a_sweep_s_winner_has_them_when_there_is_one() -> None:
    found = validate(raw(**SWEPT), where="here")
    assert found.controls is not None
    assert found.controls.rewards == ["random", "format"]
    assert found.compare is None
    first, second = controlled(found.stages, "random")
    assert first["rewards"] == {"random": 1.0}
    assert second["data"] == "x.jsonl"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"compare": None}, "there is no .compare. and no .sweep."),
        ({**SWEPT, "controls": {"arms": ["rl"]}}, "controls.arms has no effect on a sweep"),
        ({**SWEPT, "sweep": {"confirm_seeds": 0}}, "need sweep.confirm_seeds"),
        ({**SWEPT, "eval": {}}, "need eval.benchmarks"),
        ({**SWEPT, "stages": [{"kind": "sft", "data": "x.jsonl"}]}, "no stage learns from rewards"),
        ({"controls": {"arms": ["none"]}}, "there is no arm 'none'; accepted: rl, sft"),
        ({"controls": {"arms": ["sft"]}}, "where one of its stages learns from rewards"),
        ({"controls": {"rewards": ["luck"]}}, "random"),
    ],
)
def test_what_makes_no_sense_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        validate(raw(**settings), where="here")
