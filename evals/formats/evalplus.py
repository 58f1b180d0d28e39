"""EvalPlus: samples (JSON lines of task_id with solution or completion), and *_eval_results.json."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from evals.formats.shape import Format, Row, Shape, right

PREFIX = "Mbpp/"
"""Before EvalPlus's numbers of MBPP's tasks."""


def _recognises(shape: Shape) -> bool:
    if shape.kind == "object":
        return shape.has("eval") and isinstance(shape.first["eval"], dict) and not shape.has("samples")
    programs = shape.has("solution") or shape.has("completion")
    return shape.kind == "lines" and shape.has("task_id") and programs and not shape.has("generation")


def _rows(shape: Shape) -> Iterator[Row]:
    counts: dict[str, int] = {}
    for task, sample in _samples(shape):
        number = counts[task] = counts.get(task, -1) + 1
        # A solution is a whole program, to be run as it is.
        text = sample["solution"] if "solution" in sample else sample["completion"]
        yield {
            "id": task.removeprefix(PREFIX),
            "sample": number,
            "response": f"```python\n{text}\n```" if "solution" in sample else text,
            "correct": _correct(sample),
        }


def _samples(shape: Shape) -> Iterator[tuple[str, dict[str, Any]]]:
    if shape.kind == "lines":
        for line in shape.lines():
            yield str(line["task_id"]), line
        return
    for task, samples in shape.first["eval"].items():
        for sample in samples:
            yield str(task), sample


def _correct(sample: dict[str, Any]) -> bool | None:
    """Right on the base tests, and on EvalPlus's own where they were run."""
    verdicts = [right(sample.get(name)) for name in ("base_status", "plus_status") if sample.get(name)]
    if not verdicts:
        return None
    return all(verdict is True for verdict in verdicts)


FORMAT = Format("EvalPlus (samples.jsonl or *_eval_results.json)", _recognises, _rows)
