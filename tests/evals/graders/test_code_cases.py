"""What a program is in the shapes that models write, by kind: cases/programs/code-KIND.jsonl.

A case has the id of its question in cases/programs/code_questions.json, the response, and the verdict of a
careful examiner: whether the program that the response gives in the end solves the question.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from evals.graders.base import Response, Verdict
from evals.graders.code import CodeGrader
from evals.sandbox import Limits
from evals.task import Question
from evals.tasks import registry

FOLDER = Path(__file__).parent / "cases" / "programs"
KINDS = sorted(path.stem for path in [*FOLDER.glob("code-*.jsonl"), *FOLDER.glob("hostile-code.jsonl")])


def _cases(kind: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (FOLDER / f"{kind}.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def questions(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Question]]:
    """The cases' questions, read by the tasks as from a user's own data."""
    folder = tmp_path_factory.mktemp("data")
    known = json.loads((FOLDER / "code_questions.json").read_text()).values()
    found: dict[str, Question] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HARNESS_DATA", str(folder))
        for benchmark in ("humaneval", "mbpp", "livecodebench"):
            rows = [json.dumps(each["row"]) + "\n" for each in known if each["benchmark"] == benchmark]
            (folder / f"{benchmark}.jsonl").write_text("".join(rows))
            found |= {question.id: question for question in registry.load_spec(benchmark)[1]}
        yield found


@pytest.fixture(scope="module")
def grader() -> Iterator[CodeGrader]:
    with CodeGrader(limits=Limits(seconds=3.0)) as grader:
        if grader.isolation == "none":
            pytest.skip("no isolation works on this machine")
        yield grader


def test_there_are_cases_on_both_sides_of_nearly_every_kind() -> None:
    sides = {kind: {case["expected"] for case in _cases(kind)} for kind in KINDS}
    assert len(KINDS) >= 18
    assert all(side == {True, False} for side in sides.values())


@pytest.mark.parametrize("kind", KINDS)
def test_cases(kind: str, questions: dict[str, Question], grader: CodeGrader) -> None:
    cases = _cases(kind)
    items = [
        (questions[case["question"]], Response(case["response"], case.get("finish_reason") == "length"))
        for case in cases
    ]
    verdicts = grader.grade(items)
    assert {
        case["id"]: (case["why"], verdict)
        for case, verdict in zip(cases, verdicts, strict=True)
        if not _as_expected(case, verdict)
    } == {}


def _as_expected(case: dict[str, Any], verdict: Verdict) -> bool:
    return verdict.status != "grader_error" and verdict.correct is case["expected"]
