"""Responses at hand in Python come to what ``harness score`` makes of the same rows in a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import evals
from evals import score
from evals.base.errors import UsageError
from evals.recorded import score_file
from evals.task import TaskError
from evals.tasks import registry

ROWS: list[dict[str, Any]] = [
    {"id": 1, "response": r"So it is \boxed{4}.", "gold": 4},
    {"id": 1, "sample": 1, "response": r"So it is \boxed{5}.", "gold": 4},
    {"id": "two", "response": "I do not know", "gold": "1/2", "finish_reason": "length", "tokens": 7},
]


def test_rows_are_graded_as_a_file_of_them_is(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    [from_file] = score_file(file, "math")
    graded = score(ROWS, grader="math")
    assert graded.scores.questions == from_file.questions
    assert graded.pass_at_1.value == 0.25
    assert graded.table[["id", "sample", "correct", "status"]].values.tolist() == [
        ["1", 0, True, "correct"],
        ["1", 1, False, "wrong"],
        ["two", 0, False, "unparsed"],
    ]


def test_a_data_frame_is_rows_too() -> None:
    assert score(pd.DataFrame(ROWS), grader="math").scores.questions == score(ROWS, "math").scores.questions


def test_a_benchmark_brings_its_own_questions() -> None:
    question = registry.get("tiny-math").questions("test")[0]
    rows = [{"id": question.id, "response": f"<answer>{question.gold}</answer>"}]
    graded = score(rows, benchmark="tiny-math:test[:3]")
    assert graded.pass_at_1.value == 1.0
    assert len(graded.scores.missing) == 2


@pytest.mark.parametrize(
    ("rows", "how", "told"),
    [
        ([], {"grader": "math"}, "there are no rows"),
        (ROWS, {}, "name either grader"),
        (ROWS, {"grader": "math", "benchmark": "gsm8k"}, "name either grader"),
        (ROWS, {"grader": "maths"}, "unknown grader 'maths'; accepted: math, choice"),
        ([ROWS[0], {"id": 3, "response": "4"}], {"grader": "math"}, "row 2 needs 'gold'"),
        ([ROWS[0], ROWS[0]], {"grader": "math"}, "row 2 repeats sample 0 of id '1'"),
        ([{**ROWS[0], "model": "a"}, {**ROWS[0], "model": "b"}], {"grader": "math"}, "these name a, b"),
    ],
)
def test_what_cannot_be_graded_is_told_in_a_sentence(
    rows: list[dict[str, Any]], how: dict[str, Any], told: str
) -> None:
    with pytest.raises(TaskError, match=told):
        score(rows, **how)
    assert issubclass(TaskError, UsageError)


def test_a_notebook_shows_responses_as_text() -> None:
    page = score([{"id": 1, "response": "<script>alert(1)</script> 4", "gold": 4}], "math")._repr_html_()
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "pass@1" in page


def test_the_face_offers_what_it_names() -> None:
    assert {name for name in evals.__all__ if getattr(evals, name) is None} == set()
    assert dir(evals) == sorted(evals.__all__)
    with pytest.raises(AttributeError, match="no attribute 'scoer'"):
        evals.scoer  # noqa: B018
