"""Which models differ, paired by question: the figures behind every "better" on the page.

Each question has one rate per group of models (the mean over its samples and, where a group holds several
training seeds, over the seeds); the difference of two groups is the mean over questions of the difference of
these rates. Between single models the interval is the paired one of evals/statistics.py, for new questions;
where a group has several seeds it is that of ``arms_estimate``, for new seeds and new questions, and the page
shows each seed's own difference beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from evals import statistics
from evals.compare import SIGNIFICANT, Flip
from reports.collect import Evaluation, Study


@dataclass(frozen=True)
class Difference:
    """``model`` minus ``reference`` on one benchmark, in fractions of 1, with its 95% interval.

    ``p_holm`` is corrected for all differences of the page. ``per_seed`` holds the difference of each model
    of the group. ``gained`` and ``lost`` count the questions with a higher and a lower rate; ``flips`` holds
    these, largest change first.
    """

    model: str
    reference: str
    benchmark: str
    questions: int
    model_value: float
    reference_value: float
    value: float
    stderr: float
    low: float
    high: float
    p: float
    p_holm: float
    per_seed: Mapping[str, float]
    gained: int
    lost: int
    flips: tuple[Flip, ...]

    @property
    def significant(self) -> bool:
        """Told apart from zero: by the p-value after Holm's correction and by the interval too."""
        return self.p_holm < SIGNIFICANT and not self.low <= 0 <= self.high


@dataclass(frozen=True)
class Comparisons:
    """All differences, and sentences on pairs that may not be compared."""

    differences: tuple[Difference, ...]
    refused: tuple[str, ...]


def compare(study: Study) -> Comparisons:
    """Every group against the first one, benchmark by benchmark; arms against each other, too."""
    groups = list(dict.fromkeys(evaluation.group for evaluation in study.evaluations))
    found: list[Difference] = []
    refused: list[str] = []
    for benchmark in study.benchmarks() if len(groups) > 1 else []:
        sides = {group: _members(study, benchmark, group) for group in groups}
        for first, group in combinations(groups, 2) if study.arms else ((groups[0], g) for g in groups[1:]):
            reference, members = sides[first], sides[group]
            if not reference or not members:
                continue
            reason = incomparable([*reference, *members])
            if reason:
                pair = f"{group} and {first}"
                refused.append(f"{benchmark}: {pair} {reason}, so they are shown apart and not compared.")
                continue
            difference = _difference(benchmark, members, reference)
            if difference is None:
                refused.append(f"{benchmark}: {group} and {first} share too few questions to be compared.")
            else:
                found.append(difference)
    corrected = statistics.holm([difference.p for difference in found])
    return Comparisons(
        tuple(replace(one, p_holm=p) for one, p in zip(found, corrected, strict=True)), tuple(refused)
    )


def best(study: Study, benchmark: str) -> str | None:
    """The group that is better than every other on ``benchmark``, at 5% after Holm; None if there is none."""
    groups = list(dict.fromkeys(e.group for e in study.evaluations if e.benchmark == benchmark))
    members = {group: _members(study, benchmark, group) for group in groups}
    if len(groups) < 2 or incomparable([one for group in groups for one in members[group]]):
        return None
    top = max(groups, key=lambda group: np.mean([one.value for one in members[group]]))
    against = [_difference(benchmark, members[top], members[other]) for other in groups if other != top]
    if any(one is None or one.value <= 0 for one in against):
        return None
    return (
        top
        if all(p < SIGNIFICANT for p in statistics.holm([one.p for one in against if one is not None]))
        else None
    )


def incomparable(members: Sequence[Evaluation]) -> str:
    """Why these evaluations must not be compared; "" where they may."""
    if any(one.protocol != members[0].protocol for one in members):
        return "were sampled under different protocols"
    hashes = {one.scores.get("data_hash") for one in members} - {None, ""}
    return "were given different questions" if len(hashes) > 1 else ""


def _members(study: Study, benchmark: str, group: str) -> list[Evaluation]:
    return [e for e in study.evaluations if e.benchmark == benchmark and e.group == group]


def _difference(
    benchmark: str, members: Sequence[Evaluation], reference: Sequence[Evaluation]
) -> Difference | None:
    everyone = [*members, *reference]
    shared = [key for key in members[0].questions if all(key in one.questions for one in everyone)]
    if len(shared) < 2:
        return None
    a, rates = _rates(members, shared), _rates(reference, shared)
    b = rates.mean(axis=0)
    paired = a.mean(axis=0) - b
    resolution = 1 / min(one.questions[question].n for one in everyone for question in shared)
    gained, lost = int(np.sum(paired > 0)), int(np.sum(paired < 0))
    if len(everyone) > 2:
        estimate, p = statistics.arms_estimate(a, rates, resolution)
    else:
        estimate = statistics.paired_estimate(paired, resolution)
        single = all(one.questions[question].n == 1 for one in everyone for question in shared)
        p = statistics.mcnemar(gained, lost) if single else statistics.permutation_p_value(paired)
    order = np.argsort(-np.abs(paired), kind="stable")
    return Difference(
        model=members[0].group,
        reference=reference[0].group,
        benchmark=benchmark,
        questions=len(shared),
        model_value=float(a.mean()),
        reference_value=float(b.mean()),
        value=estimate.value,
        stderr=estimate.stderr,
        low=estimate.low,
        high=estimate.high,
        p=p,
        p_holm=p,
        per_seed={one.model: float((row - b).mean()) for one, row in zip(members, a, strict=True)},
        gained=gained,
        lost=lost,
        flips=tuple(Flip(shared[i], float(a[:, i].mean()), float(b[i])) for i in order if paired[i] != 0),
    )


def _rates(members: Sequence[Evaluation], questions: Sequence[str]) -> NDArray[np.float64]:
    """The share of correct samples, a row per model, a column per question."""
    return np.array([[one.questions[question].rate for question in questions] for one in members])
