"""A parquet table, a row for each sample: samples.jsonl with benchmark, model, question and gold."""

from __future__ import annotations

import io as memory
from collections.abc import Sequence
from pathlib import Path

from evals.base import io
from evals.export.evaluation import Evaluated


def write(evaluations: Sequence[Evaluated], out: Path) -> list[Path]:
    """BENCHMARK.parquet for each evaluation."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema(
        [
            *((name, pa.string()) for name in ("benchmark", "model", "id")),
            ("sample", pa.int64()),
            *((name, pa.string()) for name in ("question", "gold", "prompt", "response", "answer")),
            ("correct", pa.bool_()),
            *((name, pa.string()) for name in ("status", "detail", "finish_reason")),
            ("tokens", pa.int64()),
            ("seconds", pa.float64()),
            ("won", pa.float64()),
        ]
    )
    paths = []
    for each in evaluations:
        told = {"benchmark": each.scores.benchmark, "model": each.scores.model}
        rows = [
            {
                **told,
                **sample.as_row(),
                "question": text,
                "gold": gold,
                "won": sample.duel.won / sample.duel.weight if sample.duel else None,
            }
            for sample, text, gold in each.each()
        ]
        target = memory.BytesIO()
        pq.write_table(pa.Table.from_pylist(rows, schema), target, compression="zstd")
        paths.append(out / f"{each.folder.resolve().name}.parquet")
        io.write_bytes(paths[-1], [target.getvalue()])
    return paths
