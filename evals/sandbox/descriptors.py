"""File descriptors for one run of a program: opened here, closed when the run is over."""

from __future__ import annotations

import contextlib
import os
from types import TracebackType
from typing import Self


class Descriptors:
    """A context manager that closes what it opened and has not closed yet."""

    def __init__(self) -> None:
        self._open: set[int] = set()

    def null(self) -> int:
        """/dev/null, for reading and writing."""
        return self._add(os.open("/dev/null", os.O_RDWR))

    def pipe(self) -> tuple[int, int]:
        """A pipe: the reading end, the writing end."""
        reading, writing = os.pipe()
        return self._add(reading), self._add(writing)

    def file(self, data: bytes) -> int:
        """An anonymous file that holds ``data`` and cannot be changed; its position is the start.

        A file rather than a pipe: the writer never waits for a reader.
        """
        fd = self._add(os.memfd_create("sandbox", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING))
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view) :]
        import fcntl  # Windows has none: there this package can be imported, and runs nothing

        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK)
        os.lseek(fd, 0, os.SEEK_SET)
        return fd

    def close(self, *fds: int) -> None:
        for fd in fds:
            self._open.discard(fd)
            with contextlib.suppress(OSError):
                os.close(fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(*self._open.copy())

    def _add(self, fd: int) -> int:
        self._open.add(fd)
        return fd
