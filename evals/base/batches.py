"""What one thread puts in a queue for another, which takes all that has come at once."""

from __future__ import annotations

from collections.abc import Iterator
from queue import SimpleQueue
from typing import TypeVar

T = TypeVar("T")


def batches(arriving: SimpleQueue[T | None]) -> Iterator[list[T]]:
    """Lists of what has come since the last one, none of them empty, until a None ends it."""
    ended = False
    while not ended:
        found = [arriving.get()]
        while not arriving.empty():
            found.append(arriving.get())
        ended = None in found
        items = [one for one in found if one is not None]
        if items:
            yield items
