"""What a format is recognised by: a file's first object, a table's columns, an archive's members."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from evals.base.text_files import open_text
from evals.records import numbered_lines, parse_line
from evals.task import TaskError

Row = dict[str, Any]
LARGEST = 4 << 30
"""Bytes of one JSON document, which is read as a whole."""


@dataclass(frozen=True)
class Shape:
    """A file: ``kind`` is how it is laid out, ``first`` its first object, ``columns`` those of a table."""

    path: Path
    kind: str  # "lines", "list", "object", "parquet" or "zip"
    first: Mapping[str, Any] = field(default_factory=dict)
    columns: frozenset[str] = frozenset()

    def has(self, *keys: str) -> bool:
        """Whether the first object has all of these keys."""
        return all(key in self.first for key in keys)

    def lines(self) -> Iterator[Row]:
        """The objects of a file of JSON lines."""
        for number, line in numbered_lines(self.path):
            if line.strip():
                try:
                    yield parse_line(line)
                except ValueError as error:
                    raise TaskError(f"{self.path}, line {number} {error}") from None

    @cached_property
    def document(self) -> Any:
        """The whole of a JSON document."""
        return _document(self.path)


@dataclass(frozen=True)
class Format:
    """A format: the program that writes it, what it is recognised by, and how its rows are read."""

    name: str
    recognises: Callable[[Shape], bool]
    rows: Callable[[Shape], Iterator[Row]]


def shape_of(path: Path) -> Shape | None:
    """What is seen of a file at its beginning; None for one that holds no objects.

    Raises:
        TaskError: it cannot be read.
    """
    if not path.is_file():
        return None
    with path.open("rb") as handle:
        head = handle.read(4)
    if head == b"PAR1":
        import pyarrow.parquet as pq

        return Shape(path, "parquet", columns=frozenset(pq.read_schema(path).names))
    if head == b"PK\x03\x04":
        with zipfile.ZipFile(path) as archive:
            return Shape(path, "zip", columns=frozenset(archive.namelist()))
    return _text_shape(path)


def _text_shape(path: Path) -> Shape | None:
    with open_text(path) as handle:
        line = handle.readline()
        while line and not line.strip():
            line = handle.readline()
    try:
        first = json.loads(line)
    except (ValueError, RecursionError):
        first = None
        if not line.lstrip().startswith((b"[", b"{")):
            return None
    if isinstance(first, dict) and path.suffix != ".json":
        return Shape(path, "lines", first)
    try:
        whole = _document(path)
    except (ValueError, RecursionError):
        return Shape(path, "lines", first) if isinstance(first, dict) else None
    if isinstance(whole, list):
        return Shape(path, "list", whole[0]) if whole and isinstance(whole[0], dict) else None
    return Shape(path, "object", whole) if isinstance(whole, dict) else None


def _document(path: Path) -> Any:
    if path.stat().st_size > LARGEST:
        raise TaskError(f"{path}: is larger than {LARGEST >> 30} GiB, too large for one JSON document")
    with open_text(path) as handle:
        text = handle.read()
    try:
        return json.loads(text)
    except RecursionError:
        raise TaskError(f"{path}: is nested too deeply to be read") from None


def ending(reason: object) -> str | None:
    """Ours for a program's reason why a response ended: "length" where a limit cut it; None for None."""
    if not isinstance(reason, str) or not reason:
        return None
    return "length" if reason in ("length", "max_tokens", "model_length", "max_length") else "stop"


def right(value: object) -> bool | None:
    """A verdict as programs write it; None where it is none of ours (a share, a missing one)."""
    if isinstance(value, str):
        return {"C": True, "I": False, "pass": True, "fail": False, "True": True, "False": False}.get(value)
    if isinstance(value, bool | int | float) and value in (0, 1):
        return bool(value)
    return None
