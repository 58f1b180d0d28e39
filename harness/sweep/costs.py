"""What a sweep has cost, launch by launch: those that failed, were pruned or lost their work included.

SWEEP/ledger.json
{"launches": [{"job", "attempt", "outcome", "device_seconds", "tokens", "flops", "cost"}],
 "total": {"launches", "device_seconds", "tokens", "flops", "cost"}}

Read from the folders of trials and fresh seeds alone, so that nobody has to have been there. A launch that
goes on from another's checkpoint has that one's metrics in its file: what both have is the earlier one's.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evals.base import io
from evals.base.versioned import MaybeNumber, Part, Versioned
from harness.sweep.attempts import Attempt, attempts_of
from harness.train.ledger import Cost

LEDGER = "ledger.json"
Row = tuple[str, str, str]


@dataclass(frozen=True)
class LaunchCost:
    """One launch. ``device_seconds`` were paid for; ``tokens`` were sampled or learned from and ``flops``
    are model FLOPs of training, repeated ones included; ``cost`` is in the currency of the price."""

    job: str
    attempt: int
    outcome: str
    device_seconds: float
    tokens: int
    flops: MaybeNumber
    cost: float | None


class Total(Part):
    """All launches together."""

    launches: int = 0
    device_seconds: float = 0.0
    tokens: int = 0
    flops: MaybeNumber = 0.0
    cost: float | None = None


class SweepLedger(Versioned):
    """The content of ledger.json."""

    launches: tuple[LaunchCost, ...] = ()
    total: Total = Total()


def launches(folder: Path, price: float | None) -> Iterator[LaunchCost]:
    """Every launch of the sweep in ``folder``; ``price`` is that of a device-hour."""
    trials = sorted(folder.glob("trials/*"), key=lambda job: job.name.zfill(20))
    fresh = sorted(
        folder.glob("confirm/*/*"), key=lambda job: (job.parent.name.zfill(20), job.name.zfill(40))
    )
    controls = sorted(folder.glob("controls/*/*"))
    for job in (*trials, *fresh, *controls):
        handed: set[Row] = set()
        for attempt in attempts_of(job):
            held = list(io.readable_lines(attempt.folder / "metrics.jsonl"))  # what it was handed included
            rows = [row for row in held if _of(row) not in handed]
            yield _cost(job.relative_to(folder).as_posix(), attempt, rows, price)
            handed = {_of(row) for row in held}


def ledger(folder: Path, price: float | None = None) -> SweepLedger:
    """The ledger of the sweep in ``folder``, as it is at this moment."""
    found = tuple(launches(folder, price))
    total = Total(
        launches=len(found),
        device_seconds=round(sum(each.device_seconds for each in found), 3),
        tokens=sum(each.tokens for each in found),
        flops=sum(each.flops for each in found),
        cost=None if price is None else sum(each.cost or 0.0 for each in found),
    )
    return SweepLedger(launches=found, total=total)


def _cost(job: str, attempt: Attempt, rows: Sequence[dict[str, Any]], price: float | None) -> LaunchCost:
    # A launch that nobody saw end may still be at work, or was cut off with its dispatcher.
    paid = attempt.devices * attempt.seconds_so_far(time.time())
    done = Cost("", "")
    for row in rows:
        done = done.plus(row)
    money = None if price is None else price * paid / 3600
    outcome = attempt.outcome or "running"
    return LaunchCost(job, attempt.number, outcome, round(paid, 3), done.tokens, done.flops, money)


def _of(row: dict[str, Any]) -> Row:
    """What tells a line from one that was written again: a step's second time has another time."""
    return str(row.get("stage")), str(row.get("step")), str(row.get("time"))
