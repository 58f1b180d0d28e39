"""trials.csv: a row per trial, and no cell that a spreadsheet would compute."""

from __future__ import annotations

import csv
import io
from typing import Any

from harness.sweep.summary import Trial
from harness.sweep.tabulate import trials_csv


def row(number: int, params: dict[str, Any], reason: str = "") -> Trial:
    told = {
        "number": number, "params": params, "state": "complete", "value": -0.5, "stderr": 0.1, "attempts": 1,
        "history": [{"step": 3, "value": -0.5, "stderr": 0.1}], "seconds": 1.5, "reason": reason,
        "run": "trials/0",
    }  # fmt: skip
    return Trial.model_validate(told)


def test_text_is_no_formula_and_numbers_stay_numbers() -> None:
    rows = [row(0, {"grpo.x": "=1+1", "grpo.y": -2}), row(1, {"grpo.x": "-3"}, "-inf at step 3; @x")]
    [first, second] = csv.DictReader(io.StringIO(trials_csv(rows)))
    assert (first["grpo.x"], float(first["grpo.y"]), first["value"]) == ("'=1+1", -2, "-0.5")
    assert (second["grpo.x"], second["reason"]) == ("-3", "'-inf at step 3; @x")
    assert (first["step"], second["grpo.y"]) == ("3", "")
