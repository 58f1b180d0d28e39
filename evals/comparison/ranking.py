"""Many models on one benchmark: their order, and which of them do not differ significantly.

The best of forty noisy figures is flattered by luck, so neighbours in a table mean little. Every pair is
tested on the questions that all models answered, corrected for there being so many pairs.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from evals.comparison.compare import SIGNIFICANT, Arm, compare_pair, holm
from evals.stats import intervals, metrics
from evals.stats.intervals import Estimate
from evals.task import TaskError


@dataclass(frozen=True)
class Place:
    """One model's place, by pass@1.

    ``best`` is 1 more than the number of models that are significantly better, ``worst`` is where those that
    are significantly worse begin: the ranks that the tests leave open. ``group`` counts from 1: its members
    do not differ significantly from the first of the group. Two other members may well differ, and the last
    of one group need not differ from the first of the next.
    """

    name: str
    estimate: Estimate
    best: int
    worst: int
    group: int


def rank(arms: Sequence[Arm], benchmark: str) -> tuple[Place, ...]:
    """The places of ``arms`` by pass@1 on the questions that all of them answered, the highest first.

    Raises:
        TaskError: fewer than two questions are common to all.
    """
    tables = [[{q.id: q for q in seed[benchmark].questions} for seed in arm.seeds] for arm in arms]
    every = [table for seeds in tables for table in seeds]
    shared = [name for name in every[0] if all(name in table for table in every)]
    if len(shared) < 2:
        raise TaskError(f"these models have fewer than two questions of {benchmark} in common")
    rates = np.array(
        [
            np.mean([metrics.pass_at_1([table[name] for name in shared]) for table in seeds], axis=0)
            for seeds in tables
        ]
    )
    order = np.argsort(-rates.mean(axis=1), kind="stable")
    arms, rates = [arms[i] for i in order], rates[order]
    differs = _differs(arms, rates, benchmark)
    group, leader, places = 0, 0, []
    for index, arm in enumerate(arms):
        if index == 0 or differs[leader, index]:
            group, leader = group + 1, index
        better, worse = int(differs[index, :index].sum()), int(differs[index, index + 1 :].sum())
        estimate = intervals.mean_estimate(rates[index])
        places.append(Place(arm.name, estimate, 1 + better, len(arms) - worse, group))
    return tuple(places)


def ranks(arms: Sequence[Arm]) -> dict[str, tuple[Place, ...]]:
    """The places on every benchmark that all of ``arms`` have, with two questions in common at least."""
    found = {}
    for benchmark in arms[0].benchmarks():
        if all(benchmark in arm.benchmarks() for arm in arms):
            with suppress(TaskError):
                found[benchmark] = rank(arms, benchmark)
    return found


def _differs(arms: Sequence[Arm], rates: NDArray[np.float64], benchmark: str) -> NDArray[np.bool_]:
    """Which pairs differ significantly, of all pairs together: symmetric, shape (arms, arms)."""
    if all(len(arm.seeds) == 1 for arm in arms):
        return intervals.pairwise_p_values(rates) < SIGNIFICANT
    found = np.zeros((len(arms), len(arms)), dtype=bool)
    pairs = list(combinations(range(len(arms)), 2))
    compared = holm([compare_pair(arms[i], arms[j], benchmark) for i, j in pairs])
    for (i, j), one in zip(pairs, compared, strict=True):
        found[i, j] = found[j, i] = one.significant
    return found
