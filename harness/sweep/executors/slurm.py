"""Attempts as Slurm jobs, one job each, submitted by submitit.

On its node the job starts the process as on a machine of one slot (local.py) and watches over it. All nodes
see the sweep's folder and the project's environment under the same paths. The dispatcher speaks to a job
through the attempt's folder, and asks Slurm only what became of jobs that left no answer there:

    ATTEMPT/slurm/job       Slurm's id of the job; written by the dispatcher, and by the job when it begins
    ATTEMPT/slurm/signal    "TERM" or "KILL": what the job shall send to its process
    ATTEMPT/slurm/...       submitit's own: the batch script, its output, the process's exit code

A job is never put back into the queue by Slurm: one that is preempted, loses its node or reaches its time
limit is an attempt that ended, and the next attempt resumes from its newest checkpoint.
"""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import submitit
from submitit.helpers import clean_env

from evals.base import io
from evals.base.errors import JobError, first_line
from harness.models.devices import visible_devices
from harness.sweep.executors.local import WITH_PARENT, LocalExecutor
from harness.sweep.executors.registry import Exit, Launch

log = logging.getLogger(__name__)

NODE_SECONDS = 0.3
"""Between two looks of a job at its process and at what the dispatcher says."""
ASK_SECONDS = 30.0
"""Between two questions to Slurm, each about all jobs at once."""
GRACE_SECONDS = 60.0
"""How long a job may take to follow a "KILL" before it is cancelled, and to vanish after that."""
RESULT_SECONDS = 15.0
"""How long the exit code of a job that is over may take to arrive over the network file system."""
AT_WORK = ("PENDING", "RUNNING", "CONFIGURING", "COMPLETING", "SUSPENDED", "UNKNOWN")
"""States of a job that may still do something; of one that it has not heard of yet, submitit says UNKNOWN."""


@dataclass
class SlurmJob:
    """A submitted job, how its process ended, and what was done about it so far (on the monotonic clock)."""

    job: submitit.Job[int | None]
    folder: Path
    exit: Exit | None = None
    killed_at: float | None = None
    cancelled_at: float | None = None
    over_at: float | None = None
    """When Slurm first said that it is over; its exit code may still be on its way."""


class SlurmExecutor:
    """Runs attempts as jobs of the cluster that ``sbatch`` submits to; a slot is not a place here."""

    def __init__(
        self, parameters: Mapping[str, Any], gpus: int = 0, ask_seconds: float = ASK_SECONDS
    ) -> None:
        """``parameters``: what each job asks for, as submitit names it; ``gpus`` of them are its GPUs."""
        self.parameters, self.gpus = dict(parameters), gpus
        self.devices_per_launch = float(gpus or 1)
        self.ask_seconds = ask_seconds
        self._asked_at = -ask_seconds

    def launch(self, launch: Launch) -> SlurmJob:
        """Submits the job.

        Raises:
            JobError: sbatch refuses it, or there is no Slurm.
        """
        own = launch.folder / "slurm"
        shutil.rmtree(own, ignore_errors=True)
        own.mkdir(parents=True)
        try:
            with clean_env():  # a dispatcher that is a job itself would hand its own allocation on
                # With -1 time-outs allowed submitit does not ask Slurm to requeue a job that is preempted.
                executor = submitit.SlurmExecutor(own, max_num_timeout=-1)
                executor.update_parameters(job_name=f"harness-{launch.folder.parent.name}", **self.parameters)
                job = executor.submit(run_here, launch, self.gpus > 0)
        except Exception as error:  # submitit raises what its helpers raise, subprocess's errors among them
            raise JobError(f"{launch.folder}: Slurm does not take the job: {first_line(error)}") from error
        io.write_text(own / "job", job.job_id)
        return SlurmJob(job, launch.folder)

    def adopt(self, launch: Launch) -> SlurmJob | None:
        """The job of an earlier dispatcher's launch; a job that has not begun by now never will.

        The dispatcher may have been killed before it noted the job's id. The job notes it when it begins, and
        then looks for ``fence``; here the fence comes first: one of the two sees the other.
        """
        (launch.folder / "fence").touch()
        note = launch.folder / "slurm" / "job"
        if not note.exists():
            return None
        job_id = note.read_text(encoding="utf-8").strip()
        handle = SlurmJob(submitit.SlurmJob(launch.folder / "slurm", job_id), launch.folder)
        self._asked_at = -self.ask_seconds
        handle.over_at = -RESULT_SECONDS  # an exit code that is not here now is not waited for
        if self.poll(handle) is not None:
            return None
        handle.over_at = None
        (launch.folder / "fence").unlink(missing_ok=True)
        return handle

    def poll(self, handle: SlurmJob) -> Exit | None:
        """How the process ended; without a code where the job could not tell it any more."""
        if handle.exit is None:
            handle.exit = self._left(handle) or self._lost(handle)
        return handle.exit

    def waits(self, handle: SlurmJob) -> bool:
        """Until the process has left its line in the folder, the job waits in the queue."""
        return not (handle.folder / "process").exists()

    def stop(self, handle: SlurmJob, *, force: bool) -> None:
        """Tells the job what to send to its process; one that waits in the queue is cancelled."""
        if self.poll(handle) is not None:
            return
        io.write_text(handle.folder / "slurm" / "signal", "KILL" if force else "TERM")
        if force:
            handle.killed_at = handle.killed_at or time.monotonic()
        if force and self.waits(handle):
            self._cancel(handle)

    def _cancel(self, handle: SlurmJob) -> None:
        handle.job.cancel(check=False)
        handle.cancelled_at = time.monotonic()
        self._asked_at = -self.ask_seconds

    def _left(self, handle: SlurmJob) -> Exit | None:
        """What the job has left: its process's exit code, or submitit's word that it failed."""
        if not handle.job.paths.result_pickle.exists():
            return None
        try:
            return Exit(handle.job.result())
        except Exception as error:  # what happened on the node, as submitit has packed it
            log.warning("%s: the job ended early: %s", handle.folder, _last_line(error))
            return Exit(None)

    def _lost(self, handle: SlurmJob) -> Exit | None:
        """Whether Slurm says that the job is over, or it has not been heard of since it was cancelled."""
        now = time.monotonic()
        if now - self._asked_at >= self.ask_seconds:
            self._asked_at = now
            handle.job.watcher.update()
        state = handle.job.watcher.get_state(handle.job.job_id, mode="cache").split()
        if state and state[0] not in AT_WORK:
            handle.over_at = handle.over_at or now
            if now - handle.over_at >= RESULT_SECONDS or state[0] != "COMPLETED":
                return Exit(None)
        if handle.cancelled_at is None:
            if handle.killed_at is not None and now - handle.killed_at > GRACE_SECONDS:
                self._cancel(handle)
            return None
        return Exit(None) if now - handle.cancelled_at > GRACE_SECONDS else None


def run_here(launch: Launch, devices: bool) -> int | None:
    """On the node: starts the process, passes signals on, and returns its exit code (negative for a signal).

    ``devices``: whether the job has GPUs, which Slurm names in CUDA_VISIBLE_DEVICES.
    """
    word = launch.folder / "slurm" / "signal"
    io.write_text(launch.folder / "slurm" / "job", submitit.JobEnvironment().job_id)
    executor = LocalExecutor(1, devices=visible_devices() if devices else [], processes=launch.processes)
    command = (*WITH_PARENT, *launch.command)
    process = executor.launch(replace(launch, slot=0, beside=1, command=command))
    said = ""
    try:
        while (ended := executor.poll(process)) is None:
            now = word.read_text(encoding="utf-8") if word.exists() else ""
            if now != said:
                said = now
                executor.stop(process, force=now == "KILL")
            time.sleep(NODE_SECONDS)
    finally:  # Slurm takes the node away: submitit raises from its signal handler
        executor.stop(process, force=True)
    return ended.code


def _last_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[-1] if lines else type(error).__name__
