"""``sweep``: a study over an experiment's settings, to its report."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from evals.base.progress import Progress
from harness import config
from harness.api.experiment import experiment_of
from harness.api.reward import check_other_processes
from harness.jobs.sweep import SweepResult, sweep_and_measure
from harness.sweep.events import Event


def sweep(
    experiment: config.Experiment | str | Path,
    folder: str | Path | None = None,
    *,
    on_event: Callable[[Event], object] | None = None,
    storage: str | None = None,
    accept_space_change: bool = False,
    quiet: bool = False,
) -> SweepResult:
    """Runs an Optuna study, confirms its winner, measures base and winner, as ``harness sweep`` does.

    Trials are processes of their own. Interrupted or killed, the same call goes on.

    Args:
        experiment: What to sweep, with its ``[sweep]`` table; or an experiment file.
        folder: The sweep's folder; by default ``runs/NAME``.
        on_event: Called in this thread with every ``Event``: a trial began, reported, ended.
        storage: Where the study lives (an SQLAlchemy address); by default SQLite in the folder.
        accept_space_change: Go on in another space than the folder's sweep began in.
        quiet: No progress.

    Raises:
        UsageError: the experiment cannot run as written, names a reward that only this process knows, or the
            folder holds another sweep.
        JobError: it ran and failed.
    """
    wanted = experiment_of(experiment)
    check_other_processes(wanted)
    target = Path("runs") / wanted.name if folder is None else Path(folder)
    return sweep_and_measure(wanted, target, Progress(quiet), storage, accept_space_change, on_event)
