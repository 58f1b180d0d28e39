"""What lm-eval's tasks came to, every metric of them: also of those where nothing is right or wrong."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

RECORD = "lm_eval.json"


@dataclass(frozen=True)
class Suite:
    """One model on one task or group of lm-eval: for each task of it, metric -> value."""

    model: str
    benchmark: str
    figures: Mapping[str, Mapping[str, float]]
    notes: tuple[str, ...]


def read_suite(folder: Path, model: str) -> Suite:
    """The suite that ``folder`` holds.

    Raises:
        ValueError: its lm_eval.json is not readable.
    """
    try:
        record = json.loads((folder / RECORD).read_bytes())
        figures = {
            str(task): {str(metric): float(value) for metric, value in row.items()}
            for task, row in record["results"].items()
        }
        notes = tuple(map(str, record.get("notes") or ()))
        return Suite(model, str(record["benchmark"]), figures, notes)
    except (OSError, KeyError, TypeError, AttributeError, ValueError, OverflowError, RecursionError):
        raise ValueError(f"{folder / RECORD}: is not readable, so it is left out.") from None
