"""Text files as other programs write them (a byte-order mark, gzip), and names that a disk can hold."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast

from evals.base.errors import TaskError

LONGEST_NAME = 200
"""Bytes of a folder's name; file systems end at 255, and some files beside it carry its name."""
BOM = b"\xef\xbb\xbf"
GZIP = b"\x1f\x8b"
NOT_READ = {
    b"\xff\xfe": "is UTF-16; save it as UTF-8",
    b"\xfe\xff": "is UTF-16; save it as UTF-8",
    b"\x28\xb5\x2f\xfd": "is compressed by zstd; unpack it",
    b"BZh": "is compressed by bzip2; unpack it",
    b"\xfd7zXZ": "is compressed by xz; unpack it",
    b"PK\x03\x04": "is a ZIP archive; unpack it",
    b"PAR1": "is a Parquet file; write its rows as JSON lines",
}
"""Beginnings of files that are not text in UTF-8, and what to do about it."""


@contextlib.contextmanager
def open_text(path: Path) -> Iterator[IO[bytes]]:
    """The bytes of a text file from its first letter on, unpacked where gzip packed them.

    Raises:
        TaskError: it is not there, cannot be read, or is not text in UTF-8 (as far as its beginning tells).
    """
    try:
        with path.open("rb") as plain:
            head = plain.read(8)
            plain.seek(0)
            for beginning, what in NOT_READ.items():
                if head.startswith(beginning):
                    raise TaskError(f"{path} cannot be read: it {what}")
            if not head.startswith(GZIP):
                plain.seek(len(BOM) if head.startswith(BOM) else 0)
                yield plain
                return
            with gzip.open(plain) as unpacked:
                if unpacked.read(len(BOM)) != BOM:
                    unpacked.seek(0)
                yield cast(IO[bytes], unpacked)
    except FileNotFoundError:
        raise TaskError(f"{path}: no such file") from None
    except (EOFError, zlib.error) as error:
        raise TaskError(f"{path} cannot be read: it is damaged ({error})") from None
    except OSError as error:
        raise TaskError(f"{path}: cannot be read ({error.strerror or error})") from None


def folder_name(name: str) -> str:
    """``name``, or its beginning and a digest of all of it where file systems have no room for it."""
    if len(name.encode("utf-8", "surrogatepass")) <= LONGEST_NAME:
        return name
    digest = hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
    return f"{name[: LONGEST_NAME // 4]}-{digest}"


def is_text(text: str) -> bool:
    """Whether all of it can be written: JSON may hold half of a character (a lone surrogate)."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
