"""As many requests in flight as a server bears: fewer after each refusal, slowly more after each answer.

Additive increase and multiplicative decrease, as TCP does (Chiu and Jain, 1989). Until the first refusal
every answer makes room for one more request; after it, as many answers as are in flight do.
"""

from __future__ import annotations

import asyncio
import time

MOST = 256
"""Requests in flight at most: what vLLM takes into a batch by default."""
FIRST = 64
"""Requests in flight before the server has said anything."""


class Flow:
    """Lets requests pass to one server; used from one event loop."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._limit = float(min(FIRST, most))
        self._in_flight = 0
        self._refused = 0
        self._not_before = 0.0
        self._changed = asyncio.Condition()

    @property
    def limit(self) -> int:
        """Requests that may be in flight now."""
        return int(self._limit)

    async def enter(self) -> int:
        """Waits until one more request may go; returns what ``slower`` is to be told if it is refused."""
        async with self._changed:
            while (pause := self._not_before - time.monotonic()) > 0 or self._in_flight >= self.limit:
                if pause > 0:
                    self._changed.release()
                    try:
                        await asyncio.sleep(pause)
                    finally:
                        await self._changed.acquire()
                else:
                    await self._changed.wait()
            self._in_flight += 1
            return self._refused

    async def leave(self) -> None:
        """A request that entered has ended, whatever came of it."""
        async with self._changed:
            self._in_flight -= 1
            self._changed.notify_all()

    def faster(self) -> None:
        """A request was answered."""
        self._limit = min(self._most, self._limit + (1 / self._limit if self._refused else 1))

    def slower(self, entered: int, wait: float) -> None:
        """A request that ``entered`` was refused as one too many: none goes for ``wait`` seconds.

        Requests that went together and are refused together make it slower once.
        """
        self._not_before = max(self._not_before, time.monotonic() + wait)
        if entered == self._refused:
            self._refused += 1
            self._limit = max(1.0, self._limit / 2)
