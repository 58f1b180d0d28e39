"""MBPP: the paper's splits; every reference solution is correct."""

from __future__ import annotations

from pathlib import Path

import pytest

from evals.graders.base import Response
from evals.graders.code import CodeGrader
from evals.sandbox import Limits
from evals.tasks import data, mbpp


@pytest.fixture(scope="module")
def references(data_folder: Path) -> dict[str, str]:
    if not (data_folder / "mbpp.jsonl").exists():
        pytest.skip("HARNESS_DATA has no mbpp.jsonl")
    return {str(row["task_id"]): row["code"] for row in data.read(mbpp.FILES[0])}


def test_splits_are_the_papers(references: dict[str, str]) -> None:
    ids = {split: [int(question.id) for question in mbpp.TASK.load(split)] for split in mbpp.TASK.splits}
    assert {split: (found[0], found[-1], len(found)) for split, found in ids.items()} == {
        "prompt": (1, 10, 10),
        "test": (11, 510, 500),
        "validation": (511, 600, 90),
        "train": (601, 974, 374),
    }


def test_a_question_states_the_task_and_its_asserts(references: dict[str, str]) -> None:
    question = mbpp.TASK.load("test")[0]
    assert question.text.startswith("Write a python function to remove first and last occurrence")
    assert question.text.count("assert remove_Occ(") == 3
    assert question.info["entry_point"] == "remove_Occ"


@pytest.mark.slow
def test_reference_solutions_are_correct(references: dict[str, str]) -> None:
    questions = [question for split in mbpp.TASK.splits for question in mbpp.TASK.load(split)]
    responses = [Response(f"```python\n{references[question.id]}\n```") for question in questions]
    with CodeGrader(limits=Limits(seconds=60.0)) as grader:
        if grader.isolation == "none":
            pytest.skip("no isolation works on this machine")
        verdicts = grader.grade(list(zip(questions, responses, strict=True)))
    assert not {q.id: v.detail for q, v in zip(questions, verdicts, strict=True) if not v.correct}
