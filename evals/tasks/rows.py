"""The rows of a file that somebody else wrote: JSON lines, CSV, TSV, JSON or Parquet, however many there are.

No row is kept: what stays is where each begins, noted when a file is first gone through. A row is read again
when it is asked for. (What gzip packed, and a JSON list, is kept: nothing in it can be found.)
"""

from __future__ import annotations

import csv
import json
from abc import ABC, abstractmethod
from array import array
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Protocol

from evals.base.errors import first_line
from evals.base.text_files import GZIP, open_text
from evals.task import TaskError
from evals.tasks.data import Row, parse_row

LONGEST_FIELD = 1 << 27
"""Characters of a field of a CSV file."""
AT_ONCE = 4096
"""Rows of a Parquet file that are decoded together."""


class Rows(Protocol):
    """Rows by number, from 0, and in order."""

    def __len__(self) -> int: ...

    def __getitem__(self, number: int, /) -> Row:
        """The row; ``TaskError`` where the file has changed."""
        ...

    def __iter__(self) -> Iterator[Row]: ...

    def where(self, number: int) -> str:
        """The row's place in words: "line 7"."""
        ...


def read_rows(path: Path) -> Rows:
    """The rows of ``path``, by the end of its name.

    Raises:
        TaskError: it is not there or cannot be read, or a row is broken; the message names its line.
    """
    kind = next(end for end in reversed(path.suffixes) if end.lower() != ".gz").lower()
    if kind == ".parquet":
        return ParquetRows(path)
    if kind == ".json":
        return Held(path, _listed(path), "entry")
    lines = CsvRows(path, kind == ".tsv") if kind in (".csv", ".tsv") else JsonRows(path)
    return Held(path, list(iter(lines)), "row") if _packed(path) else lines


class Held:
    """Rows in memory."""

    def __init__(self, path: Path, rows: Sequence[Row], word: str) -> None:
        self._path, self._rows, self._word = path, rows, word

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, number: int, /) -> Row:
        return self._rows[number]

    def __iter__(self) -> Iterator[Row]:
        return iter(self._rows)

    def where(self, number: int) -> str:
        return f"{self._word} {number + 1}"


class _Lines(ABC):
    """Rows of a text file, each from a place in it on; ``_scan`` finds the places."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._places, self._lines = array("Q"), array("Q")
        self._all = False
        """Whether the places of all rows are known."""
        with open_text(path):
            self._state = _state(path)

    @abstractmethod
    def _scan(self) -> Iterator[tuple[int, int, Row]]:
        """(byte, line, row) of every row."""

    def __len__(self) -> int:
        self._find_all()
        return len(self._places)

    def __iter__(self) -> Iterator[Row]:
        self._check()
        for number, (place, line, row) in enumerate(self._scan()):
            if number == len(self._places):
                self._places.append(place)
                self._lines.append(line)
            yield row
        self._all = True

    def where(self, number: int) -> str:
        return f"line {self._lines[number]}"

    def _place(self, number: int) -> int:
        """The byte that a row begins at."""
        self._check()
        if number >= len(self._places):
            self._find_all()
        return self._places[number]

    def _find_all(self) -> None:
        if not self._all:
            for _ in self:
                pass

    def _check(self) -> None:
        if _state(self._path) != self._state:
            raise TaskError(f"{self._path} has changed since it was read; start again")


class JsonRows(_Lines):
    """JSON lines."""

    def _scan(self) -> Iterator[tuple[int, int, Row]]:
        with open_text(self._path) as handle:
            place = handle.tell()
            for number, line in enumerate(handle, start=1):
                if line.strip():
                    yield place, number, parse_row(line, (), f"{self._path}, line {number}")
                place += len(line)

    def __getitem__(self, number: int, /) -> Row:
        place = self._place(number)
        with open_text(self._path) as handle:
            handle.seek(place)
            return parse_row(handle.readline(), (), f"{self._path}, {self.where(number)}")


class CsvRows(_Lines):
    """A table as text, its columns named by the first line; fields end at commas, semicolons or tabs."""

    def __init__(self, path: Path, tabs: bool) -> None:
        csv.field_size_limit(LONGEST_FIELD)
        with open_text(path) as handle:
            first = handle.readline()
        self._mark = "\t" if tabs else ";" if first.count(b";") > first.count(b",") else ","
        super().__init__(path)

    def _scan(self) -> Iterator[tuple[int, int, Row]]:
        with open_text(self._path) as handle:
            place = [handle.tell(), 0]

            def lines() -> Iterator[str]:
                for line in handle:
                    place[0] += len(line)
                    place[1] += 1
                    yield self._decoded(line, place[1])

            reader = csv.reader(lines(), delimiter=self._mark, strict=True)
            self._columns = self._next(reader, 1) or []
            twice = next((name for name in self._columns if self._columns.count(name) > 1), None)
            if twice is not None:
                raise TaskError(f"{self._path}, line 1: names the column {twice!r} twice; rename one")
            while True:
                begins, line = place[0], place[1] + 1
                fields = self._next(reader, line)
                if fields is None:
                    return
                if fields:
                    yield begins, line, self._row(fields, line)

    def _next(self, reader: Iterator[list[str]], line: int) -> list[str] | None:
        try:
            return next(reader, None)
        except csv.Error as error:
            why = "a quotation mark that opens here is not closed" if "end of data" in str(error) else error
            raise TaskError(f"{self._path}, line {line}: not valid CSV: {why}") from None

    def _decoded(self, line: bytes, number: int) -> str:
        try:
            return line.decode()
        except UnicodeDecodeError as error:
            raise TaskError(
                f"{self._path}, line {number}: is not UTF-8 ({error.reason}); save it as UTF-8"
            ) from None

    def _row(self, fields: Sequence[str], line: int) -> Row:
        if len(fields) != len(self._columns):
            raise TaskError(
                f"{self._path}, line {line}: has {len(fields)} fields, and the first line names "
                f"{len(self._columns)}: {', '.join(self._columns)}"
            )
        return dict(zip(self._columns, fields, strict=True))

    def __getitem__(self, number: int, /) -> Row:
        place = self._place(number)
        with open_text(self._path) as handle:
            handle.seek(place)
            line = self._lines[number]
            reader = csv.reader(
                (self._decoded(each, line) for each in handle), delimiter=self._mark, strict=True
            )
            return self._row(self._next(reader, line) or [], line)


class ParquetRows:
    """A Parquet file: rows are decoded by group, and the group that was asked for last is kept."""

    def __init__(self, path: Path) -> None:
        import pyarrow
        from pyarrow import parquet

        try:
            self._file = parquet.ParquetFile(path)
        except FileNotFoundError:
            raise TaskError(f"{path}: no such file") from None
        except (OSError, pyarrow.ArrowException) as error:
            raise TaskError(f"{path}: is not a Parquet file that can be read: {first_line(error)}") from None
        groups = self._file.metadata
        self._ends: list[int] = []
        for number in range(groups.num_row_groups):
            self._ends.append((self._ends[-1] if self._ends else 0) + groups.row_group(number).num_rows)
        self._group = lru_cache(maxsize=1)(self._file.read_row_group)

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def __getitem__(self, number: int, /) -> Row:
        group = next(place for place, end in enumerate(self._ends) if number < end)
        first = self._ends[group - 1] if group else 0
        found: list[Row] = self._group(group).slice(number - first, 1).to_pylist()
        return found[0]

    def __iter__(self) -> Iterator[Row]:
        for batch in self._file.iter_batches(AT_ONCE):
            yield from batch.to_pylist()

    def where(self, number: int) -> str:
        return f"row {number + 1}"


def _listed(path: Path) -> list[Row]:
    with open_text(path) as handle:
        try:
            rows = json.loads(handle.read())
        except (ValueError, RecursionError) as error:
            raise TaskError(f"{path}: not valid JSON: {error}") from None
    if not isinstance(rows, list):
        raise TaskError(f"{path}: must be a JSON list of objects; one object a line is what .jsonl holds")
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict):
            raise TaskError(f"{path}, entry {number}: must be a JSON object, got {type(row).__name__}")
    return rows


def _packed(path: Path) -> bool:
    with path.open("rb") as handle:
        return handle.read(len(GZIP)) == GZIP


def _state(path: Path) -> tuple[int, int]:
    state = path.stat()
    return state.st_size, state.st_mtime_ns
