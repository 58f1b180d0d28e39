"""The reward mix: named functions, weighted and added up."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from harness.config import RewardTerm
from harness.errors import UsageError
from harness.rewards.accuracy import accuracy
from harness.rewards.attempt import Attempt
from harness.rewards.consistency import consistency
from harness.rewards.cosine import cosine
from harness.rewards.custom import is_custom, load_custom
from harness.rewards.format import format
from harness.rewards.judge import JudgeReward, PairwiseJudge
from harness.rewards.language import language
from harness.rewards.length import length, overlong
from harness.rewards.model import RewardModel
from harness.rewards.repetition import repetition

Reward = Callable[[Attempt], float | None]
GroupReward = Callable[[Sequence[Attempt]], Sequence[float | None]]
Weights = Mapping[str, float | RewardTerm]

REWARDS: Mapping[str, Reward] = {
    "accuracy": accuracy,
    "format": format,
    "length": length,
    "language": language,
    "overlong": overlong,
    "cosine": cosine,
    "repetition": repetition,
    "consistency": consistency,
}
REWARD_MODEL, JUDGE = "reward_model", "judge"
STD_EPSILON = 1e-4
"""Added to a group's standard deviation under ``normalize`` (TRL's value)."""


@dataclass(frozen=True)
class Score:
    """One completion's reward: each function's value (None: it could not score this one) and their sum.

    ``parts`` are the functions' own values, before gates, normalisation and weights. ``total`` is the
    weighted sum, NaN where a function that counts could not score: such a completion takes no part in its
    group's baseline and gets advantage 0 (TRL would add up the others, and so punish it).
    """

    parts: Mapping[str, float | None]
    total: float


@dataclass(frozen=True)
class Mix:
    """Weighted reward functions. A weight of 0 still measures: the value is logged and does not count."""

    terms: Mapping[str, RewardTerm]
    functions: Mapping[str, GroupReward]

    def score(self, group: Sequence[Attempt], step: int = 1) -> list[Score]:
        """One score per completion of a group, in order, with the weights of training step ``step``."""
        parts = {name: list(function(group)) for name, function in self.functions.items()}
        counted = [
            [value if value is None else weight * value for value in _shaped(term, parts, name)]
            for name, term in self.terms.items()
            if (weight := term.weight_at(step))
        ]
        return [
            Score(
                {name: values[place] for name, values in parts.items()},
                math.fsum(math.nan if column[place] is None else column[place] for column in counted),  # type: ignore[misc]
            )
            for place in range(len(group))
        ]


def _shaped(term: RewardTerm, parts: Mapping[str, list[float | None]], name: str) -> list[float | None]:
    """A function's values behind its gate and, with ``normalize``, on its group's scale."""
    values = parts[name]
    if term.when:
        values = [_gated(value, gate) for value, gate in zip(values, parts[term.when], strict=True)]
    return _standardised(values) if term.normalize else values


def _gated(value: float | None, gate: float | None) -> float | None:
    if value is None or gate is None:
        return None
    return value if gate > 0 else 0.0


def _standardised(values: Sequence[float | None]) -> list[float | None]:
    scored = [value for value in values if value is not None]
    if len(scored) < 2:
        return [None if value is None else 0.0 for value in values]
    mean, scale = fmean(scored), stdev(scored) + STD_EPSILON
    return [None if value is None else (value - mean) / scale for value in values]


def _each(reward: Reward) -> GroupReward:
    return lambda group: [reward(attempt) for attempt in group]


def names() -> list[str]:
    """The reward functions that an experiment can name, besides ``module:function``."""
    return [*REWARDS, REWARD_MODEL, JUDGE]


def check_names(weights: Weights) -> None:
    """Refuses a mix that cannot work, before anything is loaded.

    Raises:
        UsageError: a name that is no reward function, a weight that is no finite number, no weight at all, or
            a gate that is not in the mix.
    """
    accepted = f"{', '.join(names())}, or module:function for one of your own"
    for name, entry in weights.items():
        term = RewardTerm.of(entry)
        if is_custom(name):
            load_custom(name)
        elif name not in names():
            raise UsageError(f"rewards.{name}: no such reward function; accepted: {accepted}")
        if not math.isfinite(term.weight):
            raise UsageError(f"rewards.{name}: the weight must be a finite number, got {term.weight}")
        if term.when and term.when not in weights:
            raise UsageError(
                f"rewards.{name}.when: {term.when!r} is not in the mix; accepted: {', '.join(weights)}"
            )
        if (name == REWARD_MODEL) != bool(term.model):
            raise UsageError(f"rewards.{name}.model: {REWARD_MODEL} needs it, and no other function takes it")
        if name != JUDGE and (term.rubric or term.requests or term.pairwise):
            raise UsageError(f"rewards.{name}: rubric, requests and pairwise are for the reward {JUDGE!r}")
    if not any(RewardTerm.of(entry).counts for entry in weights.values()):
        raise UsageError(f"rewards: at least one weight must differ from 0; functions: {accepted}")


def make_mix(weights: Weights) -> Mix:
    """The mix of an experiment's ``[stages.rewards]`` table.

    Raises:
        UsageError: as ``check_names``.
    """
    check_names(weights)
    terms = {name: RewardTerm.of(entry) for name, entry in weights.items()}
    return Mix(terms, {name: _function(name, term) for name, term in terms.items()})


def _function(name: str, term: RewardTerm) -> GroupReward:
    if name == REWARD_MODEL:
        return RewardModel(term.model)
    if name == JUDGE:
        return (PairwiseJudge if term.pairwise else JudgeReward)(term.rubric, term.requests)
    return _each(load_custom(name) if is_custom(name) else REWARDS[name])
