"""samples.jsonl, read in one pass: which samples a page shows, and their text made fit to be shown.

A file may hold a million samples, so nothing of the responses is kept but where a few of them start; those
few are read again. Damaged lines are counted, never fatal, and whatever a model wrote is plain text here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evals.task import Question
from reports.samples.shown import Shown, shown, status_of

LONGEST = 6000
"""Characters of a response that a page shows; a longer one loses its middle."""

Kind = tuple[str, bool]
"""(status, whether the length limit cut it)."""


@dataclass(frozen=True)
class Index:
    """Where one samples.jsonl holds the earliest sample of each kind.

    ``first`` maps a question id to kind -> (sample number, byte offset); ``damaged`` counts lines that
    could not be read.
    """

    path: Path
    first: Mapping[str, Mapping[Kind, tuple[int, int]]]
    damaged: int


def index(path: Path) -> Index:
    """Finds the first sample of each kind of every question in ``path``."""
    first: dict[str, dict[Kind, tuple[int, int]]] = {}
    damaged = 0
    for offset, row in _rows(path):
        if row is None:
            damaged += 1
            continue
        kinds = first.setdefault(str(row["id"]), {})
        kind, number = _kind(row), int(row.get("sample") or 0)
        if kind not in kinds or number < kinds[kind][0]:
            kinds[kind] = (number, offset)
    return Index(path, first, damaged)


def _kind(row: Mapping[str, Any]) -> Kind:
    return status_of(row) or "wrong", row.get("finish_reason") == "length"


def _rows(path: Path) -> Iterator[tuple[int, dict[str, Any] | None]]:
    """(byte offset, row) of each line; None for a line that is no sample."""
    offset = 0
    with path.open("rb") as handle:
        for line in handle:
            if line.strip():
                yield offset, _parse(line)
            offset += len(line)


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        row = json.loads(line.decode("utf-8", "replace"))
        int(row.get("sample") or 0)
    except (ValueError, TypeError, AttributeError, RecursionError):
        return None
    return row if "id" in row else None


def first_samples(found: Index, question: str, asked: Question | None = None) -> list[Shown]:
    """The earliest sample of each kind of one question, correct ones first."""
    order = {"correct": 0, "wrong": 1, "unparsed": 2, "grader_error": 3}
    kinds = found.first.get(question, {})
    samples = []
    with found.path.open("rb") as handle:
        for kind in sorted(kinds, key=lambda kind: (order.get(kind[0], 4), kind[1])):
            handle.seek(kinds[kind][1])
            row = _parse(handle.readline())
            if row is not None:
                samples.append(shown(row, asked, LONGEST))
    return samples


def spread(ordered: Sequence[str], count: int) -> list[str]:
    """``count`` items of ``ordered``, spread evenly from its first to its last."""
    if count >= len(ordered):
        return list(ordered)
    if count < 2:
        return list(ordered[:count])
    return [ordered[round(i * (len(ordered) - 1) / (count - 1))] for i in range(count)]
