"""Attempts on disk: one folder per process launch, and how a later one takes over from a dead one.

    JOB/experiment.toml          what every attempt runs (a job is a trial or a confirmation)
    JOB/pruned.json              the dispatcher's decision to end the job, and at which step
    JOB/attempt-M/attempt.json   token, slot, when it was launched, how long it took, and how it ended
    JOB/attempt-M/stop           written by the dispatcher: the reason why the run shall end now
    JOB/attempt-M/log.txt        what the process printed
    JOB/attempt-M/...            the run's own files

Attempt M+1 continues attempt M: it gets M's checkpoints and what M has sampled, for benchmarks and for data
sets (renamed, not copied), and a copy of M's metrics, which the run itself cuts back to the checkpoint. Since
the checkpoints are gone from M's folder, a process of attempt M that is still alive somewhere can no longer
do harm. ``attempt.json`` is written last: a folder without it was never launched, and its preparation is
simply done again. That mends one that was damaged, too.
"""

from __future__ import annotations

import json
import logging
import math
import os
import re
import shutil
import sys
import time
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

import filelock

from evals.base import io
from evals.base.errors import DamagedFileError, UsageError
from harness.config import Experiment, dump_toml
from harness.sweep.evaluation import Evaluation
from harness.train.heartbeat import ALIVE
from harness.train.ledger import FLOPS
from harness.train.run_dir import lock_folder

log = logging.getLogger(__name__)

Outcome = Literal["done", "pruned", "failed", "died", "interrupted"]
"""How a launch ended. ``failed``: the run says so; ``died``: the process ended, or hung, without a word;
``interrupted``: it was stopped by, or went down with, its dispatcher."""

LAST_STEPS = 10
"""Steps over which a training metric is averaged to say where it ended."""
COPIED = ("metrics.jsonl", "samples.jsonl")
"""What the next attempt gets a copy of, where there is a checkpoint to go on from."""
MOVED = ("data", "evals")
"""What was sampled: it belongs to the policy that it names, and is no more to be done again than a step."""


@dataclass(frozen=True)
class Pruned:
    """The decision to end a job: it stands, even if its run comes to its end before it notices."""

    step: int
    reason: str

    def write(self, job: Path) -> None:
        io.write_json(job / "pruned.json", asdict(self))

    @classmethod
    def read(cls, job: Path) -> Pruned | None:
        path = job / "pruned.json"
        if not path.exists():
            return None
        try:
            return io.read_as(path, cls)
        except DamagedFileError as error:
            raise DamagedFileError(f"{error}; delete it, and its trial goes on") from None


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
    took: float | None = None
    """Seconds from its beginning to its end by the monotonic clock; None while nobody saw it end."""

    @property
    def progressed(self) -> bool:
        """Whether it left a newer checkpoint than it began from."""
        return self.reached > self.start

    def write(self) -> None:
        row = asdict(self)
        del row["folder"]
        io.write_json(self.folder / "attempt.json", row)

    @property
    def seconds(self) -> float:
        """How long it took; 0 where nobody saw it end."""
        if self.took is not None:
            return self.took
        return 0.0 if self.ended is None else max(0.0, self.ended - self.launched)

    def seconds_so_far(self, now: float) -> float:
        """The same; of one that nobody saw end, up to its last sign of life before ``now``."""
        if self.ended is not None:
            return self.seconds
        return max(0.0, min(now, last_activity(self.folder)) - self.launched)

    def end(self, outcome: Outcome, reason: str, now: float, took: float | None = None) -> Attempt:
        """Records how it ended, and after how many seconds (by default as the wall clock has it)."""
        ended = replace(
            self,
            outcome=outcome,
            reason=reason,
            ended=now,
            took=took,
            reached=max(newest_checkpoint(self.folder), self.start),
        )
        ended.write()
        return ended

    def ask_to_stop(self, reason: str) -> None:
        io.write_text(self.folder / "stop", reason)


def attempts_of(job: Path) -> list[Attempt]:
    """The launches of a job, oldest first."""
    found = []
    for path in job.glob("attempt-*/attempt.json"):
        try:
            found.append(io.read_as(path, Attempt, folder=path.parent))
        except DamagedFileError as error:
            log.warning("%s; this launch is prepared again, and what it took is not counted", error)
    return sorted(found, key=lambda attempt: attempt.number)


def prepare(job: Path, slot: int, now: float, devices: float = 1.0) -> Attempt:
    """Makes the folder of the next attempt, with what the one before left to go on from.

    Raises:
        UsageError: a process still works in the folder of the attempt before.
    """
    before = attempts_of(job)
    number = before[-1].number + 1 if before else 1
    folder = job / f"attempt-{number}"
    again = folder.exists()  # cut short, or its attempt.json is damaged: then it may be at work
    folder.mkdir(parents=True, exist_ok=True)
    if again:
        _lock_dead(folder).release()
        for name in ("stop", "fence", "process"):
            (folder / name).unlink(missing_ok=True)
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
    for name in MOVED:
        if (old / name).exists() and not (new / name).exists():
            (old / name).rename(new / name)
    if newest_checkpoint(old) < 0 or (new / "checkpoints").exists():
        return  # nothing to go on from; or it was carried (checkpoints go last), and the run went on from it
    for name in COPIED:
        if (old / name).exists():
            aside = new / f".{name}.tmp"
            shutil.copyfile(old / name, aside)
            aside.replace(new / name)
    (old / "checkpoints").rename(new / "checkpoints")
    io.sync_folder(new)


def newest_checkpoint(run: Path) -> int:
    """The step of a run folder's newest checkpoint; -1 where there is none."""
    steps = [
        int(match[1])
        for path in (run / "checkpoints").glob("step-*")
        if (match := re.fullmatch(r"step-(\d+)", path.name))
    ]
    return max(steps, default=-1)


def hopeless(attempts: Sequence[Attempt], max_attempts: int) -> str | None:
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


def seconds(attempts: Sequence[Attempt]) -> float:
    """Process seconds of all launches: those that failed or were pruned count like the others."""
    return sum(attempt.seconds for attempt in attempts)


def device_seconds(attempts: Sequence[Attempt]) -> float:
    """The same in device-seconds, each launch on the devices that it had."""
    return sum(attempt.devices * attempt.seconds for attempt in attempts)


def last_activity(folder: Path) -> float:
    """When the run last gave a sign of life, in seconds since the epoch."""
    paths = [folder / name for name in ("attempt.json", "metrics.jsonl", "log.txt", "status.json", ALIVE)]
    return max((path.stat().st_mtime for path in paths if path.exists()), default=0.0)


def newest_change(folder: Path) -> int:
    """When anything below the folder was last written, in nanoseconds since the epoch; 0 for nothing."""
    newest = 0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                newest = max(newest, os.stat(os.path.join(place, name)).st_mtime_ns)
            except OSError:  # gone since it was listed
                continue
    return newest


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
        self.dev_seconds: float | None = None
        """What its last evaluation of the dev questions took."""
        self.reward: float | None = None
        """The mean reward of its last step that has one."""
        self.missing: int | None = None
        """The step of the newest line whose objective was no number, if no good one followed."""
        self._flops: dict[int, float] = {}
        """What each step took of training."""
        self._place: tuple[int, int] = (-1, 0)

    def refresh(self) -> bool:
        """Reads what is new; whether there was anything."""
        try:
            stat = self.path.stat()
        except FileNotFoundError:
            return False
        inode, offset = self._place
        if stat.st_ino != inode or stat.st_size < offset:  # a resumed run cut it back: read it again
            self.history, self._flops, self.step, self.missing, offset = {}, {}, -1, None, 0
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
            row = json.loads(line)
            step = int(row["step"])
        except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
            return  # a line that a kill cut short, with others appended behind it, or that was damaged
        self.names.update(row)
        self.dev_seconds = io.number(row.get("seconds/dev")) or self.dev_seconds
        self.step = max(self.step, step)
        if flops := math.fsum(io.number(row.get(name)) or 0.0 for name in FLOPS):
            self._flops[step] = flops
        reward = io.number(row.get("reward"))
        self.reward = self.reward if reward is None else reward
        for name, values in self.watched.items():
            if (number := io.number(row.get(name))) is not None:
                values[step] = number
        if self.objective not in row:
            return
        value = io.number(row[self.objective])
        if value is None:
            self.missing = step
            return
        self.missing = None
        group = self.objective.rpartition("/")[0]
        stderr = io.number(row.get(f"{group}/stderr")) if group else None
        known = [self._flops[before] for before in range(1, step + 1) if before in self._flops]
        flops = math.fsum(known) if len(known) == step else 0.0
        self.history[step] = Evaluation(step, value, stderr or 0.0, flops)


def set_aside_other(job: Path, experiment: Experiment) -> None:
    """Moves a job's folder of other settings (of another ``confirm_steps``, say) out of the way."""
    recorded = job / "experiment.toml"
    if recorded.exists() and recorded.read_text(encoding="utf-8") != dump_toml(experiment):
        places = (job.with_name(f"{job.name}-earlier-{i}") for i in range(1, sys.maxsize))
        job.rename(next(place for place in places if not place.exists()))
