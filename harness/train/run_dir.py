"""A run's folder: the experiment, its manifest, metrics, checkpoints and status.

RUN/experiment.toml   the resolved experiment
RUN/manifest.json     command, versions, commit, seeds, hardware
RUN/metrics.jsonl     one object a line: step, stage, names -> numbers
RUN/checkpoints/step-N/
RUN/ledger.json       what it cost
RUN/status.json       running | done | pruned | failed, and why
RUN/samples.jsonl     a few completions every so many steps, for people
"""

from __future__ import annotations

import logging
import math
import platform
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import filelock
import psutil

from evals.base import io
from evals.base.errors import UsageError
from harness.config import Experiment, Reject, dump_toml, parts, read_experiment
from harness.train.heartbeat import beating
from harness.train.ledger import DEVICES, Kept, Launches, MicroBatchSize, devices
from harness.train.manifest import changed_plugins, write_manifest
from harness.train.mending import drop_damaged, mend_metrics, mend_samples
from harness.train.status import State, write_status

logger = logging.getLogger(__name__)


class Run:
    """A run folder that this process owns until ``close``: a second process is refused.

    Metrics of steps that a crash left behind the last checkpoint are cut off on resume by
    ``rewind(step)``, so that no step is counted twice.
    """

    def __init__(self, folder: Path, experiment: Experiment, argv: Sequence[str] = ()) -> None:
        """Opens or creates the folder.

        Raises:
            UsageError: the folder holds another experiment, or another process works in it.
        """
        self.folder = folder
        self.experiment = experiment
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = lock_folder(folder)
        try:
            self._claim(argv)
        except BaseException:
            self._lock.release()
            raise

    def _claim(self, argv: Sequence[str]) -> None:
        text = dump_toml(self.experiment)
        recorded = self.folder / "experiment.toml"
        if not holds(recorded, text):
            read_experiment([recorded])  # a damaged one says so
            raise UsageError(
                f"{recorded}: this folder holds a run with other settings; name another --out, or delete it"
            )
        if not recorded.exists():
            write_manifest(self.folder, self.experiment, argv)
            io.write_text(recorded, text)
        else:
            for sentence in changed_plugins(self.folder, self.experiment):
                logger.warning("%s: %s", self.folder, sentence)
        io.drop_torn_line(self.metrics_path)
        io.drop_torn_line(self.samples_path)
        self._mend()
        self._launches = Launches(self.folder, self.experiment.stages)
        self._heart = ExitStack()
        self._heart.enter_context(beating(self._launches.alive))

    def _mend(self) -> None:
        """Takes out what is damaged and will be written again (see harness/train/mending.py)."""
        mend_metrics(self.metrics_path, self.checkpoints)
        mend_samples(self.samples_path)
        stages = parts(self.experiment.stages)
        drop_damaged({self.data_file(stage.name): Kept for stage in stages if isinstance(stage, Reject)})
        drop_damaged({self.micro_batch(stage.name): MicroBatchSize for stage in stages})

    @property
    def metrics_path(self) -> Path:
        return self.folder / "metrics.jsonl"

    @property
    def samples_path(self) -> Path:
        return self.folder / "samples.jsonl"

    @property
    def checkpoints(self) -> Path:
        return self.folder / "checkpoints"

    def data_file(self, stage: str) -> Path:
        """The file that says what a "reject" stage kept, turned away and cost."""
        return self.folder / "data" / f"{stage}.json"

    def micro_batch(self, stage: str) -> Path:
        """The file that tells the next launch how many tokens fit into memory (see grpo/memory.py)."""
        return self.folder / "data" / f"{stage}.micro-batch.json"

    def log(self, step: int, stage: str, values: Mapping[str, float]) -> dict[str, Any]:
        """Appends a line of metrics, flushed to disk, and returns it; NaN and infinity become null."""
        clean = {name: value if math.isfinite(value) else None for name, value in values.items()}
        row = {"step": step, "stage": stage, "time": round(time.time(), 3), **clean}
        if devices() > 1:
            row[DEVICES] = devices()
        io.append_line(self.metrics_path, row)
        self._launches.alive()
        return row

    def logged(self) -> int:
        """The last step in metrics.jsonl; 0 where there is none."""
        return max((row["step"] for row in io.read_lines(self.metrics_path)), default=0)

    def log_samples(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Appends sampled completions, with their rewards, for people to look at."""
        for row in rows:
            io.append_line(self.samples_path, row)

    def rewind(self, step: int) -> None:
        """Cuts metrics and samples after ``step``: what resumes there will write them again."""
        for path in (self.metrics_path, self.samples_path):
            rows = list(io.read_lines(path))
            kept = [row for row in rows if row["step"] <= step]
            if len(kept) != len(rows):
                io.write_lines(path, kept)

    def set_status(self, state: State, reason: str = "") -> None:
        write_status(self.folder, state, reason)

    def close(self) -> None:
        self._heart.close()
        self._launches.close()
        self._lock.release()


class Follower(Run):
    """The run's folder for a process beside the one that writes it: nothing is written, nothing is locked."""

    def __init__(self, folder: Path, experiment: Experiment) -> None:
        self.folder = folder
        self.experiment = experiment

    def log(self, step: int, stage: str, values: Mapping[str, float]) -> dict[str, Any]:
        return {"step": step, "stage": stage, **values}

    def log_samples(self, rows: Sequence[Mapping[str, Any]]) -> None:
        pass

    def rewind(self, step: int) -> None:
        pass

    def set_status(self, state: State, reason: str = "") -> None:
        pass

    def close(self) -> None:
        pass


def holds(recorded: Path, text: str) -> bool:
    """Whether a recorded experiment.toml, if there is one, says what ``text`` says.

    An earlier version wrote fewer keys: what it meant by leaving one out is that key's default.

    Raises:
        UsageError: the recorded one is damaged.
    """
    if not recorded.exists() or recorded.read_bytes() == text.encode():
        return True
    return dump_toml(read_experiment([recorded])) == text


def lock_folder(folder: Path) -> filelock.FileLock:
    """Takes the folder's lock, released by the kernel when this process dies.

    Raises:
        UsageError: another process holds it (named by its id).
    """
    lock = filelock.FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        holder = folder / ".holder"
        who = holder.read_text(encoding="utf-8") if holder.exists() else "another process"
        raise UsageError(f"{folder}: {who} is at work in this folder") from None
    io.write_text(folder / ".holder", f"process {psutil.Process().pid} on {platform.node()}")
    return lock
