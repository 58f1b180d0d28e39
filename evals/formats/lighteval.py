"""lighteval, --save-details: details_TASK_TIME.parquet, a row for each document.

Since 0.10 the columns are ``doc``, ``metric`` and ``model_response``; before, ``predictions``, ``gold`` and
``metrics``. A response of several samples is a list of texts.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Any

from evals.formats.shape import Format, Row, Shape, right

NEW = frozenset({"doc", "metric", "model_response"})
OLD = frozenset({"predictions", "gold", "metrics"})
NUMPY = re.compile(r"\bnp\.\w+\(([^()]*)\)")
"""A number as NumPy 2 writes it into text: ``np.float64(1.0)``."""


def _recognises(shape: Shape) -> bool:
    return shape.kind == "parquet" and (shape.columns >= NEW or shape.columns >= OLD)


def _rows(shape: Shape) -> Iterator[Row]:
    import pyarrow.parquet as pq

    number = 0
    for batch in pq.ParquetFile(shape.path).iter_batches(batch_size=256):
        for row in batch.to_pylist():
            yield from _new(row, number) if shape.columns >= NEW else _old(row, number)
            number += 1


def _new(row: Row, number: int) -> Iterator[Row]:
    doc, response = _parsed(row["doc"]), _parsed(row["model_response"])
    texts = response["text"]
    gold = _gold(doc.get("choices"), doc.get("gold_index"))
    tokens = response.get("output_tokens") or []
    for sample, text in enumerate(texts or [None]):
        yield {
            # lighteval numbers documents within a task; a text tells which question it is anywhere.
            "id": str(doc["id"]) if doc.get("id") not in (None, "") else str(number),
            "question": doc.get("query"),
            "sample": sample,
            "response": text,
            "gold": gold,
            "tokens": len(tokens[sample]) if sample < len(tokens) else None,
            "correct": _correct(row["metric"]) if sample == 0 and len(texts) <= 1 else None,
        }


def _old(row: Row, number: int) -> Iterator[Row]:
    told = _parsed(row["predictions"])
    # Of choices by likelihood the predictions are numbers, or none.
    texts = [text for text in ([told] if isinstance(told, str) else told or []) if isinstance(text, str)]
    gold = _parsed(row["gold"])
    for sample, text in enumerate(texts or [None]):
        yield {
            "id": str(number),
            "question": row.get("example"),
            "sample": sample,
            "response": text,
            "gold": gold[0] if isinstance(gold, list) and gold else gold,
            "correct": _correct(row["metrics"]) if sample == 0 and len(texts) <= 1 else None,
        }


def _gold(choices: Any, index: Any) -> str | None:
    index = index[0] if isinstance(index, list) and index else index
    return str(choices[index]) if choices and isinstance(index, int) and index < len(choices) else None


def _correct(metrics: Any) -> bool | None:
    told = _parsed(NUMPY.sub(r"\1", metrics) if isinstance(metrics, str) else metrics)
    found = (right(value) for value in told.values()) if isinstance(told, dict) else ()
    return next((verdict for verdict in found if verdict is not None), None)


def _parsed(value: Any) -> Any:
    """What a column holds; lighteval writes what does not fit a column as Python's text of it."""
    if isinstance(value, str) and value[:1] in ("[", "{"):
        try:
            return ast.literal_eval(value)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            return value
    return value


FORMAT = Format("lighteval (details_*.parquet)", _recognises, _rows)
