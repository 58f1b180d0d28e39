"""Examples in tokens, however many: on disk once they are more than memory should be given for."""

from __future__ import annotations

import tempfile
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import overload

import numpy as np

IN_MEMORY = 64 << 20
"""Bytes up to which they stay in memory; a token takes five."""


@dataclass(frozen=True)
class Tokens:
    """An example: ``prompt`` is only read; ``learned`` says which of ``rest`` count in the loss."""

    prompt: tuple[int, ...]
    rest: tuple[int, ...]
    learned: tuple[bool, ...]

    def __len__(self) -> int:
        return len(self.prompt) + len(self.rest)

    def first(self, length: int) -> Tokens:
        """Its first ``length`` tokens."""
        kept = max(0, length - len(self.prompt))
        return Tokens(self.prompt[:length], self.rest[:kept], self.learned[:kept])


class Stored(Sequence[Tokens]):
    """Examples in the order in which they were added; the file has no name and goes with the process."""

    def __init__(self, folder: Path | None = None) -> None:
        """``folder``: where the file is written, by default where the system keeps temporary ones."""
        where = None if folder is None else str(folder)
        self._file = tempfile.SpooledTemporaryFile(IN_MEMORY, dir=where)  # noqa: SIM115 (open as long as this)
        self._begins = array("Q", [0])
        self._prompts = array("L")

    def add(self, example: Tokens) -> None:
        ids = np.array([*example.prompt, *example.rest], dtype=np.uint32).tobytes()
        self._file.seek(self._begins[-1])
        self._file.write(ids + bytes(example.learned))
        self._begins.append(self._begins[-1] + len(ids) + len(example.learned))
        self._prompts.append(len(example.prompt))

    def __len__(self) -> int:
        return len(self._prompts)

    @overload
    def __getitem__(self, index: int) -> Tokens: ...
    @overload
    def __getitem__(self, index: slice) -> list[Tokens]: ...
    def __getitem__(self, index: int | slice) -> Tokens | list[Tokens]:
        if isinstance(index, slice):
            return [self[place] for place in range(len(self))[index]]
        place = range(len(self))[index]
        begin, read = self._begins[place], self._prompts[place]
        self._file.seek(begin)
        found = self._file.read(self._begins[place + 1] - begin)
        count = (len(found) - 4 * read) // 5
        ids = tuple(np.frombuffer(found, dtype=np.uint32, count=read + count).tolist())
        return Tokens(ids[:read], ids[read:], tuple(map(bool, found[len(found) - count :])))
