r"""What counts as the same answer: a table for each kind in cases/values/, every verdict on its own.

A line has the ``gold``, what stands in the box (``answer``) or the whole ``response``, perhaps the
``question`` and the ``grader`` (mathematics, where it is not said), and whether it is ``right``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from evals.graders.base import Grader, Response
from evals.graders.integer import IntegerGrader
from evals.graders.math.grader import MathGrader
from evals.task import Question

FILES = {path.stem: path for path in sorted((Path(__file__).parent / "cases" / "values").glob("*.jsonl"))}
KINDS = [
    "base",
    "box-text",
    "complex",
    "compound-units",
    "counting",
    "decimal-comma",
    "degrees",
    "digit-suffix",
    "equal-strings",
    "equation",
    "formula-forms",
    "fraction-spelling",
    "gold-solution",
    "gold-unreadable",
    "infinity",
    "interval",
    "letter-case",
    "logarithm",
    "matrix",
    "mixed-forms",
    "mixed-number",
    "near-misses",
    "notation-abuse",
    "percent",
    "plus-minus",
    "ratio",
    "repeating",
    "residue",
    "scale-words",
    "scientific",
    "set",
    "sign-words",
    "thousands",
    "time-date",
    "tiny-difference",
    "tuple",
    "unicode-fraction",
    "unicode-power",
    "unicode-root",
    "unit-after-equals",
    "units",
    "vector",
    "whole-number",
    "word-answer",
]


@pytest.fixture(scope="module")
def graders() -> Iterator[dict[str, Grader]]:
    with MathGrader() as mathematics, IntegerGrader() as integers:
        yield {"math": mathematics, "integer": integers}


@pytest.mark.parametrize("kind", KINDS)
def test_every_case_of_a_kind_is_judged_as_a_careful_examiner_would(
    graders: dict[str, Grader], kind: str
) -> None:
    rows: list[dict[str, Any]] = [json.loads(line) for line in FILES[kind].read_text("utf-8").splitlines()]
    assert rows
    for name, grader in graders.items():
        own = [row for row in rows if row.get("grader", "math") == name]
        verdicts = grader.grade([_item(row) for row in own])
        found = [verdict.status for verdict in verdicts]
        expected = ["correct" if row["right"] else "wrong" for row in own]
        assert not [
            (status, row)
            for status, wanted, row in zip(found, expected, own, strict=True)
            if status != wanted
        ]


def _item(row: dict[str, Any]) -> tuple[Question, Response]:
    response = row.get("response", f"Working it through gives $\\boxed{{{row.get('answer')}}}$.")
    return Question(id="q", text=row.get("question", ""), gold=row["gold"]), Response(response)
