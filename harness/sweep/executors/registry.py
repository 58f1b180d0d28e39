"""What launches attempts: a small interface that every executor implements, and nothing that knows about
studies; the contract of the registry "harness.executors".

An executor is made by a function or class ``(sweep: Sweep) -> Executor``, with ``settings`` as a last
argument where it has settings of its own (``evals.base.registry.takes``).

An executor starts a command in the background, tells whether it has ended, ends it, and finds it again after
its dispatcher was killed and another took over. A launch is identified by its token, never by a process id
alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from harness.config import Sweep
from harness.config.kinds import EXECUTORS


@dataclass(frozen=True)
class Launch:
    """One process to start."""

    command: tuple[str, ...]
    folder: Path
    """The attempt's folder: ``log.txt`` there gets what the process prints."""
    token: str
    """Unique for each launch."""
    slot: int
    """0 .. workers - 1: which share of the machine it gets."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables on top of the dispatcher's own."""
    processes: int = 1
    """How many processes at work the command comes to: they share the launch's cores."""
    beside: int = 0
    """How many launches are at work at a time, this one included; 0: one in each slot."""


@dataclass(frozen=True)
class Exit:
    """How a process ended; the code is None where nobody was there to receive it, negative for a signal."""

    code: int | None


class Executor(Protocol):
    """Launches processes. ``Handle`` is whatever the executor needs to find one again."""

    devices_per_launch: float
    """What a second of a process costs, in device-seconds; a launch without devices counts as one."""

    def launch(self, launch: Launch) -> Any:
        """Starts the process and returns a handle at once.

        Raises:
            JobError: it cannot be started at all.
        """
        ...

    def adopt(self, launch: Launch) -> Any | None:
        """A handle on a process that an earlier dispatcher launched; None where it has ended or never began.

        After None nothing of that launch is alive, and nothing of it will come to life.
        """
        ...

    def poll(self, handle: Any) -> Exit | None:
        """How the process ended, its children gone with it; None while it works."""
        ...

    def waits(self, handle: Any) -> bool:
        """Whether the process has not begun, for want of a place: its silence is no hang."""
        ...

    def stop(self, handle: Any, *, force: bool) -> None:
        """Tells the process and its children to end, or (``force``) ends them; returns without waiting."""
        ...


def make_executor(sweep: Sweep) -> Executor:
    """The executor that ``sweep.executor`` names.

    Raises:
        UsageError: nothing has this name, its settings are not what it takes, or it cannot work here.
    """
    choice = sweep.executor
    made: Executor = EXECUTORS.factory(choice.kind, choice.settings, "sweep.executor")(sweep)
    return made
