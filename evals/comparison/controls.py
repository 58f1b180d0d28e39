"""How much of an arm's gain a control explains, whose rewards told nothing of what is right.

The estimand is the share s = (control - base) / (arm - base) of mean rates, over new training seeds and new
questions. Its 95% interval is Fieller's idea: every s for which control - (s arm + (1 - s) base) does not
differ from 0 at 5%, by the same estimate as all comparisons of arms (``intervals.arms_estimate``). Where the
arm itself has not gained, that set has no end, and there is nothing to explain.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from evals.comparison.compare import Arm, Floats, compare_pair
from evals.scores import Scores
from evals.stats import intervals, metrics
from evals.stats.intervals import Estimate
from evals.task import TaskError

LEAST, MOST, STEP = -2.0, 3.0, 0.01
"""Shares that are tried."""


@dataclass(frozen=True)
class Explained:
    """On one benchmark: both gains, as fractions of 1, and the share; None where the arm has not gained."""

    arm: str
    control: str
    benchmark: str
    questions: int
    gain: Estimate
    control_gain: Estimate
    share: float | None
    low: float | None
    high: float | None

    @property
    def sentence(self) -> str:
        """The finding in words."""
        gains = (
            f"{self.control} gains {_points(self.control_gain)} where {self.arm} gains {_points(self.gain)}"
        )
        if self.share is None or self.low is None or self.high is None:
            return f"On {self.benchmark} {gains}: no gain is shown that could be explained."
        return (
            f"On {self.benchmark} {gains}: the control explains {100 * self.share:.0f}% of the gain "
            f"(95% interval {100 * self.low:.0f}% to {100 * self.high:.0f}%)."
        )


def explained(base: Arm, arm: Arm, control: Arm) -> list[Explained]:
    """The share of the gain of ``arm`` over ``base`` that ``control`` explains, by benchmark.

    Raises:
        TaskError: the three share too few questions of a benchmark.
    """
    return [_explained(base, arm, control, benchmark) for benchmark in base.benchmarks()]


def _explained(base: Arm, arm: Arm, control: Arm, benchmark: str) -> Explained:
    rates, questions = _rates([base, arm, control], benchmark)
    start, mine, theirs = rates
    gain = compare_pair(base, arm, benchmark).difference
    control_gain = compare_pair(base, control, benchmark).difference
    share = low = high = None
    if gain.low > 0:
        share = float((theirs.mean() - start.mean()) / (mine.mean() - start.mean()))
        low, high = _bounds(start.mean(axis=0), mine, theirs, 1 / _samples(base, arm, control, benchmark))
    return Explained(arm.name, control.name, benchmark, questions, gain, control_gain, share, low, high)


def _bounds(base: Floats, arm: Floats, control: Floats, resolution: float) -> tuple[float, float]:
    """The least and the largest share that the data do not contradict, of those that are tried."""
    kept = [
        share
        for share in np.arange(LEAST, MOST + STEP / 2, STEP)
        if _agrees(control, share * arm + (1 - share) * base, resolution)
    ]
    return float(min(kept)), float(max(kept))


def _agrees(control: Floats, mixture: Floats, resolution: float) -> bool:
    found, _ = intervals.arms_estimate(control, mixture, resolution)
    return found.low <= 0 <= found.high


def _rates(arms: list[Arm], benchmark: str) -> tuple[list[Floats], int]:
    """(seeds, questions) rates of each arm on the questions that all have."""
    tables = [[{q.id: q for q in seed[benchmark].questions} for seed in arm.seeds] for arm in arms]
    every = [table for seeds in tables for table in seeds]
    shared = [name for name in every[0] if all(name in table for table in every)]
    if len(shared) < 2:
        names = ", ".join(arm.name for arm in arms)
        raise TaskError(f"{names} have fewer than two questions of {benchmark} in common")
    found = [
        np.stack([metrics.pass_at_1([table[name] for name in shared]) for table in seeds]) for seeds in tables
    ]
    return found, len(shared)


def _samples(base: Arm, arm: Arm, control: Arm, benchmark: str) -> int:
    """The least number of samples a question."""
    scores: list[Scores] = [seed[benchmark] for each in (base, arm, control) for seed in each.seeds]
    return min(question.n for one in scores for question in one.questions)


def _points(found: Estimate) -> str:
    return f"{100 * found.value:+.1f} points [{100 * found.low:+.1f}, {100 * found.high:+.1f}]"
