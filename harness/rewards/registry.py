"""Reward functions by name: the contract of the registry "harness.rewards".

A reward is a function ``(rollout: Rollout) -> float | None``, or ``(rollout, settings)`` where it has
settings of its own (``evals.base.registry.takes``); None leaves the completion without a score. Decorated
with ``whole_group`` it gets a prompt's completions at once and returns a value for each, in order. A class is
made once a stage, with its settings, and its objects are called.

What one's own function raises, or returns that is not a finite number, leaves the completions concerned
without a score, said once; a function that fails on every completion of a step ends the run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from evals.base.errors import UsageError
from evals.rollout import Rollout
from harness.config import RewardTerm
from harness.config.kinds import REWARDS
from harness.rewards.custom import CustomReward

Reward = Callable[[Rollout], float | None]
GroupReward = Callable[[Sequence[Rollout]], Sequence[float | None]]
Thing = TypeVar("Thing")

REWARD_MODEL, JUDGE = "reward_model", "judge"
"""These two see whole groups, and take their settings from the term itself."""


def whole_group(thing: Thing) -> Thing:
    """Decorates a reward that compares a prompt's completions: it takes all of them, and returns a list."""
    thing.whole_group = True  # type: ignore[attr-defined]
    return thing


def names() -> list[str]:
    """The reward functions that an experiment can name, besides "file.py:name" and "module:name"."""
    return REWARDS.names()


def function_of(name: str, term: RewardTerm) -> str:
    """What the term called ``name`` looks up: its ``function``, by default the name itself."""
    return term.function or name


def make_reward(name: str, term: RewardTerm, judge_requests: Path | None = None) -> GroupReward:
    """The term's function over groups, its settings filled in.

    Raises:
        UsageError: nothing has this name, it cannot be loaded, or its settings are not what it takes.
    """
    function = function_of(name, term)
    # What these two need takes seconds to import.
    if function == REWARD_MODEL:
        from harness.rewards.reward_model import RewardModel

        return RewardModel(term.model)
    if function == JUDGE:
        from harness.rewards.judge import JudgeReward, PairwiseJudge
        from harness.rewards.judge_cache import Allowance

        allowance = Allowance(term.requests, judge_requests)
        return (PairwiseJudge if term.pairwise else JudgeReward)(term.rubric, allowance)
    made = load(name, term)
    whole = getattr(REWARDS.get(function), "whole_group", False)
    if function in REWARDS.built_in:
        return made if whole else lambda group: [made(rollout) for rollout in group]
    return CustomReward(name, made, whole_group=whole)


def single_reward(name: str) -> Reward:
    """A reward of one completion by its name alone, for the rules of a "reject" stage.

    Raises:
        UsageError: as ``make_reward``, or it compares the completions of a group.
    """
    if name == REWARD_MODEL or getattr(REWARDS.get(name), "whole_group", False):
        raise UsageError(
            f"{name}: scores whole groups or loads a model; choose a reward that scores single completions"
        )
    own = make_reward(name, RewardTerm(weight=1.0))
    return lambda rollout: own([rollout])[0]


def load(name: str, term: RewardTerm) -> Any:
    """What the term names, its settings filled in.

    Raises:
        UsageError: as ``make_reward``.
    """
    try:
        found = REWARDS.make(function_of(name, term), term.settings, f"rewards.{name}.settings")
    except UsageError as error:
        said = str(error)
        raise UsageError(said if said.startswith("rewards.") else f"rewards.{name}: {said}") from None
    if not callable(found):
        raise UsageError(f"rewards.{name}: {function_of(name, term)} is not a function")
    return found
