"""HumanEval: every canonical solution is correct in every shape; programs that solve nothing are not."""

from __future__ import annotations

from pathlib import Path

import pytest

from evals.graders.base import Response
from evals.graders.code import CodeGrader
from evals.sandbox import Limits
from evals.tasks import data, humaneval


@pytest.fixture(scope="module")
def solutions(data_folder: Path) -> dict[str, str]:
    if not (data_folder / "humaneval.jsonl").exists():
        pytest.skip("HARNESS_DATA has no humaneval.jsonl")
    return {row["task_id"]: row["canonical_solution"] for row in data.read(humaneval.FILES[0])}


def test_questions(solutions: dict[str, str]) -> None:
    questions = humaneval.TASK.load("test")
    assert len(questions) == 164
    assert [question.id for question in questions] == [f"HumanEval/{n}" for n in range(164)]
    assert questions[0].info["entry_point"] == "has_close_elements"
    assert "def has_close_elements" in questions[0].text


@pytest.mark.slow
def test_canonical_solutions_are_correct_and_stubs_are_not(solutions: dict[str, str]) -> None:
    questions = humaneval.TASK.load("test")
    right = [Response(solutions[question.id]) for question in questions]
    whole = [
        Response(f"<think>…</think>\n```python\n{q.info['prompt']}{solutions[q.id]}```") for q in questions
    ]
    stubs = [Response("    return None\n") for _ in questions]
    with CodeGrader(limits=Limits(seconds=60.0)) as grader:
        if grader.isolation == "none":
            pytest.skip("no isolation works on this machine")
        for responses in (right, whole):
            verdicts = grader.grade(list(zip(questions, responses, strict=True)))
            assert not {q.id: v.detail for q, v in zip(questions, verdicts, strict=True) if not v.correct}
        verdicts = grader.grade(list(zip(questions, stubs, strict=True)))
        assert {verdict.status for verdict in verdicts} == {"wrong"}


def test_a_program_is_not_compared_with_itself(solutions: dict[str, str]) -> None:
    # HumanEval/33's own tests call the program for the expected value of its first asserts.
    question = humaneval.TASK.load("test")[33]
    sliced = "def sort_third(l):\n    return [2, 6, 3, 4, 8, 9, 5] if l[0] == 5 else l[::-1]\n"
    with CodeGrader(1, Limits(seconds=60.0)) as grader:
        if grader.isolation == "none":
            pytest.skip("no isolation works on this machine")
        verdict = grader.grade([(question, Response(sliced))])[0]
    assert verdict.detail.startswith("failed: test: assert tuple(candidate([1, 2, 3]))")
