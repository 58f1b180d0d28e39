"""Attempts on disk: one folder per process launch, and how a later one takes over from a dead one.

    JOB/experiment.toml          what every attempt runs (a job is a trial or a confirmation)
    JOB/pruned.json              the dispatcher's decision to end the job, and at which step
    JOB/attempt-M/attempt.json   token, slot, when it was launched, and how it ended
    JOB/attempt-M/stop           written by the dispatcher: the reason why the run shall end now
    JOB/attempt-M/log.txt        what the process printed
    JOB/attempt-M/...            the run's own files

Attempt M+1 continues attempt M: it gets M's checkpoints (renamed, not copied) and a copy of M's metrics,
which the run itself cuts back to the checkpoint. Since the checkpoints are gone from M's folder, a process of
attempt M that is still alive somewhere can no longer do harm. ``attempt.json`` is written last: a folder
without it was never launched, and its preparation is simply done again.
"""

from __future__ import annotations

import json
import math
import re
import shutil
import time
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import filelock

from harness import files
from harness.errors import UsageError
from harness.run import lock_folder
from harness.sweep.study import Evaluation

Outcome = Literal["done", "pruned", "failed", "died", "interrupted"]
"""How a launch ended. ``failed``: the run says so; ``died``: the process ended, or hung, without a word;
``interrupted``: it was stopped by, or went down with, its dispatcher."""

LAST_STEPS = 10
"""Steps over which a training metric is averaged to say where it ended."""
CARRIED = ("metrics.jsonl", "samples.jsonl")


@dataclass(frozen=True)
class Pruned:
    """The decision to end a job: it stands, even if its run comes to its end before it notices."""

    step: int
    reason: str

    def write(self, job: Path) -> None:
        files.write_json(job / "pruned.json", asdict(self))

    @classmethod
    def read(cls, job: Path) -> Pruned | None:
        path = job / "pruned.json"
        return cls(**files.read_json(path)) if path.exists() else None


@dataclass(frozen=True)
class Attempt:
    """One process launch."""

    folder: Path
    number: int
    token: str
    slot: int
    launched: float
    """Seconds since the epoch."""
    start: int
    """The checkpoint (a step) it began from; -1 for none."""
    outcome: Outcome | None = None
    reason: str = ""
    ended: float | None = None
    reached: int = -1
    """The newest checkpoint when it ended."""
    devices: float = 1.0
    """What a second of it costs, in device-seconds."""

    @property
    def progressed(self) -> bool:
        """Whether it left a newer checkpoint than it began from."""
        return self.reached > self.start

    def write(self) -> None:
        row = asdict(self)
        del row["folder"]
        files.write_json(self.folder / "attempt.json", row)

    def end(self, outcome: Outcome, reason: str, now: float) -> Attempt:
        """Records how it ended."""
        ended = replace(
            self,
            outcome=outcome,
            reason=reason,
            ended=now,
            reached=max(newest_checkpoint(self.folder), self.start),
        )
        ended.write()
        return ended

    def ask_to_stop(self, reason: str) -> None:
        files.write_text(self.folder / "stop", reason)


def attempts_of(job: Path) -> list[Attempt]:
    """The launches of a job, oldest first."""
    found = []
    for path in job.glob("attempt-*/attempt.json"):
        row = files.read_json(path)
        found.append(Attempt(folder=path.parent, **row))
    return sorted(found, key=lambda attempt: attempt.number)


def prepare(job: Path, slot: int, now: float, devices: float = 1.0) -> Attempt:
    """Makes the folder of the next attempt, with what the one before left to go on from.

    Raises:
        UsageError: a process still works in the folder of the attempt before.
    """
    before = attempts_of(job)
    number = before[-1].number + 1 if before else 1
    folder = job / f"attempt-{number}"
    folder.mkdir(parents=True, exist_ok=True)
    if before:
        lock = _lock_dead(before[-1].folder)
        try:
            _carry(before[-1].folder, folder)
        finally:
            lock.release()
    attempt = Attempt(
        folder, number, uuid.uuid4().hex, slot, now, start=newest_checkpoint(folder), devices=devices
    )
    attempt.write()
    return attempt


def _lock_dead(folder: Path, patience: int = 50) -> filelock.BaseFileLock:
    """The lock of a dead run's folder; children that were just killed may hold it for a moment."""
    for _ in range(patience):
        try:
            return lock_folder(folder)
        except UsageError:
            time.sleep(0.1)
    return lock_folder(folder)


def _carry(old: Path, new: Path) -> None:
    if (old / "data").exists() and not (new / "data").exists():  # what reject stages sampled and kept
        (old / "data").rename(new / "data")
    if newest_checkpoint(old) < 0 and newest_checkpoint(new) < 0:
        return
    for name in CARRIED:
        if (old / name).exists():
            aside = new / f".{name}.tmp"
            shutil.copyfile(old / name, aside)
            aside.replace(new / name)
    if (old / "checkpoints").exists() and not (new / "checkpoints").exists():
        (old / "checkpoints").rename(new / "checkpoints")
        files.sync_folder(new)


def newest_checkpoint(run: Path) -> int:
    """The step of a run folder's newest checkpoint; -1 where there is none."""
    steps = [
        int(match[1])
        for path in (run / "checkpoints").glob("step-*")
        if (match := re.fullmatch(r"step-(\d+)", path.name))
    ]
    return max(steps, default=-1)


def hopeless(attempts: list[Attempt], max_attempts: int) -> str | None:
    """Why a job shall not be launched again; None where it may.

    A launch that fails or dies is a strike. One that left a newer checkpoint clears those before it; one that
    its dispatcher interrupted is none. A run that fails twice in the same words will do so a third time.
    """
    strikes: list[Attempt] = []
    for attempt in attempts:
        if attempt.progressed:
            strikes = []
        if attempt.outcome in ("failed", "died"):
            strikes.append(attempt)
    if not strikes:
        return None
    if len(strikes) >= max_attempts:
        return strikes[-1].reason
    same = [a.reason for a in strikes[-2:] if a.outcome == "failed"]
    return same[0] if len(same) == 2 and same[0] == same[1] else None


def seconds(attempts: list[Attempt]) -> float:
    """Process seconds of all launches: those that failed or were pruned count like the others."""
    return sum(max(0.0, a.ended - a.launched) for a in attempts if a.ended is not None)


def last_activity(folder: Path) -> float:
    """When the run last wrote something, in seconds since the epoch."""
    paths = [folder / name for name in ("attempt.json", "metrics.jsonl", "log.txt", "status.json")]
    return max(path.stat().st_mtime for path in paths if path.exists())


class Progress:
    """What a run has reported so far, read from metrics.jsonl as it grows."""

    def __init__(self, path: Path, objective: str, watched: Sequence[str] = ()) -> None:
        """``watched``: metrics whose values at the end count too (see ``metrics``)."""
        self.path = path
        self.objective = objective
        self.watched: dict[str, dict[int, float]] = {name: {} for name in watched}
        self.history: dict[int, Evaluation] = {}
        self.step = -1
        self.names: set[str] = set()
        self.missing: int | None = None
        """The step of the newest line whose objective was no number, if no good one followed."""
        self._place: tuple[int, int] = (-1, 0)

    def refresh(self) -> bool:
        """Reads what is new; whether there was anything."""
        try:
            stat = self.path.stat()
        except FileNotFoundError:
            return False
        inode, offset = self._place
        if stat.st_ino != inode or stat.st_size < offset:  # a resumed run cut it back: read it again
            self.history, self.step, self.missing, offset = {}, -1, None, 0
            self.watched = {name: {} for name in self.watched}
        if stat.st_size == offset:
            self._place = (stat.st_ino, offset)
            return False
        with self.path.open("rb") as handle:
            handle.seek(offset)
            data = handle.read()
        whole = data.rfind(b"\n") + 1
        for line in data[:whole].splitlines():
            self._take(line)
        self._place = (stat.st_ino, offset + whole)
        return whole > 0

    def metrics(self, until: float = math.inf) -> dict[str, float]:
        """The watched metrics at the end, or at step ``until``, those of them that were reported.

        A dev metric is that of the last evaluation, any other the mean over the last ``LAST_STEPS`` steps.
        """
        found = {}
        for name, values in self.watched.items():
            steps = sorted(step for step in values if step <= until)
            last = steps[-1:] if name.startswith("dev/") else steps[-LAST_STEPS:]
            if last:
                found[name] = math.fsum(values[step] for step in last) / len(last)
        return found

    def _take(self, line: bytes) -> None:
        try:
            row: dict[str, Any] = json.loads(line)
        except ValueError:  # a line that a kill cut short, with others appended behind it
            return
        self.names.update(row)
        self.step = max(self.step, int(row["step"]))
        for name, values in self.watched.items():
            if row.get(name) is not None:
                values[row["step"]] = float(row[name])
        if self.objective not in row:
            return
        value = row[self.objective]
        if value is None:
            self.missing = row["step"]
            return
        self.missing = None
        group = self.objective.rpartition("/")[0]
        stderr = row.get(f"{group}/stderr") if group else None
        self.history[row["step"]] = Evaluation(row["step"], float(value), float(stderr or 0.0))
