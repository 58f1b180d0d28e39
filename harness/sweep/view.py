"""What a sampler may know when it proposes a trial, so that a sweep does not depend on the clock.

With several workers, which trials have ended when a new one is asked for depends on how fast each of them
was. A repeatable sweep asks for trial n when the trials up to n - lag have ended, and shows the sampler
their results; the ``lag - 1`` trials behind them it shows as still at work, whether they are or not.
"""

from __future__ import annotations

import copy
from collections.abc import Container

import optuna
from optuna.trial import FrozenTrial, TrialState

from harness.config import Sweep
from harness.sweep.newspace import OUTSIDE

LAG_PER_WORKER = 2
"""One would leave workers idle for a fifth of their time, three would prune later (docs/sweeps.md)."""


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
    _read: list[FrozenTrial] | None = None

    def look_again(self) -> None:
        """Reads the storage anew, for another trial: while one is asked for, the others stay as they are."""
        self._read = None

    def _get_trials(
        self, deepcopy: bool = True, states: Container[TrialState] | None = None, use_cache: bool = False
    ) -> list[FrozenTrial]:
        # Every sampler of Optuna reads the study through this method.
        if self._read is None:
            self._read = [t for t in super()._get_trials(False) if OUTSIDE not in t.user_attrs]
        seen = self._read
        if self.horizon is not None:
            seen = [
                trial if trial.number <= self.horizon else _at_work(trial, blank=trial.number == self.asked)
                for trial in seen
                if trial.number <= self.asked
            ]
        chosen = [trial for trial in seen if states is None or trial.state in states]
        return copy.deepcopy(chosen) if deepcopy else chosen


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
