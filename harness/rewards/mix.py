"""The reward mix: named functions, weighted and added up."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev

from evals.base.errors import UsageError
from evals.rollout import Rollout, Score
from harness.config import RewardTerm
from harness.rewards.custom import CustomReward
from harness.rewards.registry import JUDGE, REWARD_MODEL, GroupReward, function_of, load, make_reward, names

Weights = Mapping[str, float | RewardTerm]

STD_EPSILON = 1e-4
"""Added to a group's standard deviation under ``normalize`` (TRL's value)."""


@dataclass(frozen=True)
class Mix:
    """Weighted reward functions. A weight of 0 still measures: the value is logged and does not count."""

    terms: Mapping[str, RewardTerm]
    functions: Mapping[str, GroupReward]

    def score_step(self, groups: Sequence[Sequence[Rollout]], step: int = 1) -> list[list[Score]]:
        """``score`` for each of a step's groups (in a job of several processes: of this one's share).

        Raises:
            JobError: a function of one's own failed on every completion.
        """
        own = [function for function in self.functions.values() if isinstance(function, CustomReward)]
        for function in own:
            function.begin_step()
        scores = [self.score(group, step) for group in groups]
        for function in own:
            function.end_step()
        return scores

    def score(self, group: Sequence[Rollout], step: int = 1) -> list[Score]:
        """One score per completion of a group, in order, with the weights of the stage's step ``step``."""
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


def check_names(weights: Weights, some_count: bool = True) -> None:
    """Refuses a mix that cannot work, before anything is loaded.

    ``some_count``: one that only measures is no use, or is (where something else is learned).

    Raises:
        UsageError: a name that is no reward function, settings that it does not take, a weight that is no
            finite number, no weight at all, or a gate that is not in the mix.
    """
    for name, entry in weights.items():
        if not isinstance(entry, RewardTerm) and not math.isfinite(entry):
            raise UsageError(f"rewards.{name}: the weight must be a finite number, got {entry}")
        term = RewardTerm.of(entry)
        function = function_of(name, term)
        if function not in (REWARD_MODEL, JUDGE):
            load(name, term)
        elif term.settings:
            raise UsageError(f"rewards.{name}.settings: settings of {function} go next to its weight")
        if term.when and term.when not in weights:
            raise UsageError(
                f"rewards.{name}.when: {term.when!r} is not in the mix; accepted: {', '.join(weights)}"
            )
        if (function == REWARD_MODEL) != bool(term.model):
            raise UsageError(
                f"rewards.{name}.model: required by {REWARD_MODEL}, and accepted by no other function"
            )
        if function != JUDGE and (term.rubric or term.requests or term.pairwise):
            raise UsageError(
                f"rewards.{name}: rubric, requests and pairwise only apply to the reward {JUDGE!r}"
            )
    if some_count and not any(RewardTerm.of(entry).counts for entry in weights.values()):
        raise UsageError(f"rewards: at least one weight must be non-zero; functions: {', '.join(names())}")


def make_mix(weights: Weights, judge_requests: Path | None = None, some_count: bool = True) -> Mix:
    """The mix of an experiment's ``[stages.rewards]`` table; ``some_count`` as in ``check_names``.

    ``judge_requests`` is where the requests to a judge are counted, for all processes and launches together.

    Raises:
        UsageError: as ``check_names``.
    """
    check_names(weights, some_count)
    terms = {name: RewardTerm.of(entry) for name, entry in weights.items()}
    return Mix(terms, {name: make_reward(name, term, judge_requests) for name, term in terms.items()})
