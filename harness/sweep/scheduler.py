"""The crew: keeps jobs going on a fixed number of slots, attempt after attempt, until each has an outcome.

A job is a configuration to train: a trial, or a confirmation of the winner. The crew knows nothing of
studies. All it needs to go on after a kill is in the job's folder (see attempts.py).
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from evals.base import io
from evals.base.errors import UsageError
from harness.config import Experiment, dump_toml
from harness.sweep import attempts
from harness.sweep.attempts import Attempt, Progress, Pruned
from harness.sweep.evaluation import Evaluation
from harness.sweep.executors.registry import Executor, Exit, Launch
from harness.train.heartbeat import ALIVE
from harness.train.run_dir import holds
from harness.train.status import read_status

STOP_GRACE = 60.0
"""Seconds that a run gets to end by itself after it was asked to."""
LOOKS = 0.25
"""Between two looks at the whole folder of a silent run, as a part of what it may be silent for."""
TERM_GRACE = 15.0
"""Seconds from SIGTERM to SIGKILL."""


@dataclass(frozen=True)
class Clock:
    """Time, as the crew sees it; simulations bring their own."""

    wall: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


@dataclass(frozen=True)
class Outcome:
    """How a job ended."""

    state: Literal["done", "pruned", "failed"]
    reason: str = ""


@dataclass
class Job:
    """A configuration to train, and where it stands."""

    folder: Path
    experiment: Experiment
    attempt: Attempt | None = None
    handle: Any = None
    """The executor's handle on its process; None while there is none."""
    progress: Progress | None = None
    launched: list[Attempt] = field(default_factory=list)
    """Its launches so far, as they are on disk, the present one included."""
    active_at: float = 0.0
    """When it last gave a sign of life, on the monotonic clock."""
    looked_at: float = 0.0
    """When its whole folder was last looked at, on the monotonic clock."""
    seen: tuple[int, int] = (0, 0)
    """When its heartbeat's file and its folder had last changed, in nanoseconds since the epoch."""
    began: float = 0.0
    """When the present attempt began, on the monotonic clock."""
    stopping_at: float | None = None
    """When it was asked to end."""
    killing: str = ""
    """Why it is being killed."""
    pruned: Pruned | None = None
    """The decision to end it, where there is one."""

    @property
    def history(self) -> dict[int, Evaluation]:
        """Its evaluations by step, the present attempt's and those it inherited."""
        return self.progress.history if self.progress is not None else {}

    def device_seconds(self, now: float) -> float:
        """What its launches have taken, the one at work up to ``now`` on the monotonic clock."""
        at_work = 0.0
        if self.handle is not None and self.attempt is not None:
            at_work = self.attempt.devices * (now - self.began)
        return attempts.device_seconds(self.launched) + at_work


class Crew:
    """Runs jobs on ``slots`` slots through an executor."""

    def __init__(
        self,
        executor: Executor,
        command: Sequence[str],
        slots: int,
        *,
        objective: str,
        max_attempts: int,
        hang_seconds: float,
        clock: Clock,
        on_launch: Callable[[Job], None],
        watched: Sequence[str] = (),
        processes: int = 1,
    ) -> None:
        """``command`` gets the experiment file, ``--out`` and the attempt's folder appended.

        ``processes`` is how many processes at work it comes to.
        """
        self.executor = executor
        self.command = tuple(command)
        self.objective, self.watched = objective, tuple(watched)
        self.max_attempts = max_attempts
        self.hang_seconds = hang_seconds
        self.clock = clock
        self.on_launch = on_launch
        self.processes = processes
        self.beside = slots
        """How many jobs are at work at a time, as far as there are so many: they share the cores."""
        self.jobs: list[Job] = []
        self._slots = slots

    @property
    def has_room(self) -> bool:
        return len(self.jobs) < self._slots

    def start(self, job: Job) -> None:
        """Takes a job on: adopts its live attempt, or launches it at the next tick."""
        recorded, text = job.folder / "experiment.toml", dump_toml(job.experiment)
        if not _says(recorded, text):
            io.write_text(recorded, text)
        job.pruned = Pruned.read(job.folder)
        job.launched = attempts.attempts_of(job.folder)
        if job.launched and job.launched[-1].outcome is None:
            self._take_over(job, job.launched[-1])
        self.jobs.append(job)

    def tick(self) -> list[tuple[Job, Outcome]]:
        """Looks after every job once; those that have an outcome leave the crew."""
        ended = []
        for job in list(self.jobs):
            outcome = self._settled(job) if job.handle is None else self._watch(job)
            if outcome is None and job.handle is None:
                self._launch(job)
            if outcome is not None:
                self.jobs.remove(job)
                ended.append((job, outcome))
        return ended

    def prune(self, job: Job, decision: Pruned) -> None:
        """Ends a job: its run notices at its next step, and is killed if it does not."""
        decision.write(job.folder)
        job.pruned = decision
        self._ask_to_stop(job)

    def _ask_to_stop(self, job: Job) -> None:
        if job.handle is not None and job.attempt is not None and job.pruned is not None:
            job.attempt.ask_to_stop(job.pruned.reason)
            job.stopping_at = self.clock.monotonic()

    def shut_down(self) -> None:
        """Ends every process and leaves jobs that the next dispatcher can resume."""
        working = [job for job in self.jobs if job.handle is not None]
        try:
            self._signal(working, force=False)
            deadline = self.clock.monotonic() + TERM_GRACE
            while working and self.clock.monotonic() < deadline:
                self.clock.sleep(0.05)
                working = [job for job in working if self.executor.poll(job.handle) is None]
        finally:  # a second Ctrl-C ends the wait, not the killing
            self._signal(working, force=True)
        while any(self.executor.poll(job.handle) is None for job in working):
            self.clock.sleep(0.02)
        for job in self.jobs:
            if job.handle is not None:
                self._end(job, None, interrupted=True)

    def _signal(self, jobs: Sequence[Job], *, force: bool) -> None:
        for job in jobs:
            self.executor.stop(job.handle, force=force)

    def _spec(self, job: Job, attempt: Attempt) -> Launch:
        file = job.folder / "experiment.toml"
        command = (*self.command, str(file), "--out", str(attempt.folder), "--quiet")
        return Launch(
            command,
            attempt.folder,
            attempt.token,
            attempt.slot,
            processes=self.processes,
            beside=self.beside,
        )

    def _take_over(self, job: Job, attempt: Attempt) -> None:
        handle = self.executor.adopt(self._spec(job, attempt))
        self._attach(job, attempt)
        job.began -= attempt.seconds_so_far(self.clock.wall())  # before this dispatcher was there
        if handle is not None:
            job.handle = handle
            self._ask_to_stop(job)
        else:
            self._end(job, None, interrupted=True)

    def _launch(self, job: Job) -> None:
        taken = {
            other.attempt.slot
            for other in self.jobs
            if other.attempt is not None and other.handle is not None
        }
        slot = next(i for i in range(len(taken) + 1) if i not in taken)
        attempt = attempts.prepare(job.folder, slot, self.clock.wall(), self.executor.devices_per_launch)
        job.launched = attempts.attempts_of(job.folder)
        self._attach(job, attempt)
        job.handle = self.executor.launch(self._spec(job, attempt))
        self.on_launch(job)

    def _attach(self, job: Job, attempt: Attempt) -> None:
        job.attempt = attempt
        job.progress = Progress(attempt.folder / "metrics.jsonl", self.objective, self.watched)
        job.progress.refresh()
        job.active_at = job.looked_at = job.began = self.clock.monotonic()
        job.seen = (_changed(attempt.folder / ALIVE), attempts.newest_change(attempt.folder))
        job.stopping_at, job.killing = None, ""

    def _watch(self, job: Job) -> Outcome | None:
        """Looks after a job whose process may be at work."""
        exit_ = self.executor.poll(job.handle)
        now = self.clock.monotonic()
        if self.executor.waits(job.handle) and exit_ is None:
            job.active_at = job.began = now
        elif self._is_alive(job, now):
            job.active_at = now
        if exit_ is not None:
            self._end(job, exit_)
            return self._settled(job)
        stuck = now - (job.active_at if job.stopping_at is None else job.stopping_at)
        if job.stopping_at is not None and stuck > STOP_GRACE:
            self.executor.stop(job.handle, force=stuck > STOP_GRACE + TERM_GRACE)
        elif job.stopping_at is None and stuck > self.hang_seconds:
            job.killing = f"wrote nothing for {self.hang_seconds / 60:.3g} minutes"
            self.executor.stop(job.handle, force=True)
        return None

    def _is_alive(self, job: Job, now: float) -> bool:
        """Whether it gave a sign of life since the last look: metrics, its heartbeat, anything it wrote.

        The whole folder is looked at only where the first two have been silent for a while.
        """
        assert job.progress is not None
        assert job.attempt is not None
        beat, newest = _changed(job.attempt.folder / ALIVE), job.seen[1]
        silent = now - max(job.active_at, job.looked_at)
        if silent > self.hang_seconds * LOOKS:
            newest, job.looked_at = attempts.newest_change(job.attempt.folder), now
        before, job.seen = job.seen, (beat, newest)
        return job.progress.refresh() or job.seen != before

    def _end(self, job: Job, exit_: Exit | None, interrupted: bool = False) -> None:
        """Records how the present attempt ended."""
        attempt, progress = job.attempt, job.progress
        assert attempt is not None
        assert progress is not None
        progress.refresh()
        job.handle = None
        now, took = self.clock.wall(), self.clock.monotonic() - job.began
        status = read_status(attempt.folder)
        if status is not None and status.state in ("done", "pruned", "failed"):
            job.attempt = attempt.end(status.state, status.reason, now, took)
        elif job.pruned is not None:  # it was to end, and has
            job.attempt = attempt.end("pruned", job.pruned.reason, now, took)
        elif interrupted:
            job.attempt = attempt.end(
                "interrupted", "", min(now, attempts.last_activity(attempt.folder)), took
            )
        else:
            reason = job.killing or _cause(attempt.folder, exit_)
            job.attempt = attempt.end("died", reason, now, took)
        job.launched[-1] = job.attempt

    def _settled(self, job: Job) -> Outcome | None:
        """The job's outcome, where its attempts so far amount to one."""
        if not job.launched:
            return None
        last = job.launched[-1]
        if job.attempt is None:
            self._attach(job, last)
        if job.pruned is not None:
            return Outcome("pruned", job.pruned.reason)
        if last.outcome == "pruned":
            return Outcome("pruned", last.reason)
        if last.outcome == "done":
            return Outcome("done")
        hopeless = attempts.hopeless(job.launched, self.max_attempts)
        return None if hopeless is None else Outcome("failed", hopeless)


def _changed(path: Path) -> int:
    """When a file last changed, in nanoseconds since the epoch; 0 where there is none."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def _cause(folder: Path, exit_: Exit | None) -> str:
    """Why a process ended without a status: its exit, and the last thing it said."""
    code = exit_.code if exit_ is not None else None
    if code is None:
        how = "the process is gone"
    elif code < 0:
        how = f"killed by {signal.Signals(-code).name}"
    else:
        how = f"ended with exit code {code}, without a status"
    said = _last_line(folder / "log.txt")
    return f"{how}: {said}" if said else how


def _last_line(log: Path, most: int = 300) -> str:
    if not log.exists():
        return ""
    with log.open("rb") as handle:
        handle.seek(max(0, os.fstat(handle.fileno()).st_size - 4096))
        lines = handle.read().decode(errors="replace").strip().splitlines()
    return lines[-1].strip()[:most] if lines else ""


def _says(recorded: Path, text: str) -> bool:
    """Whether a job's recorded experiment is there and still the same; a damaged one is written anew."""
    try:
        return recorded.exists() and holds(recorded, text)
    except UsageError:
        return False
