"""The lines of a file that may be huge and may be growing: forward and backward from a byte offset.

A last line without its newline is still being written: it is not there yet.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

BLOCK = 1 << 18


@dataclass(frozen=True)
class Line:
    """A line with its newline, and the bytes between which it stands."""

    start: int
    data: bytes

    @property
    def end(self) -> int:
        return self.start + len(self.data)


def forward(path: Path, offset: int = 0) -> Iterator[Line]:
    """The whole lines from the one that begins at ``offset``."""
    with path.open("rb") as handle:
        handle.seek(offset)
        for data in handle:
            if not data.endswith(b"\n"):
                return
            yield Line(offset, data)
            offset += len(data)


def backward(path: Path, offset: int | None = None) -> Iterator[Line]:
    """The whole lines before ``offset`` (by default the file's end), the last one first."""
    with path.open("rb") as handle:
        size = handle.seek(0, 2)
        place = size if offset is None else min(offset, size)
        pending: list[bytes] = []  # of the line whose beginning is not yet read, its last piece first
        whole = False  # whether a newline ends what is pending
        while place > 0:
            length = min(BLOCK, place)
            handle.seek(place - length)
            block = handle.read(length)
            place -= length
            end = len(block)
            while (newline := block.rfind(b"\n", 0, end)) >= 0:
                data = b"".join((block[newline + 1 : end], *reversed(pending)))
                if whole and data:
                    yield Line(place + newline + 1, data)
                pending, whole = [b"\n"], True
                end = newline
            pending.append(block[:end])
        data = b"".join(reversed(pending))
        if whole and data:
            yield Line(0, data)


def line_at(path: Path, offset: int) -> bytes:
    """The line that begins at ``offset``; b"" where none does."""
    with path.open("rb") as handle:
        if offset > 0:
            handle.seek(offset - 1)
            if handle.read(1) != b"\n":
                return b""
        handle.seek(offset)
        data = handle.readline()
    return data if data.endswith(b"\n") else b""
