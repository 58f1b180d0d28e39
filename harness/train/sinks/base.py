"""The contract of the registry "harness.trackers": what shows a run's figures besides its folder.

A sink is made by a function or class ``(about: About) -> Sink``, with ``settings`` as a last argument where
it has settings of its own (``evals.base.registry.takes``). What it raises ends this sink and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

ROWS = 500
"""Rows of a table of samples; W&B draws 10,000 at most, and slowly."""
CHARACTERS = 4000
"""Of a text in such a table; the files beside it hold the whole."""


@dataclass(frozen=True)
class About:
    """The run that a sink is for: one folder is one run."""

    folder: Path
    """The run's or the sweep's; what a sink keeps lies in it, where that is its choice."""
    name: str
    group: str
    """Joins the runs of a study."""
    kind: str
    """The job type: "train", "trial", "confirm" or "sweep"."""
    project: str
    config: Mapping[str, Any]
    """The experiment's settings, a flat column each (``grpo.beta``); passwords are masked."""
    tags: Sequence[str] = ()
    notes: str = ""


class Sink(Protocol):
    """Takes what a run writes. Each call may raise."""

    sent: int
    """The newest step that it holds: later ones are sent, so that a resumed run repeats none; -1 for none."""

    def log(self, row: Mapping[str, Any]) -> None:
        """A line of metrics.jsonl without what is null: ``step``, ``stage``, ``time`` and numbers."""
        ...

    def summary(self, values: Mapping[str, Any]) -> None:
        """Figures of the whole run, as it ends."""
        ...

    def table(self, name: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """At most ``ROWS`` samples, long texts cut."""
        ...

    def file(self, path: Path, kind: str, name: str) -> None:
        """A file to keep: a report, scores."""
        ...

    def close(self) -> None:
        """All that was sent is kept when this returns."""
        ...
