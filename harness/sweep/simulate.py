"""Pruning tried out before any compute: the real rule on made-up learning curves with realistic noise.

A population of configurations: each rises from the base policy's accuracy towards a height of its own,
quickly or slowly, and some collapse on the way, as runs with too high a learning rate do. They rise by one of
``SHAPES``: at once and ever more slowly (exponential), after a while
(sigmoid), or as the first and fall from some point on (peaking). A dev evaluation of
Q questions with K samples each sees the truth through two kinds of noise:

- between samples, which is fresh every time: v / (Q K);
- between questions: v / Q. All trials share their questions, so most of it moves every trial alike and
  cancels in comparisons; the share ``IDIOSYNCRATIC`` does not, for policies differ in which questions they
  can do.

Here v = p (1 - p) / 2: half the variance of a right-or-wrong answer lies between questions and half within,
as with difficulties spread by Beta(p, 1 - p), which has most questions either easy or hard. The standard
error that an evaluation reports knows nothing of what cancels: sqrt(v (1 + 1 / K) / Q).
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from harness.config import Sweep
from harness.sweep.evaluation import Evaluation
from harness.sweep.forecast import Curve
from harness.sweep.history import lag_of
from harness.sweep.pruners import Rule

Shape = Literal["exponential", "sigmoid", "peaking"]
SHAPES: tuple[Shape, ...] = get_args(Shape)
PACE_SPREAD = 0.35
"""The standard deviation of the logarithm of a trial's time per step."""
IDIOSYNCRATIC = 0.2
"""The share of the variance between questions that does not cancel between two policies."""


@dataclass(frozen=True)
class Population:
    """What the simulated sweeps are like."""

    trials: int = 24
    shape: Shape = "exponential"
    evaluations: int = 10
    """Dev evaluations per trial, evenly spaced, besides the one before the first step."""
    questions: int = 200
    samples: int = 4
    base: float = 0.3
    gain: float = 0.4
    """The best height lies this far above the base."""
    fast: float = 0.08
    slow: float = 0.8
    """Time constants of the rise lie between these, as fractions of a trial, evenly in their logarithm."""
    delayed: float = 0.0
    """The share of configurations that stay at the base for up to 0.4 of the trial before they rise."""
    collapsing: float = 0.15
    """The share of configurations that fall back to the base, or below it, at some point."""


@dataclass(frozen=True)
class Result:
    """What came of a number of simulated sweeps."""

    sweeps: int
    survived: float
    """The share of sweeps in which the truly best configuration was not pruned."""
    compute: float
    """Steps trained, over those of the same sweeps without pruning."""
    idle: float
    """The workers' idle time, as a share of the whole."""
    duration: float
    """Wall-clock time, over that of the same sweeps without pruning and without a moment's idleness."""
    regret: float
    """Mean true height of the best configuration minus that of the one chosen by its last evaluation."""


def draw_curves(population: Population, generator: np.random.Generator) -> np.ndarray:
    """True accuracies of shape (trials, evaluations + 1): the first column is the base policy."""
    count, places = population.trials, np.linspace(0, 1, population.evaluations + 1)
    heights = population.base + population.gain * generator.beta(1.5, 1.5, size=(count, 1))
    low, high = math.log(population.fast), math.log(population.slow)
    constants = np.exp(generator.uniform(low, high, size=(count, 1)))
    waits = np.where(
        generator.random((count, 1)) < population.delayed, generator.uniform(0, 0.4, (count, 1)), 0
    )
    lasting = np.maximum(places - waits, 0)
    collapses = generator.random((count, 1)) < population.collapsing
    when = generator.uniform(0.1, 0.9, size=(count, 1))
    fallen = population.base * generator.uniform(0, 1, size=(count, 1))
    curves = population.base + (heights - population.base) * _rises(
        population.shape, lasting, constants, generator
    )
    return np.where(collapses & (places > when), fallen, curves)


def _rises(
    shape: Shape, places: np.ndarray, constants: np.ndarray, generator: np.random.Generator
) -> np.ndarray:
    """How much of its height each configuration has reached at ``places``."""
    if shape == "sigmoid":  # ScaleRL's, with the middle of the rise at the time constant
        exponents = generator.uniform(1, 4, size=constants.shape)
        return np.asarray(places**exponents / (places**exponents + constants**exponents))
    rises = 1 - np.exp(-places / constants)
    if shape == "peaking":  # a peak beyond 1 is not reached within the trial
        peaks = generator.uniform(0.2, 1.5, size=constants.shape)
        lost = generator.uniform(0.2, 1, size=constants.shape)
        rises *= 1 - lost * np.clip((places - peaks) / np.maximum(1 - peaks, 1e-9), 0, None) * (peaks < 1)
    return np.asarray(rises)


def evaluate(
    curves: np.ndarray, population: Population, generator: np.random.Generator
) -> list[dict[int, Evaluation]]:
    """One noisy dev evaluation of every point of every curve."""
    variance = curves * (1 - curves) / 2
    per_sample = variance / (population.questions * population.samples)
    per_question = IDIOSYNCRATIC * variance / population.questions
    own = generator.normal(size=(len(curves), 1)) * np.sqrt(
        per_question
    )  # a policy's luck with the questions lasts
    values = np.clip(curves + own + generator.normal(size=curves.shape) * np.sqrt(per_sample), 0, 1)
    seen = values * (1 - values) / 2
    errors = np.sqrt(np.maximum(seen, 1e-4) * (1 + 1 / population.samples) / population.questions)
    return [
        {
            step: Evaluation(step, float(v), float(e))
            for step, (v, e) in enumerate(zip(row, error, strict=True))
        }
        for row, error in zip(values, errors, strict=True)
    ]


class _Replay:
    """One sweep through the rule, in virtual time: trial n takes ``paces[n]`` for a step."""

    def __init__(
        self,
        rule: Rule,
        trials: Sequence[dict[int, Evaluation]],
        workers: int,
        lag: int | None,
        paces: Sequence[float],
    ) -> None:
        self.rule, self.trials, self.workers, self.lag, self.paces = rule, trials, workers, lag, paces
        self.length = max(trials[0])
        self.curves = [Curve() for _ in trials]
        self.trained = [0] * len(trials)
        self.judged = [0] * len(trials)
        self.over = [False] * len(trials)
        self.at_work: list[tuple[float, int]] = []
        """(when its present step ends, trial), as a heap."""
        self.begun = 0

    def run(self) -> Replayed:
        now = 0.0
        self._fill(now)
        while self.at_work:
            now, number = heapq.heappop(self.at_work)
            self.trained[number] += 1
            self._judge()
            if not self.over[number] and self.trained[number] < self.length:
                heapq.heappush(self.at_work, (now + self.paces[number], number))
            self._fill(now)
        busy = math.fsum(steps * pace for steps, pace in zip(self.trained, self.paces, strict=True))
        return Replayed(self.judged, self.trained, now, max(0.0, 1 - busy / (now * self.workers)))

    def _fill(self, now: float) -> None:
        self.at_work = [(end, number) for end, number in self.at_work if not self.over[number]]
        heapq.heapify(self.at_work)
        while len(self.at_work) < self.workers and self.begun < len(self.trials):
            if self.lag is not None and not all(self.over[: max(0, self.begun - self.lag + 1)]):
                return
            heapq.heappush(self.at_work, (now + self.paces[self.begun], self.begun))
            self.begun += 1

    def _judge(self) -> None:
        for number in range(self.begun):
            while not self.over[number] and self.judged[number] < self.trained[number]:
                step = self.judged[number] + 1
                earlier = range(number) if self.lag is not None else ()
                if not all(self.over[other] or self.judged[other] >= step for other in earlier):
                    break
                self.judged[number] = step
                own = self.curves[number] = Curve(self.trials[number][s] for s in range(step + 1))
                reason = self.rule.decide(number, own, step, self._rivals(number, step), self.length)
                self.over[number] = step == self.length or reason is not None

    def _rivals(self, number: int, step: int) -> list[Curve]:
        if self.lag is None:
            return [curve for other, curve in enumerate(self.curves) if other != number]
        full = max(0, number - self.lag + 1)
        return self.curves[:full] + [curve.until(step) for curve in self.curves[full:number]]


@dataclass(frozen=True)
class Replayed:
    """What became of one sweep."""

    lasts: list[int]
    """The last evaluation of each trial that counts."""
    trained: list[int]
    """What each was trained to before it noticed."""
    duration: float
    """Virtual time, in steps of a trial of pace 1."""
    idle: float
    """The share of the workers' time in which they had nothing to do."""


def replay(
    rule: Rule,
    trials: Sequence[dict[int, Evaluation]],
    workers: int,
    lag: int | None = None,
    paces: Sequence[float] | None = None,
) -> Replayed:
    """Runs one sweep through ``rule`` with trials side by side, as the dispatcher does (see view.py)."""
    return _Replay(rule, trials, workers, lag, paces or [1.0] * len(trials)).run()


def simulate(
    rule: Rule,
    population: Population,
    sweeps: int = 500,
    workers: int = 2,
    lag: int | None = None,
    seed: int = 0,
) -> Result:
    """Replays ``sweeps`` sweeps, each of a fresh draw of the population, trials of uneven pace."""
    survived, spent, idle, duration, regret = 0, 0, 0.0, 0.0, 0.0
    for sweep in range(sweeps):
        generator = np.random.default_rng([seed, sweep])
        curves = draw_curves(population, generator)
        trials = evaluate(curves, population, generator)
        paces = np.exp(PACE_SPREAD * generator.normal(size=population.trials)).tolist()
        replayed = replay(rule, trials, workers, lag, paces)
        finals = curves[:, -1]
        ended = [number for number, last in enumerate(replayed.lasts) if last == population.evaluations]
        chosen = max(ended, key=lambda number: trials[number][population.evaluations].value)
        survived += int(np.argmax(finals)) in ended
        spent += sum(replayed.trained)
        idle += replayed.idle
        duration += replayed.duration
        regret += float(finals.max() - finals[chosen])
    whole = sweeps * population.trials * population.evaluations
    return Result(
        sweeps, survived / sweeps, spent / whole, idle / sweeps, duration * workers / whole, regret / sweeps
    )


def compare_rules(sweep: Sweep, sweeps: int = 500, shape: Shape = "exponential") -> list[tuple[str, Result]]:
    """Every pruner on the default population with a sweep's own numbers; its own pruner first.

    The trials, the evaluations of each, the margin and the workers are the sweep's; ``pruner_warmup`` is left
    out, since it counts an experiment's steps, of which simulated trials have none.
    """
    population = Population(trials=sweep.trials, shape=shape)
    own = sweep.model_copy(update={"pruner_warmup": 0})
    names = sorted(get_args(Sweep.model_fields["pruner"].annotation), key=lambda name: name != sweep.pruner)
    return [
        (
            name,
            simulate(
                Rule.of(own.model_copy(update={"pruner": name})),
                population,
                sweeps,
                sweep.workers,
                lag_of(sweep),
            ),
        )
        for name in names
    ]
