"""Messages over a pipe: four bytes of length, then that many bytes. Runs inside the sandbox."""

from __future__ import annotations

import os

MAX_BYTES = 32 << 20


class Closed(Exception):  # noqa: N818
    """The other end has gone, or sends what is not a message."""


def send(fd: int, data: bytes) -> None:
    """Writes one message.

    Raises:
        Closed: it is larger than 32 MiB, or nobody reads.
    """
    if len(data) > MAX_BYTES:
        raise Closed("a value of more than 32 MiB")
    view = memoryview(len(data).to_bytes(4, "big") + data)
    try:
        while view:
            view = view[os.write(fd, view) :]
    except OSError:
        raise Closed("the other process has ended") from None


def receive(fd: int) -> bytes:
    """Reads one message.

    Raises:
        Closed: the stream ended, or announces more than 32 MiB.
    """
    size = int.from_bytes(_exactly(fd, 4), "big")
    if size > MAX_BYTES:
        raise Closed("a value of more than 32 MiB")
    return _exactly(fd, size)


def _exactly(fd: int, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        chunk = os.read(fd, min(size - len(data), 1 << 20))
        if not chunk:
            raise Closed("the other process has ended")
        data += chunk
    return bytes(data)
