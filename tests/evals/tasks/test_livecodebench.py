"""LiveCodeBench: both kinds of tests, the dates, and private tests that are read without trusting them."""

from __future__ import annotations

import base64
import json
import os
import pickle
import tracemalloc
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from evals.graders.base import Response
from evals.graders.code import CodeGrader
from evals.task import TaskError
from evals.tasks import livecodebench, registry
from evals.tasks.livecodebench import private_tests


def packed(value: object) -> str:
    return base64.b64encode(zlib.compress(pickle.dumps(value))).decode()


def case(given: str, output: str, kind: str) -> dict[str, str]:
    return {"input": given, "output": output, "testtype": kind}


def row(key: str, date: str, **changes: Any) -> dict[str, Any]:
    plain = {
        "question_id": key,
        "question_content": "Print the sum of two numbers.",
        "contest_date": f"{date}T00:00:00",
        "starter_code": "",
        "difficulty": "easy",
        "public_test_cases": json.dumps([case("1 2\n", "3\n", "stdin")]),
        "private_test_cases": packed(json.dumps([case("5 6\n", "11\n", "stdin")])),
        "metadata": "{}",
    }
    return {**plain, **changes}


METHOD = {
    "starter_code": "class Solution:\n    def pairs(self, numbers: List[int], extra: int):\n        ",
    "public_test_cases": json.dumps([case("[1, 2]\n3", "[4, 5]", "functional")]),
    "private_test_cases": packed(json.dumps([case("[]\n0", "[]", "functional")])),
    "metadata": json.dumps({"func_name": "pairs"}),
}
ROWS = [row("a", "2024-07-31"), row("b", "2024-08-01"), row("c", "2025-01-31", **METHOD)]


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path))
    (tmp_path / "livecodebench.jsonl").write_text("".join(json.dumps(each) + "\n" for each in ROWS))
    return tmp_path


@pytest.fixture(scope="module")
def grader() -> Iterator[CodeGrader]:
    with CodeGrader() as made:
        if made.isolation == "none":
            pytest.skip("no isolation works on this machine")
        yield made


def test_the_window_is_part_of_the_name_and_holds_both_months(data: Path) -> None:
    task, questions = registry.load_spec("livecodebench@2024-08..2025-01")
    assert task.name == "livecodebench@2024-08..2025-01"
    assert [question.id for question in questions] == ["b", "c"]
    assert [question.id for question in registry.load_spec("livecodebench")[1]] == ["a", "b", "c"]


@pytest.mark.parametrize("window", ["", "2024-08", "2024-13..2025-01", "2025-01..2024-08"])
def test_a_bad_window_is_refused(window: str) -> None:
    with pytest.raises(TaskError, match=r"for example 2024-08\.\.2025-01"):
        registry.get(f"livecodebench@{window}")


def test_a_task_without_dates_takes_no_window() -> None:
    with pytest.raises(TaskError, match="no dates"):
        registry.get("gsm8k@2024-08..2025-01")


def test_programs_that_read_and_print(data: Path, grader: CodeGrader) -> None:
    question = registry.load_spec("livecodebench")[1][0]
    right = "```python\nprint(sum(map(int, input().split())))\n```"
    imported = "```python\nprint(reduce(lambda a, b: a + b, map(int, input().split())))\n```"
    public_only = "```python\nprint(3)\n```"
    graded = grader.grade([(question, Response(text)) for text in (right, imported, public_only)])
    assert [verdict.status for verdict in graded] == ["correct", "correct", "wrong"]


def test_methods_of_a_solution_class(data: Path, grader: CodeGrader) -> None:
    question = registry.load_spec("livecodebench")[1][2]
    assert "class Solution" in question.text
    body = (
        "```python\nclass Solution:\n    def pairs(self, numbers: List[int], extra):\n        return {}\n```"
    )
    answers = ("[n + extra for n in numbers]", "tuple(n + extra for n in numbers)", "[4, 5]", "numbers")
    graded = grader.grade([(question, Response(body.format(answer))) for answer in answers])
    assert [verdict.status for verdict in graded] == ["correct", "correct", "wrong", "wrong"]


class _Runs:
    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, ("touch escaped",)


def test_a_pickle_of_anything_but_a_string_is_refused_and_runs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for value in (_Runs(), [_Runs()], [case("1", "1", "stdin")], os.system):
        with pytest.raises(ValueError, match="not encoded as the hub's"):
            private_tests(packed(value))
    assert not (tmp_path / "escaped").exists()


@pytest.mark.parametrize("text", ["", "no base64!", base64.b64encode(b"no zlib").decode(), packed("no JSON")])
def test_damaged_private_tests_are_the_graders_error_and_name_their_question(
    data: Path, grader: CodeGrader, text: str
) -> None:
    rows = [row("damaged", "2024-08-01", private_test_cases=text), ROWS[0]]
    (data / "livecodebench.jsonl").write_text("".join(json.dumps(each) + "\n" for each in rows))
    right = Response("```python\nprint(sum(map(int, input().split())))\n```")
    graded = grader.grade([(question, right) for question in registry.load_spec("livecodebench")[1]])
    assert [verdict.status for verdict in graded] == ["grader_error", "correct"]
    assert "livecodebench, question damaged: its tests cannot be read" in graded[0].detail


def test_private_tests_are_unpacked_when_graded_and_not_kept(
    data: Path, grader: CodeGrader, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = 3 << 20  # bytes of each question's tests
    cases = packed(json.dumps([case(f"1 2{' ' * large}\n", "3\n", "stdin")]))
    rows = [row(str(i), "2024-08-01", private_test_cases=cases) for i in range(40)]
    (data / "livecodebench.jsonl").write_text("".join(json.dumps(each) + "\n" for each in rows))
    unpacked: list[int] = []

    def spy(text: str) -> list[dict[str, Any]]:
        unpacked.append(len(text))
        return private_tests(text)

    monkeypatch.setattr("evals.tasks.livecodebench.private_tests", spy)
    monkeypatch.setattr("evals.graders.code.BATCH", 4)
    questions = registry.load_spec("livecodebench")[1]
    assert unpacked == []
    answers = [Response(f"```python\nprint(sum(map(int, input().split())) {end})\n```") for end in ("", "+1")]
    tracemalloc.start()
    graded = grader.grade([(question, answer) for question in questions for answer in answers])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert [verdict.status for verdict in graded] == ["correct", "wrong"] * len(questions)
    assert len(unpacked) == len(questions)  # once for all responses to it
    assert peak < len(questions) * large / 2


@pytest.mark.parametrize("rule", ["IMPORTS", "FUNCTIONAL_TESTS", "SECONDS"])
def test_what_decides_a_verdict_is_in_the_digest_of_the_tests(
    data: Path, monkeypatch: pytest.MonkeyPatch, rule: str
) -> None:
    before = [question.tests for question in registry.load_spec("livecodebench")[1]]
    assert before == [question.tests for question in registry.load_spec("livecodebench")[1]]
    known = getattr(livecodebench, rule)
    monkeypatch.setattr(livecodebench, rule, 2 * known)
    after = [question.tests for question in registry.load_spec("livecodebench")[1]]
    assert all(one != other for one, other in zip(before, after, strict=True))


def test_a_file_that_changed_meanwhile_is_told(data: Path, grader: CodeGrader) -> None:
    questions = registry.load_spec("livecodebench")[1]
    (data / "livecodebench.jsonl").write_text(json.dumps(row("z", "2024-08-01")) + "\n")
    graded = grader.grade([(question, Response("```python\nprint(3)\n```")) for question in questions])
    assert {verdict.status for verdict in graded} == {"grader_error"}
    assert "has changed since question a was read" in graded[0].detail


def test_a_bomb_is_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evals.tasks.livecodebench.TESTS_LIMIT", 1 << 20)
    with pytest.raises(ValueError, match="more than 1 MiB"):
        private_tests(packed("[" + " " * (4 << 20) + "]"))


def test_a_missing_file_says_what_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path))
    with pytest.raises(
        TaskError, match=r"livecodebench\.jsonl is missing .*harness data fetch livecodebench"
    ):
        registry.load_spec("livecodebench")
