"""AlpacaEval: model_outputs.json, and annotations.json, where an annotator preferred one of two outputs."""

from __future__ import annotations

from collections.abc import Iterator

from evals.formats.shape import Format, Row, Shape


def _recognises(shape: Shape) -> bool:
    outputs = shape.has("instruction", "output", "generator")
    return shape.kind in ("list", "lines") and (outputs or shape.has("instruction", "output_2", "preference"))


def _rows(shape: Shape) -> Iterator[Row]:
    """Outputs; of annotations the second, the model's, which won where the preference is nearer to 2."""
    for entry in shape.document if shape.kind == "list" else shape.lines():
        judged = "output_2" in entry
        preference = entry.get("preference")
        yield {
            "id": None,
            "question": entry["instruction"],
            "response": entry["output_2" if judged else "output"],
            "model": entry.get("generator_2" if judged else "generator") or "",
            "correct": preference > 1.5 if judged and isinstance(preference, int | float) else None,
        }


FORMAT = Format("AlpacaEval (model_outputs.json or annotations.json)", _recognises, _rows)
