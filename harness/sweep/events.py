"""What a sweep tells while it is at work."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal[
    "started", "resumed", "step", "reported", "pruned", "complete", "failed", "confirmed", "selected"
]


@dataclass(frozen=True)
class Counts:
    """Trials by state, and how many the study is to have."""

    complete: int
    pruned: int
    failed: int
    running: int
    total: int

    @property
    def finished(self) -> int:
        return self.complete + self.pruned + self.failed


@dataclass(frozen=True)
class Event:
    """Something to show: ``trial`` or, while the winner is confirmed, ``seed`` says of whom."""

    kind: Kind
    counts: Counts
    trial: int | None = None
    seed: int | None = None
    params: Mapping[str, Any] | None = None
    attempt: int | None = None
    step: int | None = None
    steps: int | None = None
    value: float | None = None
    stderr: float | None = None
    reason: str = ""
    dev_seconds: float | None = None
    """What the run's last evaluation of the dev questions took."""
    reward: float | None = None
    """The mean reward of the run's last step."""
    job: str = ""
    """The run's folder in the sweep's: trials/3, confirm/trial-3/seed-1."""
