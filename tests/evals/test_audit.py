"""The audit finds exactly the rows on which grader and second opinion differ."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from evals.audit import audit_file
from evals.graders.base import Verdict
from evals.graders.math.grader import MathGrader
from evals.task import TaskError


@pytest.fixture
def file(tmp_path: Path) -> Path:
    rows: list[dict[str, Any]] = [
        {"id": "plain", "gold": "5", "response": r"\boxed{5}", "correct": True},
        {"id": "pair", "gold": "(1,2)", "response": r"\boxed{\{1,2\}}", "correct": False},
        {"id": "slip", "gold": "7", "response": r"\boxed{8}", "correct": True},
        {"id": "none", "gold": "7", "response": "I do not know"},
    ]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_math_verify_takes_a_set_for_a_pair(file: Path) -> None:
    audit = audit_file(file, "math")
    assert [row.id for row in audit.rows] == ["pair"]
    assert audit.compared == 4
    [row] = audit.rows
    assert (row.first.status, row.second.status) == ("wrong", "correct")
    assert row.to_json()["response"] == r"\boxed{\{1,2\}}"


def test_a_fault_that_the_grader_shares_with_math_verify_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "rows.jsonl"
    rows = [
        {"id": "case", "gold": r"\frac{r}{R}", "response": r"\boxed{\frac{R}{r}}"},
        {"id": "same", "gold": r"\frac{r}{R}", "response": r"\boxed{r/R}"},
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    # math-verify takes small letters for capital ones: the grader does not, so that it differs today.
    assert [(row.id, row.first.status) for row in audit_file(path, "math").rows] == [("case", "wrong")]

    def lenient(grader: MathGrader, items: list[Any]) -> list[Verdict]:
        return [Verdict("correct", response.text[7:-1], "box") for _, response in items]

    monkeypatch.setattr(MathGrader, "grade", lenient)
    [row] = audit_file(path, "math").rows
    assert (row.id, row.first.status, row.second.status) == ("case", "correct", "wrong")
    assert row.second.detail == "values at a few points"


def test_labels_that_are_not_what_the_grader_says(file: Path) -> None:
    audit = audit_file(file, "math", "labels")
    assert [row.id for row in audit.rows] == ["slip"]
    assert audit.compared == 3


def test_what_cannot_be_audited_is_told(file: Path, tmp_path: Path) -> None:
    with pytest.raises(TaskError, match="use --against labels"):
        audit_file(file, "choice")
    bare = tmp_path / "bare.jsonl"
    bare.write_text('{"id": "a", "gold": "1", "response": "1"}\n')
    with pytest.raises(TaskError, match='contains no rows with "correct"'):
        audit_file(bare, "math", "labels")
