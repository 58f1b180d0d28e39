"""arena-hard-auto: model_answer/MODEL.jsonl, with turns (v0.1) or messages (v2.0)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from evals.formats.shape import Format, Row, Shape
from evals.task import TaskError


def _recognises(shape: Shape) -> bool:
    answers = shape.has("question_id", "choices") or shape.has("uid", "messages")
    judged = shape.has("games") and (shape.has("question_id") or shape.has("uid"))
    return shape.kind == "lines" and (answers or judged)


def _rows(shape: Shape) -> Iterator[Row]:
    if shape.has("games"):
        raise TaskError(
            f"{shape.path}: holds arena-hard-auto's judgments, which are of pairs; score the answers, "
            "model_answer/MODEL.jsonl"
        )
    for line in shape.lines():
        model = str(line.get("model_id") or line.get("model") or "")
        for number, text in enumerate(_answers(line)):
            yield {
                "id": str(line.get("question_id") or line.get("uid")),
                "sample": number,
                "response": text,
                "model": model,
            }


def _answers(line: dict[str, Any]) -> list[str]:
    if "choices" in line:
        return [_text(choice["turns"][-1]["content"]) for choice in line["choices"]]
    last = [message for message in line["messages"] if message["role"] == "assistant"][-1]
    return [_text(last["content"])]


def _text(content: Any) -> str:
    return str(content["answer"]) if isinstance(content, dict) else str(content)


FORMAT = Format("arena-hard-auto (model_answer/*.jsonl)", _recognises, _rows)
