"""A sweep that goes on in another space than it began in.

Optuna keeps the choices of a setting for a study's life. So the sweep goes on in a new study of the same
storage, which gets every earlier trial under its old number: as a point of the new space where that holds the
trial's settings, else set aside (``OUTSIDE``): counted, resumed and eligible, but not shown to the sampler.
The old study names its successor last of all, so that a move cut short by a kill is simply done again.
"""

from __future__ import annotations

import contextlib
import copy
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from evals.base.errors import UsageError
from harness.config import Experiment
from harness.sweep.space import Params, Space
from harness.sweep.space_table import parse_space

SPACE = "space"
"""User attribute of a study: its ``[sweep.space]``."""
OUTSIDE = "outside"
"""User attribute of a trial that is not a point of its study's space: the space and the settings it had."""
SUCCESSOR = "successor"
"""User attribute of a study: the name of the one that the sweep went on in."""
CONSTRAINTS = "constraints"
"""How Optuna's names of constraint values begin; its other system attributes are notes of a sampler."""


def newest(study: optuna.Study) -> optuna.Study:
    """The study that a sweep is in now."""
    while SUCCESSOR in study.user_attrs:
        study = optuna.load_study(study_name=study.user_attrs[SUCCESSOR], storage=study._storage)
    return study


def move(old: optuna.Study, first_name: str, space: Space, experiment: Experiment) -> optuna.Study:
    """Goes on in ``space``: a study with the trials of ``old``, which names it as its successor.

    ``experiment`` may differ from the one that the trials were of in its space alone.
    """
    assert experiment.sweep is not None
    place = old.study_name.removeprefix(first_name).strip(" ()").removeprefix("space ")
    name = f"{first_name} (space {int(place or 1) + 1})"  # no experiment can be called that
    if name in optuna.get_all_study_names(old._storage):
        optuna.delete_study(study_name=name, storage=old._storage)
    new = optuna.create_study(study_name=name, storage=old._storage, directions=old.directions)
    for key, value in old.user_attrs.items():
        new.set_user_attr(key, value)
    new.set_user_attr(SPACE, experiment.sweep.space)
    for trial in old.get_trials(deepcopy=False):
        if trial.state is not TrialState.WAITING:
            new.add_trial(_carried(trial, old.user_attrs[SPACE], space, experiment))
    old.set_user_attr(SUCCESSOR, name)
    return new


def settings_of(trial: FrozenTrial, table: dict[str, Any]) -> tuple[dict[str, Any], Params]:
    """The space that a trial was asked for in, and its settings there; ``table`` is its study's space."""
    outside = trial.user_attrs.get(OUTSIDE)
    return (table, dict(trial.params)) if outside is None else (outside["space"], outside["params"])


def _carried(trial: FrozenTrial, table: dict[str, Any], space: Space, experiment: Experiment) -> FrozenTrial:
    """The trial as the new study has it."""
    table, params = settings_of(trial, table)
    carried = copy.copy(trial)
    carried.system_attrs = {k: v for k, v in trial.system_attrs.items() if k.startswith(CONSTRAINTS)}
    carried.user_attrs = {k: v for k, v in trial.user_attrs.items() if k != OUTSIDE}
    carried.params, carried.distributions = {}, {}
    asked_in, point = parse_space(table), None
    if trial.state is TrialState.RUNNING and not asked_in.holds(params, experiment):
        return carried  # a kill cut the asking short: it is asked for anew
    with contextlib.suppress(UsageError):  # a combination that the schema refused, so the trial failed
        point = space.point_of(asked_in.apply(experiment, params), experiment)
    if point is None:
        carried.user_attrs[OUTSIDE] = {"space": table, "params": params}
    else:
        carried.params = point
        carried.distributions = {s.key: s.distribution for s in space.settings if s.key in point}
    return carried
