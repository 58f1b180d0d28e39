"""lm-evaluation-harness, --log_samples: samples_TASK_TIME.jsonl, a line for each document and filter."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from evals.formats.shape import Format, Row, Shape, right

USUAL = ("exact_match", "acc", "pass@1", "prompt_level_strict_acc", "acc_norm")
"""Metrics that say right or wrong, where an older file does not list its own."""


OWN = "grpo_harness"
"""In a row that ``harness export`` wrote: the question's ``id``, and ``correct`` for each repeat."""


def _recognises(shape: Shape) -> bool:
    return shape.kind == "lines" and shape.has("doc_id", "resps", "filtered_resps")


def _rows(shape: Shape) -> Iterator[Row]:
    """The documents under the file's first filter; a response for each repeat, of likelihoods none."""
    chosen = shape.first.get("filter")
    for line in shape.lines():
        if line.get("filter") != chosen:
            continue
        texts = [text for text in line["resps"][0] if isinstance(text, str)]
        own = line.get(OWN) or {}
        verdicts = own.get("correct") or [
            _correct(line)
        ]  # a metric is of the document, whatever repeats it has
        kept = {"id": str(own.get("id", line["doc_id"])), "gold": _gold(line.get("target"))}
        for number, text in enumerate(texts or [None]):
            correct = verdicts[number] if number < len(verdicts) else None
            yield {**kept, "sample": number, "response": text, "correct": correct}


def _gold(target: Any) -> Any:
    return target[0] if isinstance(target, list) and target else target


def _correct(line: Mapping[str, Any]) -> bool | None:
    names = line.get("metrics") or [name for name in USUAL if name in line]
    found = (right(line.get(name)) for name in names)
    return next((verdict for verdict in found if verdict is not None), None)


FORMAT = Format("lm-eval (samples_*.jsonl)", _recognises, _rows)
