"""What can be known to be wrong with a sweep before its first step: hours of trials need not find it out."""

from __future__ import annotations

from evals.base.errors import UsageError
from harness.config import Experiment
from harness.config.kinds import EXECUTORS
from harness.sweep.runner import checked_sweep
from harness.sweep.selection import confirmation_experiment
from harness.sweep.space_table import parse_space
from harness.train.checks import check_ahead, check_experiment


def check_sweep(experiment: Experiment, where: str = "sweep.space") -> None:
    """Refuses a sweep of which some trial or confirmation could not run as written.

    Each choice of the space is checked as an experiment of its own: rewards, templates, files and tasks that
    it names must be there. ``where`` is the table that the space comes from.

    Raises:
        UsageError, TaskError: one sentence that names the key.
    """
    check_experiment(experiment)
    sweep = checked_sweep(experiment)
    EXECUTORS.factory(sweep.executor.kind, sweep.executor.settings, "sweep.executor")
    space = parse_space(sweep.space, where)
    space.check(experiment)
    for trial in (space.apply(experiment, {}), *space.chosen(experiment)):
        check_experiment(trial)
        _check_processes(trial, sweep.processes_per_trial)
        if sweep.confirm_seeds:
            check_experiment(confirmation_experiment(experiment, trial, 1))


def _check_processes(trial: Experiment, processes: int) -> None:
    try:
        check_ahead(trial, processes)
    except UsageError as error:
        raise UsageError(f"{error}; sweep.processes_per_trial is {processes}") from None
