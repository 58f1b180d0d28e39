"""How long a sweep has left: the steps that are left, at the pace of those that were done.

Trials end seldom, early where they are pruned, and confirmations may be longer than they: counting ended runs
against the clock says little. What is left is: the rest of the runs at work, the trials to come (as long as
those so far turned out to be, pruned ones included), and the winner's fresh trainings; on so many workers. A
run also takes what it takes to start. At last base and winner are evaluated, one after another: that takes as
long a completion as the evaluations of the dev questions did.
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from harness.config import Experiment, Sweep
from harness.sweep.events import Counts, Event
from harness.sweep.selection import confirmation_experiment
from harness.sweep.status import TrialStatus


@dataclass
class _Run:
    """A run at work: when it was launched and at which step it began, and where it is now."""

    launched: float
    steps: int
    began: int | None = None
    step: int = 0
    start: float = 0.0
    """Seconds from its launch to what it told first."""
    seconds: float = 0.0
    """From then to ``step``."""

    @property
    def done(self) -> int:
        return self.step - (self.began or 0)

    @property
    def left(self) -> int:
        return max(0, self.steps - self.step)


class TimeLeft:
    """Told every event of a sweep, it says what is left."""

    def __init__(
        self,
        experiment: Experiment,
        clock: Callable[[], float] = time.monotonic,
        evaluations: float = 0.0,
    ) -> None:
        """``evaluations``: completions of base and winner on the benchmarks, over those on dev questions."""
        assert experiment.sweep is not None
        self._sweep: Sweep = experiment.sweep
        self._clock = clock
        self._evaluations = evaluations
        self._dev_seconds: dict[str, float] = {}
        """By run: what its last evaluation of the dev questions took."""
        self._trial_steps = _steps(experiment)
        self._confirm_steps = 0
        if self._sweep.confirm_seeds:
            self._confirm_steps = _steps(confirmation_experiment(experiment, experiment, 1))
        self._confirmations = self._sweep.confirm_seeds * self._sweep.confirm_top
        self._at_work: dict[str, _Run] = {}
        self._ended: list[_Run] = []
        self._trials_reached: list[float] = []
        """What share of its steps each ended trial took."""
        self._counts: Counts | None = None
        self._confirmed = 0

    def take(self, event: Event) -> None:
        """Takes note of an event."""
        self._counts = event.counts
        now = self._clock()
        if event.kind in ("started", "resumed"):
            self._at_work[event.job] = _Run(now, event.steps or self._trial_steps)
        run = self._at_work.get(event.job)
        if event.kind == "step" and run is not None and event.step is not None and event.step >= 0:
            resumed = event.attempt is not None and event.attempt > 1
            if run.began is None and (event.step == 0 or resumed):  # told where it begins
                run.began, run.start = event.step, now - run.launched
            elif run.began is None:
                run.began = 0
            run.step, run.seconds = event.step, now - run.launched - run.start
        if event.dev_seconds is not None:
            self._dev_seconds[event.job] = event.dev_seconds
        if event.kind in ("complete", "pruned", "failed", "confirmed"):
            self._end(event)

    def _end(self, event: Event) -> None:
        run = self._at_work.pop(event.job, None)
        if event.trial is not None:
            reached = event.step or (run.step if run is not None else 0)
            self._trials_reached.append(min(1.0, reached / max(1, self._trial_steps)))
        else:
            self._confirmed += 1
        if run is not None and run.done > 0:
            self._ended.append(run)

    @property
    def seconds(self) -> float | None:
        """How long the sweep still takes, report aside; None before any run has done a step."""
        runs = [run for run in (*self._ended, *self._at_work.values()) if run.done > 0]
        if self._counts is None or not runs:
            return None
        pace = sum(run.seconds for run in runs) / sum(run.done for run in runs)
        start = sum(run.start for run in runs) / len(runs)
        left = self._searching(self._counts, pace, start) + self._confirming(self._counts, pace, start)
        return left + self._evaluating()

    def _searching(self, counts: Counts, pace: float, start: float) -> float:
        """Seconds of the search: trials one after another, side by side on the workers."""
        if counts.finished >= counts.total:
            return 0.0
        reached = self._trials_reached
        usual = self._trial_steps * (sum(reached) / len(reached) if reached else 1.0)
        to_come = max(0, counts.total - counts.finished - counts.running)
        return _longest(
            self._at_work_left(pace, start), [start + pace * usual] * to_come, self._sweep.workers
        )

    def _confirming(self, counts: Counts, pace: float, start: float) -> float:
        at_work = self._at_work_left(pace, start) if counts.finished >= counts.total else []
        to_come = max(0, self._confirmations - self._confirmed - len(at_work))
        each = start + pace * self._confirm_steps
        return _longest(at_work, [each] * to_come, self._sweep.workers)

    def _evaluating(self) -> float:
        seconds = self._dev_seconds.values()
        return self._evaluations * sum(seconds) / len(seconds) if seconds else 0.0

    def _at_work_left(self, pace: float, start: float) -> list[float]:
        return [run.left * pace + (start if run.began is None else 0.0) for run in self._at_work.values()]


def left_by_files(
    experiment: Experiment, trials: Sequence[TrialStatus], fresh: Sequence[TrialStatus]
) -> float | None:
    """Seconds that a sweep's runs still take, for whoever has only its folder; None before any step was done.

    ``fresh`` are the runs with fresh seeds so far. The evaluation of base and winner is not counted.
    """
    sweep = experiment.sweep
    assert sweep is not None
    runs = [(run.seconds, run.reached) for run in (*trials, *fresh) if run.reached > 0]
    if not runs:
        return None
    pace = sum(seconds for seconds, _ in runs) / sum(steps for _, steps in runs)
    planned = _steps(experiment)
    ended = [trial.reached for trial in trials if trial.state in ("complete", "pruned")]
    usual = sum(ended) / len(ended) if ended else planned
    at_work = [pace * max(0, planned - t.reached) for t in trials if t.state == "running"]
    left = _longest(at_work, [pace * usual] * max(0, sweep.trials - len(trials)), sweep.workers)
    if sweep.confirm_seeds:
        each = _steps(confirmation_experiment(experiment, experiment, 1))
        at_work = [pace * max(0, each - run.reached) for run in fresh if run.state == "running"]
        top = (
            min(sweep.confirm_top, sum(t.state == "complete" for t in trials)) if fresh else sweep.confirm_top
        )
        to_come = max(0, sweep.confirm_seeds * top - len(fresh))
        left += _longest(at_work, [pace * each] * to_come, sweep.workers)
    return left


def _longest(at_work: Sequence[float], to_come: Sequence[float], workers: int) -> float:
    """When the last of some pieces of work ends, each going to the worker that is free first."""
    busy = [*at_work, *[0.0] * (workers - len(at_work))]
    heapq.heapify(busy)
    for piece in to_come:
        heapq.heappush(busy, heapq.heappop(busy) + piece)
    return max(busy)


def _steps(experiment: Experiment) -> int:
    return sum(stage.steps for stage in experiment.stages)
