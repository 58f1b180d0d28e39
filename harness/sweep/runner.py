"""A sweep from its folder: checks, claims and locks it, opens the study, and sets a dispatcher to work.

SWEEP/experiment.toml  manifest.json  study.db  summary.json  trials.csv  warm_start.json
SWEEP/trials/N/attempt-M/     SWEEP/confirm/trial-N/seed-K/attempt-M/     (see attempts.py)
"""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType

from evals.base.errors import UsageError
from harness.config import Experiment, Sweep
from harness.sweep.controller import Dispatcher
from harness.sweep.events import Event
from harness.sweep.executors.registry import Executor, make_executor
from harness.sweep.rebuild import STUDY, set_aside_damaged, settings_on_disk
from harness.sweep.resume import claim
from harness.sweep.scheduler import Clock
from harness.sweep.selection import confirmation_experiment
from harness.sweep.space_table import parse_space
from harness.sweep.storage import open_storage
from harness.sweep.study import Study
from harness.sweep.summary import Summary
from harness.sweep.warm_start import WARM_START, warm_start
from harness.train.run_dir import lock_folder

TRAIN = (sys.executable, "-m", "harness.cli", "train")
WITH_PARENT = ("--no-python", "setpriv", "--pdeathsig", "KILL")
"""What torchrun starts ends with it: a killed trial leaves no process behind."""


def run_sweep(
    experiment: Experiment,
    folder: Path,
    *,
    storage: str | None = None,
    executor: Executor | None = None,
    on_event: Callable[[Event], None] | None = None,
    command: Sequence[str] | None = None,
    clock: Clock | None = None,
    poll_seconds: float = 0.1,
    accept_space_change: bool = False,
    prepare: Callable[[], None] | None = None,
) -> Summary:
    """Runs a sweep, or goes on with the one in ``folder``, and returns what it wrote to summary.json.

    Args:
        experiment: What to sweep; its own settings are the first trial.
        folder: The sweep's folder; made where it is not there.
        storage: An SQLAlchemy address for the study; by default SQLite in the folder.
        executor: What launches the attempts; by default what ``sweep.executor`` says.
        on_event: Called, in this thread, whenever there is something to show.
        command: What trains: gets ``FILE --out FOLDER --quiet`` appended; by default `harness train`, by
            torchrun where a trial is several processes.
        clock: Time; simulations bring their own.
        poll_seconds: How often the attempts are looked at.
        accept_space_change: Go on in another space than the one the sweep in ``folder`` has searched so far.
        prepare: Called before the first trial, when nothing is left to refuse: makes what the trials share.

    Raises:
        UsageError: a space that the schema refuses, a folder of another sweep, another dispatcher at work in
            it, storage that does not answer, an objective that no run reports.
        KeyboardInterrupt: Ctrl-C or SIGTERM, after every attempt was ended; the same call goes on.
    """
    sweep = checked_sweep(experiment)
    space = parse_space(sweep.space)
    space.check(experiment)
    if sweep.confirm_seeds:
        confirmation_experiment(experiment, space.apply(experiment, {}), 1)
    warm = warm_start(experiment, space, folder)
    if storage is not None:
        open_storage(storage).engine.dispose()
    executor = executor or make_executor(sweep)
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    lock = lock_folder(folder)
    try:
        own = folder / STUDY if storage is None else None
        if own is not None:
            set_aside_damaged(own)
        folder_id = claim(experiment, folder, accept_space_change, own_study=own is not None)
        if warm is not None:
            warm.write(folder / WARM_START)
        study = Study(
            experiment,
            space,
            storage or f"sqlite:///{own}",
            folder_id,
            recovered=lambda: settings_on_disk(experiment, space, folder) if own is not None else (),
            proposed=[each.params for each in warm.proposals] if warm is not None else (),
        )
        dispatcher = Dispatcher(
            experiment,
            sweep,
            folder,
            study,
            executor,
            on_event=on_event or (lambda event: None),
            command=command or trainer(sweep.processes_per_trial),
            clock=clock or Clock(),
            poll_seconds=poll_seconds,
        )
        with terminable():
            if prepare is not None:
                prepare()
            return dispatcher.run()
    finally:
        lock.release()


def checked_sweep(experiment: Experiment) -> Sweep:
    """The experiment's sweep.

    Raises:
        UsageError: there is none, or nothing to train, or nothing to judge it by.
    """
    sweep = experiment.sweep
    if sweep is None:
        raise UsageError(f"{experiment.name}: the experiment has no [sweep] table")
    if not experiment.stages:
        raise UsageError(f"{experiment.name}: the experiment has no [[stages]] to sweep")
    first = sweep.objectives[0]
    if not first.startswith("dev/"):
        raise UsageError(f"sweep.objective: must be a dev metric, such as dev/pass@1, got {first!r}")
    if not experiment.data.dev:
        raise UsageError(f"data.dev: the sweep's objective {first!r} needs dev questions")
    return sweep


def trainer(processes: int) -> tuple[str, ...]:
    """The command that trains, in one process or in several of one node."""
    if processes == 1:
        return TRAIN
    torchrun = ("-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}")
    return (sys.executable, *torchrun, *WITH_PARENT, *TRAIN)


@contextlib.contextmanager
def terminable() -> Iterator[None]:
    """SIGTERM, and SIGHUP of a terminal that is closed, end the sweep as Ctrl-C does.

    (Where this is the main thread, which alone may say so; under nohup SIGHUP stays ignored.)
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    heeded = [n for n in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(n) is not signal.SIG_IGN]
    before = {number: signal.signal(number, interrupt) for number in heeded}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
