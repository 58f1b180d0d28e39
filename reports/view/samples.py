"""Every sample of a folder, a page at a time: filtered, from a byte offset on, without reading the rest.

The files may hold a million samples and may be growing. A page reads until it is full, and at most
``BUDGET`` bytes: a search for what is rare goes on from there at the next click.
"""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from evals.base import io
from reports.samples.shown import status_of
from reports.view import lines, places

SIZE = 50
"""Samples on a page."""
BUDGET = 128 << 20
"""Bytes that one page reads at most."""

Order = Literal["first", "newest", "best", "worst"]
ORDERS: tuple[Order, ...] = ("first", "newest", "best", "worst")
VERDICTS = ("correct", "wrong", "unparsed", "grader_error", "truncated")


@dataclass(frozen=True)
class Source:
    """One samples.jsonl; ``key`` is its path below the root that is served.

    ``training``: completions of a run with their rewards, not graded ones of a benchmark.
    """

    key: str
    path: Path
    model: str
    benchmark: str
    training: bool = False


@dataclass(frozen=True)
class Filters:
    """What is looked for; "" for everything. ``verdict`` may be "truncated"; ``text`` ignores case."""

    model: str = ""
    benchmark: str = ""
    verdict: str = ""
    id: str = ""
    text: str = ""

    @classmethod
    def parse(cls, query: Mapping[str, str]) -> Filters:
        return cls(**{each.name: query.get(each.name, "").strip() for each in fields(cls)})

    def query(self) -> dict[str, str]:
        """The filters that are set, as a URL has them."""
        return {each.name: value for each in fields(self) if (value := getattr(self, each.name))}

    def reads(self, source: Source) -> bool:
        """Whether a file can hold what is looked for."""
        return (not self.model or source.model == self.model) and (
            not self.benchmark or source.benchmark == self.benchmark
        )

    def accepts(self, row: Mapping[str, Any]) -> bool:
        """Whether a sample is looked for, its file being one that is read."""
        if self.id and str(row.get("id")) != self.id:
            return False
        if self.verdict == "truncated" and row.get("finish_reason") != "length":
            return False
        if self.verdict not in ("", "truncated") and status_of(row) != self.verdict:
            return False
        if not self.text:
            return True
        needle = self.text.casefold()
        return any(
            needle in str(row.get(name) or "").casefold()
            for name in ("response", "answer", "id", "prompt", "detail")
        )


@dataclass(frozen=True)
class Found:
    """A sample and where its line stands."""

    source: Source
    start: int
    end: int
    row: Mapping[str, Any]


@dataclass(frozen=True)
class Cursor:
    """A place between two lines of one of the sources."""

    key: str
    offset: int

    @classmethod
    def parse(cls, text: str) -> Cursor | None:
        offset, separator, key = text.partition(":")
        return cls(key, int(offset)) if separator and offset.isascii() and offset.isdecimal() else None

    def __str__(self) -> str:
        return f"{self.offset}:{self.key}"


@dataclass(frozen=True)
class Page:
    """Samples in the order asked for; where it goes on, and where it came from.

    ``cut``: the budget ended before the page was full, so that the search goes on at ``after``.
    """

    rows: tuple[Found, ...]
    after: Cursor | None = None
    before: Cursor | None = None
    cut: bool = False


def sources(root: Path, folder: Path, training: bool = False) -> list[Source]:
    """The files of samples in ``folder``: of its evaluations, or the completions that training kept."""
    key = folder.relative_to(root).as_posix()
    key = "" if key == "." else f"{key}/"
    if training:
        path = folder / "samples.jsonl"
        return [Source(f"{key}samples.jsonl", path, folder.name, "", True)] if path.exists() else []
    found = []
    for place in places.evaluations(folder):
        path = place / "samples.jsonl"
        if path.exists():
            name = path.relative_to(folder).as_posix()
            found.append(Source(key + name, path, _model(folder, place), place.name))
    return found


def _model(folder: Path, place: Path) -> str:
    """Who was measured: the folder of a benchmark's folder."""
    if place == folder:
        return folder.parent.name
    parents = [name for name in place.relative_to(folder).parts[:-1] if name != "evals"]
    return "/".join(parents) or folder.name


def read_page(
    of: Sequence[Source],
    filters: Filters,
    order: Order = "first",
    cursor: Cursor | None = None,
    *,
    previous: bool = False,
    size: int = SIZE,
    budget: int = BUDGET,
) -> Page:
    """The page that begins at ``cursor``, or ends there where ``previous`` is asked for.

    "best" and "worst" are by reward, over the whole file: one page, nothing before or after it.
    """
    if order in ("best", "worst"):
        return _by_reward(of, filters, order, size)
    backwards = (order == "newest") != previous
    rows: list[Found] = []
    place: Cursor | None = None
    left = budget
    for source, line in _lines(of, filters, cursor, backwards):
        left -= len(line.data)
        place = Cursor(source.key, line.start if backwards else line.end)
        row = parse(line.data)
        if row is not None and filters.accepts(row):
            rows.append(Found(source, line.start, line.end, row))
        if len(rows) == size or left <= 0:
            break
    else:
        place = None
    if previous:
        rows.reverse()
        after, before = _edge(rows[-1], order, last=True) if rows else cursor, place
    else:
        after, before = place, _edge(rows[0], order, last=False) if rows and cursor else None
    return Page(tuple(rows), after, before, cut=place is not None and len(rows) < size)


def _edge(found: Found, order: Order, last: bool) -> Cursor:
    """Behind the last sample of a page or before its first, in reading order."""
    return Cursor(found.source.key, found.end if (order == "first") == last else found.start)


def _lines(
    of: Sequence[Source], filters: Filters, cursor: Cursor | None, backwards: bool
) -> Iterator[tuple[Source, lines.Line]]:
    read = [source for source in of if filters.reads(source)]
    read = read[::-1] if backwards else read
    keys = [source.key for source in read]
    begin = keys.index(cursor.key) if cursor is not None and cursor.key in keys else None
    for number, source in enumerate(read[begin or 0 :]):
        offset = cursor.offset if cursor is not None and begin is not None and number == 0 else None
        found = lines.backward(source.path, offset) if backwards else lines.forward(source.path, offset or 0)
        for line in found:
            yield source, line


def _by_reward(of: Sequence[Source], filters: Filters, order: Order, size: int) -> Page:
    sign = 1 if order == "best" else -1
    every = (
        (sign * reward, -line.start, Found(source, line.start, line.end, row))
        for source, line in _lines(of, filters, None, False)
        if (row := parse(line.data)) is not None
        and (reward := io.number(row.get("reward"))) is not None
        and filters.accepts(row)
    )
    return Page(tuple(found for _, _, found in heapq.nlargest(size, every, key=lambda each: each[:2])))


def parse(line: bytes) -> dict[str, Any] | None:
    """The sample in a line; None where there is none that can be read."""
    try:
        row = json.loads(line.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) and "id" in row else None


def read_sample(source: Source, offset: int) -> Found | None:
    """The sample whose line begins at ``offset``; None where none does."""
    data = lines.line_at(source.path, offset)
    row = parse(data) if data else None
    return None if row is None else Found(source, offset, offset + len(data), row)
