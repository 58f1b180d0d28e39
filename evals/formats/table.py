"""A parquet table of samples, such as ``harness export --to parquet`` writes: id, response and verdict."""

from __future__ import annotations

from collections.abc import Iterator

from evals.formats.shape import Format, Row, Shape, right

COLUMNS = frozenset({"id", "response", "correct"})
OTHERS = ("sample", "gold", "finish_reason", "tokens", "model", "question")


def _recognises(shape: Shape) -> bool:
    return shape.kind == "parquet" and shape.columns >= COLUMNS


def _rows(shape: Shape) -> Iterator[Row]:
    import pyarrow.parquet as pq

    names = [*COLUMNS, *(name for name in OTHERS if name in shape.columns)]
    with pq.ParquetFile(shape.path) as table:
        for batch in table.iter_batches(columns=names):
            for row in batch.to_pylist():
                yield {**row, "correct": right(row["correct"])}


FORMAT = Format("a table of samples (.parquet)", _recognises, _rows)
