"""The Optuna study: opened by one dispatcher, asked with a seed of its own per trial, told once per trial.

Workers never write to it. What the summary needs about a finished trial (history, attempts, seconds, reason)
is kept with the trial as the user attribute ``record``, written before the trial is told.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any, Literal, TypeVar

import numpy as np
import optuna
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from evals.base.errors import JobError, UsageError
from evals.base.secrets import mask
from harness.config import Experiment, Sweep
from harness.sweep import space_migration
from harness.sweep.evaluation import Evaluation
from harness.sweep.history import View, lag_of
from harness.sweep.sampler import make_sampler
from harness.sweep.space import Params, Space
from harness.sweep.space_table import parse_space
from harness.sweep.storage import is_damage, open_storage, said
from harness.sweep.summary import Selection

RECORD = "record"
FOLDER = "folder"
STORAGE_PATIENCE = 600.0
"""Seconds for which a storage that was there may be away."""
STORAGE_PAUSE = 1.0
"""Seconds between two tries."""

Result = TypeVar("Result")

FinalState = Literal["complete", "pruned", "failed"]
OPTUNA_STATE: dict[FinalState, TrialState] = {
    "complete": TrialState.COMPLETE,
    "pruned": TrialState.PRUNED,
    "failed": TrialState.FAIL,
}
STATE_NAME: dict[TrialState, FinalState] = {state: name for name, state in OPTUNA_STATE.items()}


@dataclass(frozen=True)
class Record:
    """What is known about a trial that has ended."""

    history: list[Evaluation] = field(default_factory=list)
    attempts: int = 0
    seconds: float = 0.0
    reason: str = ""
    run: str = ""
    """The folder of its last attempt, relative to the sweep's."""
    metrics: dict[str, float] = field(default_factory=dict)
    """What the further objectives and the constrained metrics came to."""

    @classmethod
    def of(cls, trial: FrozenTrial) -> Record:
        raw = dict(trial.user_attrs.get(RECORD, {}))
        raw["history"] = [Evaluation(**row) for row in raw.get("history", [])]
        return cls(**raw)


@dataclass(frozen=True)
class _OpenTrial:
    """A trial that was asked for and not told."""

    trial: optuna.Trial
    params: Params
    reported: set[int]
    outside: Mapping[str, Any] | None = None
    """Of a trial from an earlier space: what newspace.py noted with it."""


class Study:
    """One sweep's study.

    Raises:
        UsageError: the storage does not answer, or holds a study of this name for another folder.
    """

    def __init__(
        self,
        experiment: Experiment,
        space: Space,
        storage: str,
        folder_id: str,
        recovered: Callable[[], Sequence[Params]] = tuple,
        proposed: Sequence[Params] = (),
    ) -> None:
        """``recovered``: the settings of trials that a new study is to begin with (see rebuild.py);
        ``proposed``: those that are tried right after the experiment's own (see warm_start.py)."""
        sweep = _sweep(experiment)
        self.experiment = experiment
        self.space = space
        self._address = storage
        self._objectives, self._constraints = sweep.objectives, sweep.constraints
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
        self._study = optuna.create_study(
            study_name=experiment.name,
            storage=open_storage(storage),
            directions=sweep.directions,
            load_if_exists=True,
        )
        directions = tuple(direction.name.lower() for direction in self._study.directions)
        if directions != sweep.directions:
            raise UsageError(
                f"sweep.direction: the study {experiment.name!r} was begun to {', '.join(directions)}"
            )
        owner = self._study.user_attrs.get(FOLDER)
        if owner is None:
            self._study.set_user_attr(FOLDER, folder_id)
        elif owner != folder_id:
            raise UsageError(
                f"the storage has a study named {experiment.name!r} of another folder; choose another name"
            )
        self._study = space_migration.newest(self._study)
        if space_migration.SPACE not in self._study.user_attrs:
            self._study.set_user_attr(space_migration.SPACE, sweep.space)
        elif (
            self._study.user_attrs[space_migration.SPACE] != sweep.space
        ):  # and that was agreed to: see claim.py
            self._study = space_migration.move(self._study, experiment.name, space, experiment)
        if self._study.metric_names is None:
            self._study.set_metric_names(list(sweep.objectives))  # what optuna-dashboard writes at its axes
        self._view = View(self._study.study_name, self._study._storage)
        self._view.bounded = sweep.sampler == "tpe" and len(sweep.objectives) == 1
        self._lag = lag_of(sweep)
        grid = self._grid_order() if sweep.sampler == "grid" else None
        self.total = sweep.trials if grid is None else min(sweep.trials, len(grid))
        """How many trials the study is to have, those of earlier launches included."""
        self._open: dict[int, _OpenTrial] = {}
        self._queue: list[int] | None = None
        """The trials to ask for next, the last of them new; None where the storage is to be asked."""
        own = space.nearest(experiment)
        first = [own, *(params for params in proposed if params != own)] if grid is None else grid
        enqueued = first[: self.total]
        begun = len(self.trials())
        if grid is None and not begun:
            again = list(recovered())
            enqueued = again + enqueued[len(again) :]
        for params in enqueued[begun:]:
            self._study.enqueue_trial(params)

    def _grid_order(self) -> list[Params]:
        """The grid's points: the experiment's own settings first, then shuffled by the study's seed."""
        points = self.space.points(self.experiment)
        own = self.space.nearest(self.experiment)
        order = np.random.default_rng(self.experiment.seed).permutation(len(points))
        return [p for p in points if p == own] + [points[i] for i in order if points[i] != own]

    def trials(self, *states: TrialState) -> list[FrozenTrial]:
        """Trials in the order of their numbers, all or those in ``states``."""
        return self._study.get_trials(deepcopy=False, states=states or None)

    def settings(self, trial: FrozenTrial) -> Params:
        """A trial's settings, in the space that it was asked for in."""
        return space_migration.settings_of(trial, {})[1]

    def applied(self, number: int, params: Params, name: str | None = None) -> Experiment:
        """What trial ``number`` runs (``Space.apply``), in the space that it was asked for in."""
        opened = self._open.get(number)  # the storage takes long to say what is known here
        outside = opened.outside if opened else self.trials()[number].user_attrs.get(space_migration.OUTSIDE)
        space = self.space if outside is None else parse_space(outside["space"])
        return space.apply(self.experiment, params, name)

    def running(self) -> list[tuple[int, Params]]:
        """Trials that were asked for and not told, with their settings."""
        numbers = self._patiently(lambda: [trial.number for trial in self.trials(TrialState.RUNNING)])
        return [(number, self._patiently(partial(self._reopen, number)).params) for number in numbers]

    def ask(self) -> tuple[int, Params]:
        """A new trial: its number and its settings."""
        asked = self._patiently(self._ask)
        return asked.trial.number, asked.params

    def _ask(self) -> _OpenTrial:
        if self._queue is None:
            trials = self.trials()
            running = [trial.number for trial in trials if trial.state is TrialState.RUNNING]
            unknown = [number for number in running if number not in self._open]
            if unknown:  # asked for a moment ago, when the storage's answer did not come through
                return self._reopen(unknown[0])
            self._queue = [trial.number for trial in trials if trial.state is TrialState.WAITING]
            self._queue.append(len(trials))
        number, *later = self._queue
        self._queue = None  # until this has come out well
        self._look_from(number)
        self._view.queued = bool(later)
        opened = self._complete(self._view.ask())
        self._queue = later or [number + 1]
        return opened

    def _look_from(self, number: int) -> None:
        """Sets what proposes trial ``number``, and what it may know."""
        self._view.look_again()
        self._view.sampler = make_sampler(self.experiment, self.space, number)
        self._view.asked = number
        self._view.horizon = None if self._lag is None else number - self._lag

    def _reopen(self, number: int) -> _OpenTrial:
        """A running trial from the storage.

        A dispatcher that was killed while it asked leaves a trial with some settings missing: the same
        sampler seed proposes them again, so the trial is the one it would have been.
        """
        if number not in self._open:
            frozen = self.trials()[number]
            self._look_from(number)
            trial = optuna.trial.Trial(self._view, frozen._trial_id)
            if space_migration.OUTSIDE in frozen.user_attrs:
                outside = frozen.user_attrs[space_migration.OUTSIDE]
                self._open[number] = _OpenTrial(trial, self.settings(frozen), set(), outside)
            else:
                self._complete(trial)
            self._open[number].reported.update(frozen.intermediate_values)
        return self._open[number]

    def _complete(self, trial: optuna.Trial) -> _OpenTrial:
        opened = _OpenTrial(trial, self.space.suggest(trial, self.experiment), set())
        self._open[trial.number] = opened
        return opened

    def reported(self, number: int) -> set[int]:
        """The steps whose values a running trial has in the study."""
        return self._open[number].reported

    def params(self, number: int) -> Params:
        """A running trial's settings."""
        return dict(self._open[number].params)

    def report(self, number: int, evaluation: Evaluation) -> None:
        """Records an intermediate value; a step already reported keeps its value."""
        opened = self._open[number]
        if evaluation.step not in opened.reported:
            if len(self._objectives) == 1:  # Optuna takes no intermediate values for several
                self._patiently(lambda: opened.trial.report(evaluation.value, evaluation.step))
            opened.reported.add(evaluation.step)

    def tell(self, number: int, state: FinalState, record: Record) -> None:
        """Ends a trial; telling it again changes nothing. A complete trial's value is its last evaluation."""

        def tell() -> None:
            if number not in self._open:  # told already
                return
            trial = self._open[number].trial
            try:
                trial.set_user_attr(RECORD, asdict(record))
            except optuna.exceptions.UpdateFinishedTrialError:  # told when the answer did not come through
                return
            for name, most in self._constraints.items():
                if name in record.metrics and name not in trial.constraints:
                    trial.set_constraint(name, record.metrics[name] - most)
            values = None
            if state == "complete":
                others = [record.metrics[name] for name in self._objectives[1:]]
                values = [record.history[-1].value, *others]
            self._study.tell(number, values, state=OPTUNA_STATE[state], skip_if_finished=True)

        self._patiently(tell)
        self._open.pop(number, None)

    def conclude(self, selection: Selection) -> None:
        """Keeps the verdict, and what each fresh seed came to, as attributes that optuna-dashboard shows."""
        found: dict[str, Any] = {"verdict": selection.verdict}
        for each in filter(None, (selection.candidate, *selection.others)):
            for fresh in each.confirmation:
                found[f"confirmed/trial-{each.trial}/seed-{fresh.seed}"] = fresh.value

        def keep() -> None:
            for key, value in found.items():
                self._study.set_user_attr(key, value)

        self._patiently(keep)

    def _patiently(self, action: Callable[[], Result]) -> Result:
        """Does what may be done twice, again and again while the storage is away.

        Raises:
            JobError: it stays away for ``STORAGE_PATIENCE`` seconds, or its file is damaged.
        """
        deadline = time.monotonic() + STORAGE_PATIENCE
        while True:
            try:
                return action()
            except (SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
                if time.monotonic() > deadline or is_damage(error):
                    address = mask(self._address)
                    raise JobError(
                        f"the study's storage does not answer: {address}: {said(error, self._address)}"
                    ) from None
                time.sleep(STORAGE_PAUSE)

    def importances(self) -> dict[str, float]:
        """PED-ANOVA importances of the settings; empty where there are too few trials or no variation."""
        seen = View(self._study.study_name, self._study._storage)
        try:
            evaluator = optuna.importance.PedAnovaImportanceEvaluator()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that they say little for few trials
                return dict(optuna.importance.get_param_importances(seen, evaluator=evaluator))
        except (ValueError, RuntimeError):
            return {}


def _sweep(experiment: Experiment) -> Sweep:
    if experiment.sweep is None:
        raise UsageError(f"{experiment.name}: the experiment has no [sweep] table")
    return experiment.sweep
