"""LiveCodeBench's own runner: OUTPUT.json and OUTPUT_eval_all.json, a problem with all its samples each."""

from __future__ import annotations

from collections.abc import Iterator

from evals.formats.shape import Format, Row, Shape, right


def _recognises(shape: Shape) -> bool:
    return shape.kind == "list" and shape.has("question_id", "code_list")


def _rows(shape: Shape) -> Iterator[Row]:
    for problem in shape.document:
        codes, graded = problem["code_list"], problem.get("graded_list") or []
        for number, code in enumerate(codes):
            outputs = problem.get("output_list") or []
            whole = outputs[number] if number < len(outputs) else f"```python\n{code}\n```"
            yield {
                "id": str(problem["question_id"]),
                "sample": number,
                "response": whole,
                "correct": right(graded[number]) if number < len(graded) else None,
            }


FORMAT = Format("LiveCodeBench (*_eval_all.json)", _recognises, _rows)
