"""What a sampler may know when it proposes a trial, so that a sweep does not depend on the clock.

With several workers, which trials have ended when a new one is asked for depends on how fast each of them
was. A repeatable sweep asks for trial n when the trials up to n - lag have ended, and shows the sampler
their results; the ``lag - 1`` trials behind them it shows as still at work, whether they are or not.
"""

from __future__ import annotations

import copy
from collections.abc import Container, Sequence

import optuna
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from harness.config import Sweep
from harness.sweep.space_migration import OUTSIDE

LAG_PER_WORKER = 2
"""One would leave workers idle for a fifth of their time, three would prune later (docs/sweeps.md)."""
NEWEST = 500
"""How many of the newest trials TPE learns from, in any case."""
BEST = 100
"""How many of the trials behind them it learns from; it tells the best 25 from the rest."""


def lag_of(sweep: Sweep) -> int | None:
    """How far back the newest result lies that trial n may depend on; None where the clock decides."""
    deterministic = sweep.workers <= 2 if sweep.deterministic is None else sweep.deterministic
    if not deterministic:
        return None
    return 1 if sweep.workers == 1 else LAG_PER_WORKER * sweep.workers


class View(optuna.Study):
    """A study whose samplers see results up to trial ``horizon`` alone; None shows them all.

    Trials that are no points of its space (newspace.py) they never see.
    """

    horizon: int | None = None
    asked: int = 0
    """The trial that is being asked for: what lies behind it is not seen at all."""
    queued = True
    """Whether trials may be waiting to be asked for: then the storage is read to find out."""
    bounded = False
    """Whether only the newest trials and the best ones are seen: ``_Best`` says why."""
    _seen: list[FrozenTrial] | None = None
    _best: _Best | None = None

    def look_again(self) -> None:
        """Reads the storage anew, for another trial: while one is asked for, the others stay as they are."""
        self._seen = None

    def _get_trials(
        self, deepcopy: bool = True, states: Container[TrialState] | None = None, use_cache: bool = False
    ) -> list[FrozenTrial]:
        # Every sampler of Optuna reads the study through this method.
        if self._seen is None:
            self._seen = self._look()
        chosen = [trial for trial in self._seen if states is None or trial.state in states]
        return copy.deepcopy(chosen) if deepcopy else chosen

    def _pop_waiting_trial_id(self) -> int | None:
        return super()._pop_waiting_trial_id() if self.queued else None

    def _look(self) -> list[FrozenTrial]:
        trials = super()._get_trials(False)
        if self.horizon is not None:
            trials = trials[: self.asked + 1]
        if self.bounded and len(trials) > NEWEST:
            self._best = self._best or _Best(self.directions[0])
            trials = [*self._best.of(trials, len(trials) - NEWEST), *trials[-NEWEST:]]
        trials = [trial for trial in trials if OUTSIDE not in trial.user_attrs]
        if self.horizon is None:
            return trials
        return [
            trial if trial.number <= self.horizon else _at_work(trial, blank=trial.number == self.asked)
            for trial in trials
        ]


class _Best:
    """The best of the trials that lie behind the newest ones, found without reading them all each time.

    TPE models the 25 best trials against the others, of which the newest count most: its weights fall in a
    line towards the oldest. Behind the newest hundreds, the rest of those changes little, and reading it
    takes longer than all else that is done to propose a trial.
    """

    def __init__(self, direction: StudyDirection) -> None:
        self._sign = -1.0 if direction is StudyDirection.MAXIMIZE else 1.0
        self._ranked: list[tuple[float, int]] = []
        self._open: list[int] = []
        self._next = 0

    def of(self, trials: Sequence[FrozenTrial], end: int) -> list[FrozenTrial]:
        """Of ``trials[:end]``, by their numbers: the best complete ones, and those at work."""
        new = [*self._open, *range(self._next, end)]
        self._next = max(self._next, end)
        self._open = [number for number in new if not trials[number].state.is_finished()]
        complete = [trials[number] for number in new if trials[number].state is TrialState.COMPLETE]
        allowed = [
            t for t in complete if OUTSIDE not in t.user_attrs and max(t.constraints.values(), default=0) <= 0
        ]
        self._ranked = sorted([*self._ranked, *((self._sign * t.values[0], t.number) for t in allowed)])[
            :BEST
        ]
        return [trials[number] for number in sorted([*self._open, *(n for _, n in self._ranked)])]


def _at_work(trial: FrozenTrial, blank: bool) -> FrozenTrial:
    """``blank``: without settings, as a trial is when it is asked for, however many it has got by now."""
    if trial.state is TrialState.WAITING:
        return trial
    shown = copy.copy(trial)
    shown.state, shown.values, shown.intermediate_values = TrialState.RUNNING, None, {}
    shown.datetime_complete = None
    if blank:
        shown.params, shown.distributions = {}, {}
    return shown
