"""Files that other programs write of responses: each is recognised by its shape and read as rows of our own.

One file a format. A row is what ``harness score`` reads (``id, response`` and optionally ``sample, gold,
finish_reason, tokens, model, question``) with ``correct`` where the file says so; ``id`` is None where the
program keeps none, and ``question``, the text, stands for it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from evals.formats import (
    alpaca_eval,
    arena_hard,
    evalplus,
    inspect_ai,
    lighteval,
    livecodebench,
    lm_eval,
    nemo_skills,
    openai_batch,
    skythought,
    table,
)
from evals.formats.shape import Format, Row, Shape, shape_of
from evals.task import TaskError

FORMATS: tuple[Format, ...] = (
    lm_eval.FORMAT,
    lighteval.FORMAT,
    inspect_ai.FORMAT,
    livecodebench.FORMAT,
    evalplus.FORMAT,
    alpaca_eval.FORMAT,
    arena_hard.FORMAT,
    skythought.FORMAT,
    nemo_skills.FORMAT,
    openai_batch.FORMAT,
    table.FORMAT,
)


RENAME = "write JSON lines with the question's name as 'id' and the text as 'response'"
"""What makes any file readable."""


def recognise(path: Path) -> tuple[Format, Shape] | None:
    """The format of ``path`` and what was seen of it; None where it is none of these.

    Raises:
        TaskError: the file is there and cannot be read.
    """
    shape = shape_of(path)
    if shape is None or _is_ours(shape):
        return None
    found = next(((each, shape) for each in FORMATS if each.recognises(shape)), None)
    if found is None and shape.kind != "lines":
        raise TaskError(f"{path}: is of no format that is read ({names()}); {RENAME}")
    return found


def _is_ours(shape: Shape) -> bool:
    verdict = isinstance(shape.first.get("response"), str) or "correct" in shape.first
    return shape.kind == "lines" and shape.has("id") and verdict


def rows(found: tuple[Format, Shape]) -> Iterator[Row]:
    """The rows of a recognised file.

    Raises:
        TaskError: a row is not as the format has it.
    """
    form, shape = found
    count = 0
    try:
        for row in form.rows(shape):
            count += 1
            yield row
    except (KeyError, TypeError, IndexError, AttributeError, ValueError) as error:
        told = f"{type(error).__name__}: {error}"
        raise TaskError(
            f"{shape.path}: after row {count} it is not as {form.name} writes it ({told}); {RENAME}"
        ) from None


def row_id(row: Mapping[str, Any]) -> str:
    """The row's id; where it has none, one that is its question's."""
    if row.get("id") is not None:
        return str(row["id"])
    return hashlib.blake2b(str(row.get("question")).encode("utf-8", "replace"), digest_size=8).hexdigest()


def names() -> str:
    """The formats, for a sentence."""
    return ", ".join(each.name for each in FORMATS)
