"""What a run has cost: tokens, model FLOPs and device-seconds by stage.

A run's figures are read from what it has written anyway, which a resumed run cuts back to its checkpoint:
so nothing is counted twice. Only the launches, which count lost work too, are a record of their own.

RUN/ledger.json
{"stages": [{"stage", "kind", "teacher", "steps", "tokens", "flops", "device_seconds", "price"}],
 "launches": [{"started", "ended"}], "paid_device_seconds"}
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from evals.base import io
from evals.base.errors import DamagedFileError
from evals.base.versioned import MaybeNumber, Part, Versioned
from harness.config import OnPolicyDistill, Reject, Stage, parts
from harness.train.heartbeat import ALIVE

log = logging.getLogger(__name__)
LEDGER = "ledger.json"
FLOPS = ("flops/rollout", "flops/update")
SECONDS = ("seconds/rollout", "seconds/reward", "seconds/update")
"""What of a step is training: dev evaluations measure it."""
TEACHER_PRICE = "teacher/price"
"""The metric that says what a server took for reading along."""
DEVICES = "devices"
"""The metric that says how many devices a step took, where it was more than one."""


@dataclass(frozen=True)
class Sampled:
    """What sampling a data set took, by the names of ``Cost``."""

    tokens: int
    flops: float | None
    device_seconds: float
    price: float | None = None


@dataclass(frozen=True)
class Kept:
    """RUN/data/STAGE.json: how many responses of a "reject" stage met which fate, and what they cost."""

    cost: Sampled
    rules: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class MicroBatchSize:
    """RUN/data/STAGE.micro-batch.json: how many tokens fit into memory."""

    tokens: int


@dataclass(frozen=True)
class Cost:
    """What one stage took, evaluations left out.

    ``tokens`` were sampled by "grpo" and "reject" stages and learned from by "sft" stages. ``flops`` are
    model FLOPs (harness/models/flops.py); NaN where the model that answered is not known. An
    "on_policy_distill" stage has two: the policy's, and its teacher's, whose tokens are those that it read.
    ``price`` is what servers took for answers, the teacher's or a judge's, by their own count of tokens; None
    where none was asked whose price is known.
    """

    stage: str
    kind: str
    teacher: bool = False
    steps: int = 0
    tokens: int = 0
    flops: MaybeNumber = 0.0
    device_seconds: float = 0.0
    price: float | None = None

    def plus(self, row: Mapping[str, Any]) -> Cost:
        """With one row of metrics.jsonl on top: the teacher's part of it where ``teacher``, else the rest."""
        if self.teacher:
            read = int(_sum(row, "teacher/tokens"))
            unknown = read and "flops/teacher" not in row
            return replace(
                self,
                tokens=self.tokens + read,
                flops=self.flops + (math.nan if unknown else _sum(row, "flops/teacher")),
                device_seconds=self.device_seconds + (_sum(row, DEVICES) or 1) * _sum(row, "seconds/teacher"),
                price=_added(self.price, io.number(row.get(TEACHER_PRICE))),
            )
        return replace(
            self,
            steps=self.steps + ((io.number(row.get("step", 1)) or 0) > 0),
            tokens=self.tokens + int(_sum(row, "tokens")),
            flops=self.flops + _sum(row, *FLOPS),
            device_seconds=self.device_seconds + (_sum(row, DEVICES) or 1) * _sum(row, *SECONDS),
        )


def _added(one: float | None, other: float | None) -> float | None:
    return other if one is None else one + (other or 0.0)


def _sum(row: Mapping[str, Any], *names: str) -> float:
    """The sum of those of ``names`` that ``row`` has as numbers: others may have damaged the file."""
    return sum(io.number(row.get(name)) or 0.0 for name in names)


def devices() -> int:
    """The devices that the run works on: each of its processes has one, however many the machine has."""
    from harness.models import dist  # takes seconds, and a report needs the names above alone

    return dist.world()


def stage_costs(folder: Path, stages: Sequence[Stage]) -> list[Cost]:
    """What each stage of the run in ``folder`` has cost so far, in order."""
    found = {
        stage.name: Cost(stage.name, stage.kind, isinstance(stage, Reject) and stage.teacher is not None)
        for stage in parts(stages)
    }
    teachers = {
        stage.name: Cost(f"{stage.name}-teacher", stage.kind, teacher=True)
        for stage in stages
        if isinstance(stage, OnPolicyDistill)
    }
    for row in io.read_lines(folder / "metrics.jsonl"):
        name = str(row.get("stage"))
        for costs in (found, teachers):
            if name in costs:
                costs[name] = costs[name].plus(row)
    for name, cost in found.items():
        told = folder / "data" / f"{name}.json"
        if cost.kind == "reject" and told.exists():
            sampled = io.read_as(told, Kept).cost
            # None of a teacher whose shape is not known: nan, which JSON does not have.
            flops = math.nan if sampled.flops is None else sampled.flops
            found[name] = replace(
                cost,
                tokens=sampled.tokens,
                flops=flops,
                device_seconds=sampled.device_seconds,
                price=sampled.price,
            )
        judged = io.number(_judged(folder, name).get("price"))
        found[name] = replace(found[name], price=_added(found[name].price, judged))
    return [cost for name in found for cost in (found[name], teachers.get(name)) if cost is not None]


def judge_file(folder: Path, stage: str) -> Path:
    """Where a stage keeps how often a reward has asked a judge, and what judges took, graders among them."""
    return folder / f"judge-requests-{stage}.json"


def _judged(folder: Path, stage: str) -> Mapping[str, Any]:
    path = judge_file(folder, stage)
    try:
        told = io.read_json(path) if path.exists() else {}
    except ValueError:  # the stage itself refuses it
        told = {}
    return told if isinstance(told, dict) else {}


class Launch(Part):
    """One process that worked on a run, in seconds since 1970; ``ended`` is None while it is at work."""

    started: float
    ended: float | None = None


class RunLedger(Versioned):
    """The content of a run's ledger.json."""

    stages: tuple[Cost, ...] = ()
    launches: tuple[Launch, ...] = ()
    paid_device_seconds: float = 0.0


class Launches:
    """The processes that have worked on a run. One that was killed ends with its last sign of life.

    How long a launch took is measured by the monotonic clock: the wall clock only says when it began.
    """

    def __init__(self, folder: Path, stages: Sequence[Stage]) -> None:
        self._folder = folder
        self._stages = stages
        self._alive = folder / ALIVE
        told = _read(folder)
        self._launches = list(told.launches)
        self._paid = told.paid_device_seconds
        if self._launches and self._launches[-1].ended is None:
            started = self._launches[-1].started
            self._end(max(self._alive.stat().st_mtime if self._alive.exists() else started, started))
        self._started, self._began = time.time(), time.monotonic()
        self._launches.append(Launch(started=self._started, ended=None))
        self._alive.touch()
        self.alive()
        self._write()

    @property
    def _now(self) -> float:
        return self._started + time.monotonic() - self._began

    def alive(self) -> None:
        """A sign of life, if the run is still open."""
        with contextlib.suppress(FileNotFoundError):
            os.utime(self._alive, (self._now, self._now))

    def close(self) -> None:
        self._end(self._now)
        self._write()
        self._alive.unlink(missing_ok=True)

    def _end(self, ended: float) -> None:
        """Ends the last launch; earlier ones stay paid for as they were, on however many devices."""
        started = self._launches[-1].started
        self._launches[-1] = Launch(started=started, ended=ended)
        self._paid += devices() * (ended - started)

    def _write(self) -> None:
        RunLedger(
            stages=tuple(stage_costs(self._folder, self._stages)),
            launches=tuple(self._launches),
            paid_device_seconds=self._paid,
        ).write(self._folder / LEDGER)


def _read(folder: Path) -> RunLedger:
    """The ledger as it was left; a damaged one is begun anew: what training cost is in other files."""
    path = folder / LEDGER
    if not path.exists():
        return RunLedger()
    try:
        return RunLedger.read(path)
    except DamagedFileError as error:
        log.warning("%s; it is written anew, without the launches before this one", error)
        return RunLedger()
