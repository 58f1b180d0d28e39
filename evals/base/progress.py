"""A bar with the time left on a terminal, and a line of words below it; plain lines anywhere else."""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as RichProgress
from rich.table import Column
from rich.text import Text

from evals.base.terminal import Terminal
from evals.base.text import duration, printable

SECONDS_BETWEEN_LINES = 10.0


class Update(Protocol):
    """Tells how far a step has come, with a few words beside it, and how many seconds are left.

    Without the latter they are reckoned from how fast it went so far.
    """

    def __call__(self, done: float, note: str = "", left: float | None = None) -> None: ...


class Progress:
    """Shows long steps one after another. Writes to standard error, so that ``--json`` stays clean.

    ``first`` makes a line that is said once something has begun: not above an error in what was asked for.
    """

    def __init__(self, quiet: bool = False, first: Callable[[], str] | None = None) -> None:
        self.console = Terminal(stderr=True, quiet=quiet)
        self._first = first

    def say(self, message: str) -> None:
        """One line of plain information."""
        self.console.print(message, markup=False)

    @contextmanager
    def step(self, description: str, total: int) -> Iterator[Update]:
        """A step of ``total`` units, shown until the block ends."""
        if self.console.is_terminal:
            with self._bar() as bar:
                task = bar.add_task(printable(description), total=total, note="", ends=None)

                def update(done: float, note: str = "", left: float | None = None) -> None:
                    self._say_first()
                    bar.update(task, completed=done, note=printable(note), ends=_end(left))

                yield update
        else:
            lines = _Lines(self.console, description, total)

            def tell(done: float, note: str = "", left: float | None = None) -> None:
                self._say_first()
                lines(done, note, left)

            yield tell
            lines.finish()

    def _say_first(self) -> None:
        if self._first is not None:
            first, self._first = self._first, None
            self.console.print(first(), markup=False, soft_wrap=True)

    def _bar(self) -> RichProgress:
        return _Bar(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None, table_column=Column(max_width=24)),  # gives way where room is short
            MofNCompleteColumn(table_column=Column(no_wrap=True)),
            TimeElapsedColumn(table_column=Column(no_wrap=True)),
            _TimeLeft(table_column=Column(no_wrap=True)),
            console=self.console,
        )


def _end(left: float | None) -> float | None:
    """When it will be over, on the monotonic clock, for what has ``left`` seconds left now."""
    return None if left is None else time.monotonic() + left


class _Bar(RichProgress):
    """A bar, and below it what there is to say: beside it, in 80 columns, one would cut the other."""

    def get_renderables(self) -> Iterator[RenderableType]:
        yield self.make_tasks_table(self.tasks)
        for task in self.tasks:
            if task.fields.get("note"):
                yield Text(f"  {task.fields['note']}", no_wrap=True, overflow="ellipsis")


class _TimeLeft(TimeRemainingColumn):
    """The time that is left: as whoever works says, else from the pace so far; nothing where nobody knows."""

    def render(self, task: Task) -> Text:
        ends = task.fields.get("ends")
        left = task.time_remaining if ends is None else max(0.0, ends - time.monotonic())
        if left is None or task.finished:
            return Text("")
        return Text(f"about {datetime.timedelta(seconds=int(left))} left", style="progress.remaining")


@dataclass
class _Lines:
    """One line at the start of a step's work, every ten seconds, and at its end."""

    console: Console
    description: str
    total: int
    started: float = field(default_factory=time.monotonic)
    shown: float = 0.0
    done: float = 0
    first: tuple[float, float] | None = (
        None  # the first report's time and done: an earlier run may have done some
    )
    note: str = ""
    left: float | None = None
    """As it was told, for the line that is printed then."""

    def __call__(self, done: float, note: str = "", left: float | None = None) -> None:
        self.done, self.note, self.left = done, note, left
        now = time.monotonic()
        self.first = self.first or (now, done)
        if now - self.shown >= SECONDS_BETWEEN_LINES and done < self.total:
            self.shown = now
            self._print(now)

    def finish(self) -> None:
        self.left = None
        self._print(time.monotonic())

    def _print(self, now: float) -> None:
        elapsed = now - self.started
        began, before = self.first or (now, self.done)
        left = self.left
        if left is None and self.done > before:
            left = (now - began) / (self.done - before) * (self.total - self.done)
        parts = [f"{self.description}: {int(self.done)}/{self.total}", duration(round(elapsed))]
        if left:
            parts.append(f"about {duration(round(left))} left")
        if self.note:
            parts.append(self.note)
        self.console.print(", ".join(parts), markup=False, soft_wrap=True)
