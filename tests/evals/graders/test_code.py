"""The grader of programs: verdicts for what models answer, whatever they answer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evals.graders.base import Response, Verdict, timed_out
from evals.graders.code import CodeGrader, same_output
from evals.sandbox import Limits
from evals.sandbox import sandbox as sandbox_module
from evals.task import Question

PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # of busy machines
FUNCTION = {
    "style": "function",
    "prompt": "",
    "entry_point": "f",
    "setup": "k = 1",
    "tests": "assert f(1) == 2\nassert f(4) == 4 + k",
}
STDIN = {"style": "stdin", "cases": [{"input": "1 2\n", "output": "3\n"}, {"input": "5 5\n", "output": "10"}]}


@pytest.fixture(scope="module")
def grader() -> Iterator[CodeGrader]:
    with CodeGrader(2, Limits(seconds=20.0)) as grader:
        if grader.isolation == "none":
            pytest.skip("no isolation works on this machine")
        yield grader


def _grade(grader: CodeGrader, info: dict[str, Any], *responses: str) -> list[Verdict]:
    question = Question(id="q", text="", info=info)
    return grader.grade([(question, Response(text)) for text in responses])


def test_function_style(grader: CodeGrader) -> None:
    verdicts = _grade(
        grader,
        FUNCTION,
        "```python\ndef f(x):\n    return x + 1\n```",
        "```python\ndef f(x):\n    return x\n```",
        "I do not know.",
        "```python\ndef g(x):\n    return x + 1\n```",
        "def f(x):\n    return x + 1",
        "def f(x) return",
    )
    statuses = [verdict.status for verdict in verdicts]
    assert statuses == ["correct", "wrong", "unparsed", "wrong", "correct", "wrong"]
    assert verdicts[0].answer == "def f(x):\n    return x + 1\n"
    assert verdicts[1].detail == "failed: test: assert f(1) == 2; AssertionError"
    assert verdicts[2].answer is None
    assert "does not define f" in verdicts[3].detail
    assert "SyntaxError" in verdicts[5].detail


def test_stdin_style(grader: CodeGrader) -> None:
    verdicts = _grade(
        grader,
        STDIN,
        "```python\na, b = map(int, input().split())\nprint(a + b)\n```",
        "print(3)",
        "```python\nprint(input(), input())\n```",
        "No idea.",
    )
    assert [verdict.status for verdict in verdicts] == ["correct", "wrong", "wrong", "unparsed"]
    assert verdicts[1].detail == "failed: input 2: wrong output"
    assert "EOFError" in verdicts[2].detail


def test_limits_of_a_question_hold(grader: CodeGrader) -> None:
    slow = _grade(grader, {**STDIN, "seconds": 0.5}, "```python\nwhile True: pass\n```")
    assert slow[0].detail == "timeout: input 1: not done within 0.5 s"
    large = _grade(grader, {**STDIN, "memory_mib": 64}, "x = bytearray(10**8)")
    assert large[0].detail.startswith("memory")


@pytest.mark.parametrize(
    ("info", "said"),
    [
        ({}, "info['style'] is None"),
        ({"style": "essay"}, "is 'essay'"),
        ({"style": "function", "entry_point": "f"}, "'tests'"),
        ({"style": "function", "tests": ""}, "'entry_point'"),
        ({"style": "stdin"}, "'cases'"),
        ({"style": "function", "entry_point": "f", "tests": "assert f("}, "own code fails"),
    ],
)
def test_a_faulty_question_is_a_grader_error(grader: CodeGrader, info: dict[str, Any], said: str) -> None:
    verdict = _grade(grader, info, "def f(x): return print(x)")[0]
    assert verdict.status == "grader_error"
    assert said in verdict.detail


def test_a_question_without_a_test_is_passed_by_nothing(grader: CodeGrader) -> None:
    for info in (
        {**STDIN, "cases": []},
        {**FUNCTION, "tests": ""},
        {**FUNCTION, "tests": "for x in []: f(x)"},
    ):
        verdict = _grade(grader, info, "def f(x): return x + 1")[0]
        assert verdict.status == "grader_error", info


def test_a_timeout_is_told_as_one(grader: CodeGrader) -> None:
    endless = "def f(x):\n    while True: pass"
    function = _grade(grader, {**FUNCTION, "seconds": 0.5}, endless)[0]
    script = _grade(grader, {**STDIN, "seconds": 0.5}, "while True: pass")[0]
    wrong = _grade(grader, FUNCTION, "def f(x): raise TimeoutError('timeout: not done')")[0]
    assert [timed_out(verdict.detail) for verdict in (function, script, wrong)] == [True, True, False]
    assert {verdict.status for verdict in (function, script, wrong)} == {"wrong"}


def test_of_a_cut_response_the_whole_program_is_graded(grader: CodeGrader) -> None:
    question = Question(id="q", text="", info=FUNCTION)
    text = "```python\ndef f(x):\n    return x + 1\n```\nAgain:\n```python\ndef f(x):\n    return x"
    cut, whole = grader.grade([(question, Response(text, truncated)) for truncated in (True, False)])
    assert (cut.status, whole.status) == ("correct", "wrong")
    (unknown,) = grader.grade([(question, Response(f"{text} + (1"))])
    assert unknown.status == "correct"  # the second does not compile


def test_a_language_that_was_not_asked_for_is_passed_over(grader: CodeGrader) -> None:
    both = "```python\nprint(sum(map(int, input().split())))\n```\n```cpp\nint main() {}\n```"
    assert _grade(grader, {**STDIN, "languages": ("python",)}, both)[0].status == "correct"
    alone = "```cpp\n#include <iostream>\nint main() {}\n```"
    assert _grade(grader, {**STDIN, "languages": ("python",)}, alone)[0].status in ("unparsed", "wrong")


def test_equal_programs_get_equal_verdicts(grader: CodeGrader) -> None:
    question = Question(id="q", text="", info=FUNCTION)
    right, wrong = Response("def f(x): return x + 1"), Response("def f(x): return 0")
    verdicts = grader.grade([(question, response) for response in [right, wrong] * 20])
    assert [verdict.correct for verdict in verdicts] == [True, False] * 20


def test_programs_do_not_vote(grader: CodeGrader) -> None:
    assert grader.vote_classes(Question(id="q", text=""), ["a", "a", None]) == [None, None, None]


def test_nothing_to_grade(grader: CodeGrader) -> None:
    assert grader.grade([]) == []


def test_without_isolation_nothing_is_graded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox_module, "available", lambda: (None, "install bubblewrap"))
    with CodeGrader(1) as grader:
        verdicts = _grade(grader, FUNCTION, "def f(x): return x + 1", "")
        assert grader.isolation == "none"
    assert [verdict.status for verdict in verdicts] == ["grader_error", "unparsed"]
    assert verdicts[0].detail == "install bubblewrap"


@pytest.mark.parametrize(
    ("expected", "printed", "same"),
    [
        ("3\n", "3", True),
        ("3 4\n5", "3 4 \n 5\n\n", True),
        ("1.0", "1", True),
        ("0.10 x", "0.1 x", False),
        ("0.10 2", "0.1 2.0", True),
        ("3", "\n\n3", True),
        ("3\n4", "3\n\n4", False),
        ("1e3", "1000", True),
        ("YES", "yes", False),
        ("3\n4", "3 4", False),
        ("3", "3\n4", False),
        ("3 4", "3", False),
        ("3", "", False),
        ("", "\n", True),
        ("nan", "nan", True),
        ("1", "NaN", False),
        ("1", "sNaN", False),
        ("0.1", "0.10000000000000001", False),
    ],
)
def test_outputs_are_compared_by_line_and_value(expected: str, printed: str, same: bool) -> None:
    assert same_output(expected, printed) is same


@PATIENT
@given(st.text(), st.text())
def test_comparing_any_two_outputs_gives_an_answer(expected: str, printed: str) -> None:
    assert same_output(expected, expected)
    assert isinstance(same_output(expected, printed), bool)
