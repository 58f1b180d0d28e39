"""The rows that are learned from, out of a file or the hub; what is wrong with one stands in its place."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from evals.base.text_files import open_text
from evals.task import TaskError
from evals.tasks import hub, specs
from evals.tasks.rows import Rows, read_rows
from evals.tasks.specs import Spec
from harness.train.sft.formats import Row

TABLES = (".parquet", ".csv", ".tsv", ".json")
"""Ends of files that are read as questions are; all others hold a JSON object a line."""
USUAL_SPLIT = "train"
"""Of a data set of the hub, where none is named."""


def is_source(data: str) -> bool:
    """Whether ``data`` names a file that is here, or a data set of the hub; or a part of one."""
    try:
        source = _asked(data).source
    except TaskError:
        return False
    return _at_hub(source) or Path(source).expanduser().is_file()


def rows_of(data: str) -> Iterator[tuple[str, Row | ValueError]]:
    """Each row with its place in words: "line 7"; a line that is not a JSON object as a ``ValueError``.

    Columns that hold null are left out: Parquet fills rows up with them.

    Raises:
        TaskError: no such data, or the file cannot be read; a broken row of a table.
    """
    asked = _asked(data)
    rows = _rows(asked)
    part = asked.part
    if part is None:
        return rows
    if any(bound is not None and bound < 0 for bound in (part.start, part.stop, part.step)):
        return iter(list(rows)[part])  # it counts from the end, which has to be known
    return islice(rows, part.start, part.stop, part.step)


def _asked(data: str) -> Spec:
    return Spec(data) if Path(data).expanduser().exists() else specs.parse(data)


def _at_hub(source: str) -> bool:
    return source.startswith(f"{specs.HUB}:")


def _rows(asked: Spec) -> Iterator[tuple[str, Row | ValueError]]:
    if _at_hub(asked.source):
        return _placed(hub.read(asked.source, asked.split or USUAL_SPLIT))
    path = Path(asked.source).expanduser()
    if path.name.lower().removesuffix(".gz").endswith(TABLES):
        return _placed(read_rows(path))
    return _lines(path)


def _placed(rows: Rows) -> Iterator[tuple[str, Row]]:
    for number, row in enumerate(rows):
        yield rows.where(number), {key: value for key, value in row.items() if value is not None}


def _lines(path: Path) -> Iterator[tuple[str, Row | ValueError]]:
    with open_text(path) as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                yield f"line {number}", _object(line)


def _object(line: bytes) -> Row | ValueError:
    try:
        row: Any = json.loads(line.decode())
    except UnicodeDecodeError as error:
        return ValueError(f"is not UTF-8 ({error.reason})")
    except (ValueError, RecursionError):
        return ValueError("is not valid JSON")
    return row if isinstance(row, dict) else ValueError("is not a JSON object")
