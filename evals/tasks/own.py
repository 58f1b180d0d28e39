"""Tasks of the user's own: a file of questions, a data set of the hub, a table that says how to read one."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from evals.task import Question, Task, TaskError
from evals.tasks import hub, specs
from evals.tasks.reading import Questions, checked_questions, reading
from evals.tasks.rows import Rows, read_rows
from evals.tasks.specs import Spec

ALL = "all"
"""The one split of data that come without splits."""
USUAL_GRADER = "math"
"""It reads numbers, formulas and words."""
KEPT = 8
"""Sources whose rows were looked at and need not be again, while their files are as they were."""


@dataclass(frozen=True)
class Described:
    """A table ``[tasks.NAME]``: where the rows are, which column holds what, and how answers are graded.

    ``splits`` are parts of ``source`` ("[:800]") or sources of their own. ``grader`` "" is ``USUAL_GRADER``,
    for rows that have no options.
    """

    source: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)
    grader: str = ""
    grader_settings: Mapping[str, Any] = field(default_factory=dict)
    splits: Mapping[str, str] = field(default_factory=dict)
    title: str = ""
    samples: int = 1


def task(name: str, described: Described) -> Task:
    """The task of a table; its rows are read when they are asked for.

    Raises:
        TaskError: what the table names as a source is none.
    """
    addresses = {
        split: _address(name, split, part, described.source) for split, part in described.splits.items()
    }
    parts = {
        split: _source(name, address) for split, address in (addresses or {ALL: described.source}).items()
    }
    columns = tuple(sorted(described.columns.items()))

    def load(split: str) -> Sequence[Question]:
        return _load(parts[split], columns, described.grader)

    return Task(
        name=name,
        title=described.title or name,
        grader=described.grader or USUAL_GRADER,
        splits=tuple(parts),
        benchmark="test" if "test" in parts else next(iter(parts)),
        load=load,
        source=", ".join(dict.fromkeys(asked.source for asked in parts.values())),
        samples=described.samples,
        grader_settings=described.grader_settings,
    )


def file_task(path: str) -> Task:
    """The task of a file of questions whose columns have usual names."""
    name = os.path.normpath(path)
    return task(name, Described(source=name, title=Path(name).stem))


def hub_task(source: str) -> Task:
    """The task of a data set of the hub, "hf:OWNER/NAME@REVISION", whose columns have usual names.

    Which splits it has is known when one is loaded.

    Raises:
        TaskError: it is not such an address.
    """
    hub.parts_of(source)
    return Task(
        name=source,
        title=source.removeprefix(f"{specs.HUB}:"),
        grader=USUAL_GRADER,
        splits=(),
        benchmark="test",
        load=lambda split: _load(Spec(source, split), (), ""),
        source=source,
    )


def _address(name: str, split: str, part: str, source: str) -> str:
    if not part.strip().startswith("["):
        return part
    if not source:
        raise TaskError(f"tasks.{name}.splits.{split}: {part} is a part of the source, and there is none")
    return source + part


def _source(name: str, address: str) -> Spec:
    asked = specs.parse(address)
    if specs.FILE.fullmatch(asked.source) or asked.source.startswith(f"{specs.HUB}:"):
        return asked
    raise TaskError(
        f"tasks.{name}: {address!r} is not a source; accepted: a file (.jsonl, .csv, .tsv, .json, .parquet) "
        'or "hf:OWNER/NAME@REVISION:split", with [a:b] behind it for a part'
    )


def _load(asked: Spec, columns: tuple[tuple[str, str], ...], grader: str) -> Sequence[Question]:
    whole = _questions(asked.source, asked.split, _state(asked.source), columns, grader)
    return whole[asked.part or slice(None)]


@lru_cache(maxsize=KEPT)
def _questions(
    source: str, split: str, _state: tuple[int, int], columns: tuple[tuple[str, str], ...], grader: str
) -> Questions:
    """All questions of a source, each looked at once."""
    at_hub = source.startswith(f"{specs.HUB}:")
    where = f"{source}:{split}" if at_hub else source
    rows: Rows = hub.read(source, split) if at_hub else read_rows(Path(source).expanduser())
    how = reading(where, rows, dict(columns), grader or USUAL_GRADER)
    if not grader and "options" in how.columns:
        raise TaskError(
            f"{where}: its column {how.columns['options']!r} makes it multiple choice, or does it? Say "
            'grader = "choice" or another in a table [tasks.NAME] with it as the source'
        )
    return checked_questions(where, rows, how)


def _state(source: str) -> tuple[int, int]:
    """What changes with a file; nothing is known of the hub's."""
    try:
        state = Path(source).expanduser().stat()
    except OSError:
        return 0, 0
    return state.st_size, state.st_mtime_ns
