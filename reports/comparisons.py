"""Which models differ, paired by question: the comparisons behind every "better" on the page.

The figures are those of evals/comparison/compare.py, the code of ``harness compare``; here is which of them a
page makes and which it refuses. Models that differ by their training seed alone are one side of a comparison,
whose interval is then for new seeds and new questions; the page shows each seed's own difference beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np

from evals.comparison.compare import Arm, Comparison, compare_pair, holm, protocols_differ
from evals.comparison.ranking import Place, rank
from reports.study import Evaluation, Study, some

SEVERAL = 4
"""From so many models on a benchmark on, they are ranked."""
CROWD = 8
"""Of more differences than that, a page tells what they amount to rather than each in a sentence."""
MANY = 100
"""Of more differences than that, tables begin with those with the first model."""


@dataclass(frozen=True)
class Comparisons:
    """All differences between the first of two models and the other, sentences on pairs that may not be
    compared, and the places of the models by benchmark where there are ``SEVERAL``."""

    differences: tuple[Comparison, ...]
    refused: tuple[str, ...]
    ranks: Mapping[str, tuple[Place, ...]] = field(default_factory=dict)

    def largest(self, benchmark: str) -> Comparison | None:
        """The comparison on a benchmark with the greatest difference in favour of its second model."""
        found = [one for one in self.differences if one.benchmark == benchmark]
        return max(found, key=lambda one: one.difference.value, default=None)

    @property
    def listed(self) -> Sequence[Comparison]:
        """All differences; of ``MANY`` those with the first model first, which a page has room for."""
        if len(self.differences) <= MANY:
            return self.differences
        return sorted(self.differences, key=lambda one: one.a != self.differences[0].a)

    @property
    def crowded(self) -> bool:
        """Whether there are more differences than a reader wants to be told one by one."""
        return len(self.differences) > CROWD


def compare(study: Study) -> Comparisons:
    """Every group against the baseline, benchmark by benchmark; arms against each other, too."""
    groups = sorted(study.groups(), key=lambda group: group != study.baseline())
    found: list[Comparison] = []
    apart: dict[tuple[str, str, str], list[str]] = {}  # (benchmark, first, why) -> those not compared with it
    for benchmark in study.benchmarks() if len(groups) > 1 else []:
        sides = {group: members(study, benchmark, group) for group in groups}
        for first, group in combinations(groups, 2) if study.arms else ((groups[0], g) for g in groups[1:]):
            baseline, others = sides[first], sides[group]
            if not baseline or not others:
                continue
            reason = incomparable([*baseline, *others])
            if not reason and len(shared_questions([*baseline, *others])) < 2:
                reason = "share too few questions"
            if reason:
                apart.setdefault((benchmark, first, reason), []).append(group)
            else:
                found.append(compare_pair(_arm(baseline), _arm(others), benchmark))
    refused = [
        f"{benchmark}: {some(others)} and {first} {reason}, so they are shown apart and not compared."
        for (benchmark, first, reason), others in apart.items()
    ]
    return Comparisons(tuple(holm(found)), tuple(refused), _ranks(study))


def _ranks(study: Study) -> dict[str, tuple[Place, ...]]:
    """The places by benchmark, where several models may all be compared; arms are compared pair by pair."""
    found: dict[str, tuple[Place, ...]] = {}
    for benchmark in study.benchmarks() if not study.arms else []:
        sides = [side for group in study.groups() if (side := members(study, benchmark, group))]
        everyone = [one for side in sides for one in side]
        if len(sides) >= SEVERAL and not incomparable(everyone) and len(shared_questions(everyone)) > 1:
            found[benchmark] = rank([_arm(side) for side in sides], benchmark)
    return found


def best(study: Study, benchmark: str) -> str | None:
    """The group that is better than every other on ``benchmark``, at 5% after Holm; None if there is none."""
    sides = [members(study, benchmark, group) for group in study.groups()]
    sides = [side for side in sides if side]
    everyone = [one for side in sides for one in side]
    if len(sides) < 2 or incomparable(everyone) or len(shared_questions(everyone)) < 2:
        return None
    top = max(sides, key=lambda side: np.mean([one.value for one in side]))
    against = holm([compare_pair(_arm(one), _arm(top), benchmark) for one in sides if one is not top])
    ahead = all(one.significant and one.difference.value > 0 for one in against)
    return top[0].group if ahead else None


def incomparable(evaluations: Sequence[Evaluation]) -> str:
    """Why these evaluations must not be compared; "" where they may."""
    scores = [one.measured for one in evaluations]
    if protocols_differ(scores):
        return "were sampled under different protocols"
    hashes = {one.data_hash for one in scores if one.data_hash}
    return "were given different questions" if len(hashes) > 1 else ""


def members(study: Study, benchmark: str, group: str) -> list[Evaluation]:
    """The evaluations of a group on one benchmark."""
    return [e for e in study.evaluations if e.benchmark == benchmark and e.group == group]


def shared_questions(evaluations: Sequence[Evaluation]) -> list[str]:
    """The questions that all of these evaluations have, in the first one's order."""
    return [key for key in evaluations[0].questions if all(key in one.questions for one in evaluations)]


def _arm(evaluations: Sequence[Evaluation]) -> Arm:
    return Arm(evaluations[0].group, tuple({one.benchmark: one.measured} for one in evaluations))
