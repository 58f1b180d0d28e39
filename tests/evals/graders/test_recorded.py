"""Real models' recorded responses: our verdicts against the labels that came with them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from evals.graders.base import Response
from evals.graders.registry import make_grader
from evals.graders.second_opinion import MathVerifyGrader, audit, disagreements, labels
from evals.task import Question
from evals.tasks import registry

FOLDER = Path(os.environ.get("HARNESS_DATA", "")) / "recorded"
pytestmark = pytest.mark.skipif(
    "HARNESS_DATA" not in os.environ or not FOLDER.is_dir(), reason="HARNESS_DATA has no recorded/ folder"
)


def read(name: str) -> list[dict[str, Any]]:
    with (FOLDER / name).open(encoding="utf-8") as handle:
        return [json.loads(line) for line in handle]


def test_gsm8k_solutions_of_four_models_agree_with_their_labels() -> None:
    task, questions = registry.load_spec("gsm8k")
    rows = read("gsm8k_model_solutions.jsonl")
    models = [key for key in rows[0] if key not in ("question", "ground_truth")]
    assert len(models) == 4
    with make_grader(task.grader) as grader:
        for model in models:
            items = [(q, Response(row[model]["solution"])) for q, row in zip(questions, rows, strict=True)]
            recorded = labels([row[model]["is_correct"] for row in rows])
            assert len(disagreements(items, grader.grade(items), recorded)) <= 0.005 * len(rows), model


def test_math_responses_agree_with_their_labels_but_for_one_label_that_is_wrong() -> None:
    rows = read("math_cot_100x8.jsonl")
    items = [
        (Question(id=str(row["idx"]), text="", gold=row["gt"]), Response(text))
        for row in rows
        for text in row["code"]
    ]
    with make_grader("math") as grader:
        verdicts = grader.grade(items)
        classes = [
            grader.vote_classes(items[start][0], [v.answer for v in verdicts[start : start + 8]])
            for start in range(0, len(items), 8)
        ]
    recorded = labels([label for row in rows for label in row["score"]])
    odd = disagreements(items, verdicts, recorded)
    assert [(row.question.gold, row.first.answer, row.first.status) for row in odd] == [
        ("10{,}000", "10000", "correct")
    ]
    assert sum(verdict.correct for verdict in recorded) / 800 == 0.91
    assert sum(verdict.correct for verdict in verdicts) / 800 == pytest.approx(0.91, abs=0.0013)
    # Whoever is right is in one class, and nobody else is.
    for start, votes in zip(range(0, len(items), 8), classes, strict=True):
        right = {
            vote for vote, verdict in zip(votes, verdicts[start : start + 8], strict=True) if verdict.correct
        }
        wrong = {
            vote
            for vote, verdict in zip(votes, verdicts[start : start + 8], strict=True)
            if not verdict.correct
        }
        assert len(right) <= 1
        assert not right & wrong


def test_an_audit_against_math_verify_itself_lists_what_it_cannot_tell_apart() -> None:
    items = [
        (Question(id=str(i), text="", gold=gold), Response(f"Hence \\boxed{{{answer}}}."))
        for i, (gold, answer) in enumerate([("(1,2)", r"\{1,2\}"), (r"2\sqrt{3}", r"\sqrt{12}"), ("5", "6")])
    ]
    with make_grader("math") as ours, MathVerifyGrader() as theirs:
        found = audit(items, ours, theirs)
    assert [(row.question.id, row.first.correct, row.second.correct) for row in found] == [("0", False, True)]


def test_every_gold_of_math500_means_itself_and_no_other_number() -> None:
    _, questions = registry.load_spec("math500")
    frac, dfrac = "\\frac", "\\dfrac"
    with make_grader("math") as grader:
        same = grader.grade([(q, Response(f"\\boxed{{{q.gold}}}")) for q in questions])
        respelled = grader.grade(
            [(q, Response(f"$\\boxed{{\\displaystyle {q.gold.replace(frac, dfrac)} }}$.")) for q in questions]
        )
        other = grader.grade([(q, Response("\\boxed{123456789}")) for q in questions])
    assert [v.status for v in same] == ["correct"] * 500
    assert [v.status for v in respelled] == ["correct"] * 500
    assert {v.status for v in other} == {"wrong"}
