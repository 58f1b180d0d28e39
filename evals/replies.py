"""Replies that cost time or money, kept on disk as they come: what was asked once is not asked again.

A request is known by a digest of what was asked, and by its number among equal ones. A row of the file has
both, what came back, and the tokens of either where they are known: what a server is paid for.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from evals.base import io
from evals.base.text_files import open_text
from evals.engine import Completion

Row = dict[str, Any]
Place = tuple[str, int]
"""A request's digest, and its number among equal requests."""


@dataclass(frozen=True)
class Tokens:
    """Tokens of a prompt and of its reply; None where nobody counted them."""

    prompt_tokens: int | None
    tokens: int | None

    @classmethod
    def of(cls, row: Row) -> Self:
        """The counts in a row, None for each that is not a number."""
        prompt, reply = row.get("prompt_tokens"), row.get("tokens")
        return cls(prompt if type(prompt) is int else None, reply if type(reply) is int else None)


class Replies:
    """The replies in a file; without a file they are kept in memory alone."""

    def __init__(self, path: Path | None = None) -> None:
        """Reads ``path``; a line that a kill or a disk damaged is dropped, and its request asked again."""
        self._path = path
        self._rows: dict[Place, Row] = {}
        self.asked = 0
        """Requests that were not in the file."""
        if path is None or not path.exists():
            return
        with open_text(path) as lines:
            rows = [(line, _row(line)) for line in lines]
        self._rows.update({(row["request"], row["number"]): row for _, row in rows if row is not None})
        if any(row is None for _, row in rows):
            io.write_bytes(path, [line for line, row in rows if row is not None])

    def get(self, place: Place) -> Row | None:
        return self._rows.get(place)

    def __contains__(self, place: Place) -> bool:
        return place in self._rows

    def counts(self) -> Iterator[Tokens]:
        """The tokens of every reply."""
        return map(Tokens.of, self.rows())

    def rows(self) -> Iterator[Row]:
        """Every reply's row, in the order in which they came."""
        return iter(self._rows.values())

    def add(self, rows: Iterable[Row]) -> None:
        """Keeps rows, on disk before this returns."""
        new = list(rows)
        self.asked += len(new)
        self._rows.update({(row["request"], row["number"]): row for row in new})
        if self._path is not None:
            io.append_lines(self._path, new)


def _row(line: bytes) -> Row | None:
    """The reply in a line; None where there is none, or only a part of one."""
    try:
        row = json.loads(line)
        known = isinstance(row["request"], str) and type(row["number"]) is int
        return row if known and line.endswith(b"\n") and ("text" in row or "loglikelihood" in row) else None
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def digest(kind: str, args: Iterable[Any]) -> str:
    """The name of a request of this kind."""
    told = json.dumps([kind, *args], sort_keys=True, default=str)
    return hashlib.blake2b(told.encode(), digest_size=16).hexdigest()


def completion_row(place: Place, completion: Completion) -> Row:
    """The row of a model's completion."""
    row = {
        "request": place[0],
        "number": place[1],
        "text": completion.text,
        "finish_reason": completion.finish_reason,
        "tokens": completion.tokens,
    }
    return row if completion.usage is None else row | {"prompt_tokens": completion.usage.prompt}
