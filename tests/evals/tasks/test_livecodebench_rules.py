"""LiveCodeBench's rules: what the grader says of 200 odd programs, and a reference that knows nothing of it.

The reference below does what LiveCodeBench's own evaluator was seen to do (lcb_runner/evaluation/
testing_util.py): star imports in its order, one solution object for all tests, outputs stripped and compared
line by line and then as exact decimals. It runs the programs in this process, so they are our own and tame.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
from collections.abc import Iterator
from decimal import Decimal, DecimalException
from typing import Any
from unittest import mock

import pytest

from evals.graders.base import Response, Verdict
from evals.graders.code import CodeGrader, same_output
from evals.task import Question
from evals.tasks import livecodebench, registry
from tests.evals.tasks.livecodebench_programs import EXPECTED, EXPRESSIONS, METHODS, OUTPUTS, SHAPES, VALUES

ORDER = (
    "string re datetime collections heapq bisect copy math random statistics itertools functools operator io "
    "sys json builtins typing"
)
MODULES = ORDER.replace(" builtins typing", "")


# --- the reference -----------------------------------------------------------------------------------------


def _names() -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": "__main__"}
    for module in ORDER.split():
        exec(f"from {module} import *", names)
    for module in MODULES.split():
        exec(f"import {module}", names)
    return names


def reference_script(program: str, given: str, expected: str) -> bool:
    """Whether one run of a program that reads and prints is right."""
    printed = io.StringIO()
    with mock.patch.object(sys, "stdin", io.StringIO(given)), contextlib.redirect_stdout(printed):
        try:
            exec(compile(program, "program", "exec", dont_inherit=True), _names())
        except SystemExit:
            pass
        except Exception:
            return False
    return reference_output(expected, printed.getvalue())


def reference_output(expected: str, printed: str) -> bool:
    wanted = [line.strip() for line in expected.strip().split("\n")]
    got = [line.strip() for line in printed.strip().split("\n")]
    if len(wanted) != len(got):
        return False
    for left, right in zip(wanted, got, strict=True):
        if left == right:
            continue
        try:
            if [Decimal(word) for word in right.split()] != [Decimal(word) for word in left.split()]:
                return False
        except DecimalException:
            return False
    return True


def reference_method(program: str, name: str, cases: list[tuple[str, str]]) -> bool:
    """Whether all calls of a method, or of a function in its stead, are right."""
    names = _names()
    try:
        exec(compile(program, "program", "exec", dont_inherit=True), names)
        solver = getattr(names["Solution"](), name) if "class Solution" in program else names[name]
        for given, expected in cases:
            answer = solver(*[json.loads(line) for line in given.split("\n")])
            if isinstance(answer, tuple):
                answer = list(answer)
            if not answer == json.loads(expected):  # noqa: SIM201 - what == says
                return False
    except Exception:
        return False
    return True


# --- the tests ---------------------------------------------------------------------------------------------


def _script(given: str, expected: str) -> dict[str, Any]:
    return {"starter_code": "", "metadata": "{}"} | _tests([(given, expected)], "stdin")


def _method(cases: list[tuple[str, str]]) -> dict[str, Any]:
    starter = "class Solution:\n    def f(self, x: int) -> int:\n        "
    return {"starter_code": starter, "metadata": '{"func_name": "f"}'} | _tests(cases, "functional")


def _tests(cases: list[tuple[str, str]], kind: str) -> dict[str, Any]:
    rows = [{"input": given, "output": output, "testtype": kind} for given, output in cases]
    return {"public_test_cases": json.dumps(rows), "private_test_cases": "[]"}


def _block(program: str) -> str:
    return f"```python\n{program}\n```"


@pytest.fixture(scope="module", autouse=True)
def recursion() -> Iterator[None]:
    """The original allows deep recursion; so must the reference."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(50000)
    yield
    sys.setrecursionlimit(before)


@pytest.fixture(scope="module")
def grader() -> Iterator[CodeGrader]:
    with CodeGrader() as made:
        if made.isolation == "none":
            pytest.skip("no isolation works on this machine")
        yield made


Row = tuple[dict[str, Any], str]


@pytest.fixture
def verdicts(tmp_path: Any, monkeypatch: pytest.MonkeyPatch, grader: CodeGrader) -> Any:
    """Grades programs, each as the answer to a problem of its own: rows and responses."""

    def grade(rows: list[Row]) -> list[Verdict]:
        monkeypatch.setenv("HARNESS_DATA", str(tmp_path))
        plain = {"question_content": "?", "contest_date": "2024-08-01T00:00:00", "difficulty": "easy"}
        lines = [
            json.dumps({"question_id": str(n), **plain, **row}) + "\n" for n, (row, _) in enumerate(rows)
        ]
        (tmp_path / "livecodebench.jsonl").write_text("".join(lines))
        questions: list[Question] = registry.load_spec("livecodebench")[1]
        return grader.grade([(q, Response(text)) for q, (_, text) in zip(questions, rows, strict=True)])

    return grade


def _differences(programs: list[str], wanted: list[bool], found: list[Verdict]) -> dict[str, Any]:
    assert {True, False} == set(wanted)
    return {
        program: (right, verdict.status, verdict.detail)
        for program, right, verdict in zip(programs, wanted, found, strict=True)
        if verdict.correct is not right
    }


def test_there_are_more_than_200_programs() -> None:
    assert len({*VALUES, *EXPRESSIONS, *SHAPES, *OUTPUTS}) > 200


@pytest.mark.parametrize(("expected", "printed"), OUTPUTS)
def test_outputs_are_compared_as_by_the_original(expected: str, printed: str) -> None:
    assert same_output(expected, printed) is reference_output(expected, printed)


def test_scripts_end_and_print_as_for_the_original(verdicts: Any) -> None:
    wanted = [reference_script(program, "3\n", "3\n") for program in SHAPES]
    found = verdicts([(_script("3\n", "3\n"), _block(program)) for program in SHAPES])
    assert _differences(SHAPES, wanted, found) == {}


def test_names_mean_what_they_mean_to_the_original(verdicts: Any) -> None:
    programs = [f"print(repr({expression}))" for expression in EXPRESSIONS]
    expected = []
    for program in programs:
        printed = io.StringIO()
        stdin = mock.patch.object(sys, "stdin", io.StringIO("3\n"))
        with stdin, contextlib.redirect_stdout(printed), contextlib.suppress(Exception):
            exec(program, _names())
        expected.append(printed.getvalue() or "nothing")
    wanted = [
        reference_script(*each, out)
        for each, out in zip(((p, "3\n") for p in programs), expected, strict=True)
    ]
    found = verdicts([(_script("3\n", out), _block(p)) for p, out in zip(programs, expected, strict=True)])
    assert _differences(programs, wanted, found) == {}


def test_returned_values_are_compared_as_by_the_original(verdicts: Any) -> None:
    pairs = [
        (f"class Solution:\n    def f(self, x):\n        return {value}", expected)
        for number, value in enumerate(VALUES)
        for expected in EXPECTED[number % 2 :: 2]
    ]
    wanted = [reference_method(program, "f", [("1", expected)]) for program, expected in pairs]
    found = verdicts([(_method([("1", expected)]), _block(program)) for program, expected in pairs])
    assert _differences([f"{p} == {e}" for p, e in pairs], wanted, found) == {}


TWO = [("3", "6"), ("4", "8")]


def test_methods_and_functions_are_called_as_by_the_original(verdicts: Any) -> None:
    wanted = [reference_method(program, "f", TWO) for program in METHODS]
    found = verdicts([(_method(TWO), _block(program)) for program in METHODS])
    if any("No module named 'numpy'" in verdict.detail for verdict in found):
        wanted, found = wanted[:-1], found[:-1]
    assert _differences(METHODS[: len(wanted)], wanted, found) == {}


@pytest.mark.parametrize(
    "program",
    [
        "class Yes:\n    __eq__ = lambda *_: True\nclass Solution:\n    def f(self, x): return Yes()",
        "class Solution:\n    def f(self, x): return type('I', (int,), {'__eq__': lambda s, o: True})(0)",
    ],
)
def test_an_object_that_equals_everything_passes_there_and_not_here(verdicts: Any, program: str) -> None:
    assert reference_method(program, "f", TWO)
    assert verdicts([(_method(TWO), _block(program))])[0].status == "wrong"


@pytest.mark.parametrize(
    "program",
    [
        "n = 0\ndef f():\n    global n\n    n += 1\nf()\nprint(input() if n else '')",
        "from __future__ import annotations\nprint(input())",
        "import sys\nprint(sys.stdin.buffer.read().decode())",
        "def main():\n    print(input())\nif __name__ == '__main__':\n    main()\nx = 0",
        "import sys\nsys.stdout.buffer.write(sys.stdin.buffer.read())",
    ],
)
def test_what_the_original_breaks_by_wrapping_it_in_a_function_is_run(verdicts: Any, program: str) -> None:
    assert verdicts([(_script("3\n", "3\n"), _block(program))])[0].status == "correct"


@pytest.mark.parametrize("row", [_script("", "") | _tests([], "stdin"), _method([])])
def test_a_problem_without_a_test_is_passed_by_nothing(verdicts: Any, row: dict[str, Any]) -> None:
    [verdict] = verdicts([(row, _block("class Solution:\n    def f(self, x): return x\nprint(input())"))])
    assert verdict.status == "grader_error"
    assert "question 0: it has no tests" in verdict.detail


def test_each_call_of_a_method_has_its_own_seconds(verdicts: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evals.tasks.livecodebench.SECONDS", 1.0)
    one = livecodebench.FUNCTIONAL_TESTS.replace("begin_test(6.0)", "begin_test(1.0)")
    monkeypatch.setattr("evals.tasks.livecodebench.FUNCTIONAL_TESTS", one)
    four = [(str(n), str(n)) for n in range(4)]
    slow = "import time\nclass Solution:\n    def f(self, x):\n        {}\n        return x"
    each = slow.format("end = time.process_time() + 0.6\n        while time.process_time() < end: pass")
    once = slow.format(
        "end = time.process_time() + 2 * (x == 2)\n        while time.process_time() < end: pass"
    )
    asleep = slow.format("time.sleep(2 * (x == 0))")
    loading = f"import time\ntime.sleep(2)\n{each}"
    found = verdicts([(_method(four), _block(program)) for program in (each, once, asleep, loading)])
    assert [verdict.status for verdict in found] == ["correct", "wrong", "wrong", "wrong"]
    assert {verdict.detail for verdict in found[1:]} == {"timeout: not done within 1 s"}
