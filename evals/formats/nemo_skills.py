"""NeMo-Skills: output.jsonl of greedy answers, output-rsSEED.jsonl of sampled ones."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from evals.formats.shape import Format, Row, Shape, right

VERDICTS = ("symbolic_correct", "is_correct-plus", "is_correct", "graded_list", "status", "judgement")
"""Its evaluators' keys: mathematics and choices, EvalPlus's two, LiveCodeBench, BigCodeBench, a judge."""


def _recognises(shape: Shape) -> bool:
    return shape.kind == "lines" and shape.has("generation") and not shape.has("id", "response")


def _rows(shape: Shape) -> Iterator[Row]:
    seed = re.search(r"-rs(\d+)", shape.path.name)
    for line in shape.lines():
        name = line.get("id", line.get("task_id", line.get("question_id")))
        yield {
            "id": None if name is None else str(name),
            "question": line.get("problem", line.get("question")),
            "sample": int(seed[1]) if seed else 0,
            "response": line["generation"],
            "gold": line.get("expected_answer"),
            "tokens": line.get("num_generated_tokens"),
            "correct": _correct(line),
        }


def _correct(line: dict[str, Any]) -> bool | None:
    found = (_verdict(line.get(name)) for name in VERDICTS)
    return next((verdict for verdict in found if verdict is not None), None)


def _verdict(value: Any) -> bool | None:
    """Of one key: a truth value, a list of one, or a judge's words, which end in ``Judgement: Yes``."""
    if isinstance(value, list):
        return right(value[0]) if len(value) == 1 else None
    judged = re.search(r"judgement\W+(yes|no)\b", value, re.IGNORECASE) if isinstance(value, str) else None
    return judged[1].lower() == "yes" if judged else right(value)


FORMAT = Format("NeMo-Skills (output*.jsonl)", _recognises, _rows)
