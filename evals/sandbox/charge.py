"""What of the time that passes is charged to running children: all but waiting for a busy processor.

A program's limit is meant for the seconds that it computes. The wall clock counts the machine's other work
too, and the processor's clock does not count sleeping; what is charged is the greater of the processor time
and of the wall clock less the time that the children were ready to run and had no processor. Where the kernel
does not tell how long threads wait (schedstat), processor time alone is charged; where it does not tell that
either, the wall clock.

A program can lower what it is charged only by not running. Descendants are not asked: while a program waits
for them it is charged as if it slept. Whatever is charged, the wall clock ends a run at ``BACKSTOP`` times
its limit and as many seconds.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Sequence

BACKSTOP = 10.0
NOTICEABLE = 0.1
"""From this share of the wall clock on, waiting for a processor leaves a timeout in doubt."""

_PID = re.compile(rb"^Pid:\s*(\d+)$", re.MULTILINE)


class Charge:
    """The seconds charged to the children behind some pidfds, from now on, and how many they may be."""

    def __init__(self, seconds: float, pidfds: Sequence[int]) -> None:
        self.allowed = seconds
        """How many seconds the latest stretch may take."""
        self._pidfds = pidfds
        self._started = time.monotonic()
        self._limit = self._stretch = seconds
        self._backstop = self._started + BACKSTOP * (seconds + 1)
        self._children: list[_Process] | None = None  # looked up when first needed: most runs end before

    def stretch(self, seconds: float) -> None:
        """Allows this many seconds from what is charged by now, within the limit for all."""
        self._stretch = min(self._limit, self.seconds() + seconds)
        self.allowed = min(self._limit, seconds)

    def left(self) -> float:
        """The seconds that may still be charged; 0 or less when they are used up."""
        return self._stretch - self.seconds() if time.monotonic() < self._backstop else 0.0

    def seconds(self) -> float:
        """What is charged by now."""
        wall = time.monotonic() - self._started
        used = _total([child.used() for child in self._processes()])
        if used is None:
            return wall
        waited = _total([child.waited() for child in self._processes()])
        return used if waited is None else max(used, wall - waited)

    def doubtful(self) -> bool:
        """Whether chance had a part: the children lacked a processor for a while, or nobody knows.

        It had none in the timeout of children that computed for (nearly) as long as they may.
        """
        used = _total([child.used() for child in self._processes()])
        if used is None or used >= (1 - NOTICEABLE) * self._stretch:
            return used is None
        waited = _total([child.waited() for child in self._processes()])
        return waited is None or waited > NOTICEABLE * (time.monotonic() - self._started)

    def _processes(self) -> list[_Process]:
        if self._children is None:
            self._children = [_Process(_pid(pidfd)) for pidfd in self._pidfds]
        return self._children


class _Process:
    """A process's own times, without its descendants'."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._clock = (~pid << 3) | 2  # of all its threads, ended ones too: what clock_getcpuclockid(3) gives
        self._threads: dict[str, float] = {}

    def used(self) -> float | None:
        """Processor seconds; None where they cannot be read."""
        try:
            return time.clock_gettime(self._clock) if self._pid else None
        except OSError:
            return None

    def waited(self) -> float | None:
        """Seconds that its threads were ready to run and had no processor; None where nobody knows."""
        try:
            threads = os.listdir(f"/proc/{self._pid}/task")
        except OSError:
            threads = []
        for thread in threads:
            try:
                with open(f"/proc/{self._pid}/task/{thread}/schedstat", "rb") as file:
                    self._threads[thread] = int(file.read().split()[1]) / 1e9
            except (
                OSError,
                IndexError,
                ValueError,
            ):  # a thread that ended meanwhile; or there is no such file
                continue
        return sum(self._threads.values()) if self._threads else None


def _total(parts: list[float | None]) -> float | None:
    known = [part for part in parts if part is not None]
    return sum(known) if len(known) == len(parts) else None


def _pid(pidfd: int) -> int:
    """The number that a pidfd's process has for this one; 0 where it has none."""
    try:
        with open(f"/proc/self/fdinfo/{pidfd}", "rb") as file:
            found = _PID.search(file.read())
    except OSError:
        return 0
    return int(found[1]) if found else 0
