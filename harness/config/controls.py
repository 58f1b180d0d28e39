"""Controls of a comparison or a sweep: the same training for rewards that tell nothing of what is right."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, Field

from harness.config.table import Table


class Controls(Table):
    """Arms NAME-random, NAME-format and NAME-answered beside others, or beside a sweep's winner: the same
    settings and seeds, another reward.

    What such an arm gains was not taught by the rewards it is compared with ("Spurious Rewards",
    arXiv 2506.10947): the report says how much of the gain that is.
    """

    rewards: list[Literal["random", "format", "answered"]] = Field(["random", "format"], min_length=1)
    """What is rewarded in place of the arm's own rewards: a coin, the layout of the response alone
    (where the prompt asks for tags), or that there is an answer, right or wrong."""
    arms: list[str] = []
    """Of a comparison: whose controls; by default every arm's with a "grpo" stage."""


def with_controls(raw: Mapping[str, Any]) -> dict[str, Any]:
    """An experiment's raw tables with the arms that ``[controls]`` asks for; those there already stay.

    Those of a sweep are trained when it has a winner.

    Raises:
        ValueError: there is neither comparison nor sweep, or no such arm, or one that learns from no reward.
    """
    found = dict(raw)
    if raw.get("compare") is None and raw.get("sweep") is None:
        raise ValueError(
            "controls belong to a comparison or a sweep, and there is no [compare] and no [sweep]"
        )
    if raw.get("compare") is None:
        _check_sweep(raw)
        return found
    compare = _plain(raw["compare"])
    arms = {name: _plain(arm) for name, arm in _plain(compare.get("arms", {})).items()}
    settings = Controls.model_validate(_plain(raw["controls"]))
    own = [name for name, arm in arms.items() if not arm.get("control_of")]
    wanted = settings.arms or [name for name in own if _rewarded(arms[name])]
    for name in wanted:
        if name not in own:
            raise ValueError(f"controls.arms: there is no arm {name!r}; accepted: {', '.join(own)}")
    if not wanted or not all(_rewarded(arms[name]) for name in wanted):
        raise ValueError("controls: only arms with a stage that learns from rewards can have a control")
    for name in wanted:
        for reward in settings.rewards:
            arms.setdefault(f"{name}-{reward}", _control(name, arms[name], reward))
    return {**found, "compare": {**compare, "arms": arms}}


def controlled(stages: Sequence[Any], reward: str) -> list[dict[str, Any]]:
    """The stages, each that learns from rewards with ``reward`` alone in place of its own."""
    plain = [_plain(stage) for stage in stages]
    return [{**stage, "rewards": {reward: 1.0}} if _learns_from_rewards(stage) else stage for stage in plain]


def _check_sweep(raw: Mapping[str, Any]) -> None:
    settings, sweep = Controls.model_validate(_plain(raw["controls"])), _plain(raw["sweep"])
    if settings.arms:
        raise ValueError("controls.arms has no effect on a sweep: its winner has the controls")
    if not _rewarded(raw):
        raise ValueError("controls: no stage learns from rewards, so there is nothing to control")
    if sweep.get("confirm_seeds") == 0:
        raise ValueError("controls need sweep.confirm_seeds, with which the winner is trained again")
    if not _plain(raw.get("eval") or {}).get("benchmarks"):
        raise ValueError("controls need eval.benchmarks, on which gains are compared")


def _control(name: str, arm: Mapping[str, Any], reward: str) -> dict[str, Any]:
    """What tunes rewards is left out; everything else is the arm's."""
    space = {key: value for key, value in (arm.get("space") or {}).items() if ".rewards" not in key}
    return {
        **arm,
        "control_of": name,
        "space": space,
        "stages": controlled(arm["stages"], reward),
    }


def _rewarded(arm: Mapping[str, Any]) -> bool:
    stages = arm.get("stages")
    return isinstance(stages, list) and any(_learns_from_rewards(_plain(stage)) for stage in stages)


def _learns_from_rewards(stage: Mapping[str, Any]) -> bool:
    kind = stage.get("kind", "grpo")
    return kind == "grpo" or (kind == "on_policy_distill" and any(_weights(stage.get("rewards") or {})))


def _weights(rewards: Mapping[str, Any]) -> Iterator[bool]:
    for entry in rewards.values():
        term = _plain(entry) if not isinstance(entry, int | float) else {"weight": entry}
        yield bool(term.get("weight") or term.get("final"))


def _plain(table: Any) -> dict[str, Any]:
    """A table as a dict; {} for what is none, which is told with its key where it is read."""
    if isinstance(table, BaseModel):
        return table.model_dump(mode="json", exclude_none=True)
    return dict(table) if isinstance(table, Mapping) else {}
