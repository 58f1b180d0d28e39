"""SkyThought: results.json, an object of problems by their ids, each with its responses.

Responses are a list, or (before its second release) a table by temperature.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from evals.formats.shape import Format, Row, Shape, right

TEXTS = ("problem", "question", "prompt")
GOLDS = ("answer", "gold", "expected_answer", "solution")


def _recognises(shape: Shape) -> bool:
    entry = next(iter(shape.first.values()), None) if shape.kind == "object" else None
    return isinstance(entry, dict) and "responses" in entry


def _rows(shape: Shape) -> Iterator[Row]:
    for name, entry in shape.first.items():
        usages = _listed(entry.get("token_usages"))
        for number, response in enumerate(_listed(entry["responses"])):
            usage = usages[number] if number < len(usages) else None
            yield {
                "id": str(name),
                "question": next((entry[key] for key in TEXTS if isinstance(entry.get(key), str)), None),
                "sample": number,
                "response": response["content"],
                "gold": next((entry[key] for key in GOLDS if entry.get(key) is not None), None),
                "tokens": usage.get("completion_tokens") if isinstance(usage, Mapping) else None,
                "correct": right(response.get("correctness")),
            }


def _listed(value: Any) -> list[Any]:
    """The entries of a list, or of a table of entries or of lists of them."""
    if isinstance(value, Mapping):
        return [each for part in value.values() for each in (part if isinstance(part, list) else [part])]
    return list(value or [])


FORMAT = Format("SkyThought (results.json)", _recognises, _rows)
