"""What a sweep has cost, launch by launch: those that failed, were pruned or lost their work included.

SWEEP/ledger.json
{"launches": [{"job", "attempt", "outcome", "device_seconds", "tokens", "flops", "cost"}],
 "total": {"launches", "device_seconds", "tokens", "flops", "cost"}}

Read from the folders of trials and fresh seeds alone, so that nobody has to have been there. A launch that
goes on from another's checkpoint has that one's metrics in its file; by their times they are told apart.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness.ledger import Cost
from harness.sweep.attempts import Attempt, attempts_of, last_activity

LEDGER = "ledger.json"


@dataclass(frozen=True)
class LaunchCost:
    """One launch. ``device_seconds`` were paid for; ``tokens`` were sampled or learned from and ``flops``
    are model FLOPs of training, repeated ones included; ``cost`` is in the currency of the price."""

    job: str
    attempt: int
    outcome: str
    device_seconds: float
    tokens: int
    flops: float
    cost: float | None


def launches(folder: Path, price: float | None) -> Iterator[LaunchCost]:
    """Every launch of the sweep in ``folder``; ``price`` is that of a device-hour."""
    trials = sorted(folder.glob("trials/*"), key=lambda job: job.name.zfill(20))
    fresh = sorted(
        folder.glob("confirm/*/*"), key=lambda job: (job.parent.name.zfill(20), job.name.zfill(40))
    )
    for job in (*trials, *fresh):
        for attempt in attempts_of(job):
            yield _cost(job.relative_to(folder).as_posix(), attempt, price)


def ledger(folder: Path, price: float | None = None) -> dict[str, Any]:
    """The ledger of the sweep in ``folder``, as it is written to ledger.json."""
    found = list(launches(folder, price))
    total = {
        "launches": len(found),
        "device_seconds": round(sum(each.device_seconds for each in found), 3),
        "tokens": sum(each.tokens for each in found),
        "flops": sum(each.flops for each in found),
        "cost": None if price is None else sum(each.cost or 0.0 for each in found),
    }
    return {"launches": [asdict(each) for each in found], "total": total}


def _cost(job: str, attempt: Attempt, price: float | None) -> LaunchCost:
    # A launch that nobody saw end may still be at work, or was cut off with its dispatcher.
    ended = attempt.ended or min(time.time(), last_activity(attempt.folder))
    paid = attempt.devices * max(0.0, ended - attempt.launched)
    done = Cost("", "")
    for row in _own_rows(attempt):
        done = done.plus(row)
    money = None if price is None else price * paid / 3600
    outcome = attempt.outcome or "running"
    return LaunchCost(job, attempt.number, outcome, round(paid, 3), done.tokens, done.flops, money)


def _own_rows(attempt: Attempt) -> Iterator[dict[str, Any]]:
    """The launch's own lines of metrics.jsonl: not those it was handed, nor a torn last one."""
    path = attempt.folder / "metrics.jsonl"
    if not path.exists():
        return
    with path.open("rb") as lines:
        for line in lines:
            try:
                row = json.loads(line)
            except ValueError:
                continue
            if row.get("time", 0.0) >= attempt.launched:
                yield row
