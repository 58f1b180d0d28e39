"""HumanEval+ and MBPP+: EvalPlus's own tests decide, not those of the original."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evals.graders.base import Response
from evals.graders.code import CodeGrader
from evals.tasks import evalplus, registry

HUMANEVAL = {
    "task_id": "HumanEval/0",
    "prompt": 'def double(x):\n    """Twice x."""\n',
    "canonical_solution": "    return 2 * x\n",
    "entry_point": "double",
    "test": "def check(candidate):\n    for x in (1, 0, -3):\n        assert candidate(x) == x + x\n",
}
MBPP = {
    "task_id": 2,
    "prompt": "Write a function to double a number.",
    "code": "def double(x):\n    return 2 * x\n",
    "test_list": ["assert double(1) == 2"],
    "test": "inputs = [1, 0, -3]\nresults = [2, 0, -6]\n"
    "for given, wanted in zip(inputs, results):\n    assert double(given) == wanted\n",
}


# The shape of EvalPlus's tests: numpy decides about floats, everything else must be equal.
EVALPLUS = """\
import numpy as np

def is_floats(x) -> bool:
    if isinstance(x, float):
        return True
    if isinstance(x, (list, tuple)):
        return all(isinstance(i, float) for i in x)
    if isinstance(x, np.ndarray):
        return x.dtype == np.float64 or x.dtype == np.float32
    return False

def assertion(out, exp, atol):
    exact_match = out == exp
    if atol == 0 and is_floats(exp):
        atol = 1e-6
    if not exact_match and atol != 0:
        assert np.allclose(out, exp, rtol=1e-07, atol=atol)
    else:
        assert exact_match

def check(candidate):
    inputs = [[[1.0, 2.0, 4.0]], [[0.1, 0.2]], [[5.0]]]
    results = [[2.3333333333333335, 3], [0.15000000000000002, 2], [5.0, 1]]
    for inp, (mean, count) in zip(inputs, results):
        out = candidate(*inp)
        assertion(out[0], mean, 0)
        assertion(out[1], count, 0)
"""
PROGRAMS = {
    "correct": [
        "def f(x):\n    return [sum(x) / len(x), len(x)]",
        "import numpy as np\ndef f(x):\n    return [np.mean(x), np.int64(len(x))]",  # numpy's own scalars
        "def f(x):\n    return [sum(x) / len(x) + 1e-7, len(x)]",  # within the tolerance
    ],
    "wrong": [
        "def f(x):\n    return [sum(x) / len(x) + 1e-3, len(x)]",
        "def f(x):\n    return [sum(x) / len(x), len(x) + 1]",
        "class A:\n    def __eq__(self, other): return True\ndef f(x):\n    return [A(), A()]",
        "import numpy as np\nnp.allclose = lambda *a, **k: True\ndef f(x):\n    return [0.0, len(x)]",
    ],
}


def test_numpy_decides_about_floats_as_in_evalplus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path))
    canonical = "    return [sum(x) / len(x), len(x)]\n"
    row = {**HUMANEVAL, "prompt": "def f(x):\n", "entry_point": "f", "canonical_solution": canonical}
    (tmp_path / "humaneval_plus.jsonl").write_text(json.dumps({**row, "test": EVALPLUS}) + "\n")
    _, [question] = registry.load_spec("humaneval-plus")
    wanted = [(status, code) for status, codes in PROGRAMS.items() for code in codes]
    with CodeGrader(workers=1) as grader:
        if grader.isolation == "none":
            pytest.skip("no isolation works on this machine")
        verdicts = grader.grade([(question, Response(f"```python\n{code}\n```")) for _, code in wanted])
    if "No module named 'numpy'" in verdicts[0].detail:
        pytest.skip("no numpy fits the interpreter of the sandbox")
    assert [verdict.status for verdict in verdicts] == [status for status, _ in wanted], verdicts


def check_of(results: str) -> str:
    """EvalPlus's tests with one call whose result should be ``results``."""
    head = EVALPLUS[: EVALPLUS.index("def check")]
    return f"{head}def check(candidate):\n    assertion(candidate(0), {results}, 0)\n"


TYPES = [  # what the question's result is, what the program returns, whether EvalPlus's evaluator accepts it
    ("1.5", "1.5", True),
    ("1.5", "1.5 + 1e-8", True),
    ("1.5", "[]", False),
    ("1.5", "()", False),
    ("1.5", "'1.5'", False),
    ("2.0", "2", True),
    ("2.0", "2 + 0j", True),
    ("1.5", "[1.5]", False),
    ("1.5", "1", False),
    ("1.5", "None", False),
    ("[]", "[]", True),
    ("[]", "5", False),
    ("[]", "0.0", False),
    ("[]", "()", False),
    ("[]", "''", False),
    ("[]", "{}", False),
    ("()", "()", True),
    ("()", "[]", False),
    ("()", "7.5", False),
    ("[1.5]", "[]", False),
    ("[1.5]", "1.5", False),
    ("[1.5]", "[1.5 + 1e-8]", True),
    ("[1.5]", "(1.5 + 1e-8,)", False),
    ("[1.5, 1.5]", "[1.5]", False),
    ("[1.5, 1.5]", "[1.5 + 1e-9]", False),
    ("[1.5]", "[1.5, 1.5]", False),
    ("[1.5, 2.5]", "[[1.5, 2.5]]", False),
    ("(1.5, 2.5)", "(1.5, 2.5 - 1e-8)", True),
    ("3", "3", True),
    ("3", "[]", False),
    ("'a'", "'a'", True),
    ("True", "1", True),
    ("None", "None", True),
    ("float('nan')", "float('nan')", False),
]


def test_types_and_lengths_must_be_equal_before_numbers_may_differ(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path))
    plain = {**HUMANEVAL, "prompt": "def f(x):\n", "entry_point": "f", "canonical_solution": "    return x\n"}
    rows = [{**plain, "task_id": str(n), "test": check_of(result)} for n, (result, _, _) in enumerate(TYPES)]
    (tmp_path / "humaneval_plus.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    questions = registry.load_spec("humaneval-plus")[1]
    with CodeGrader(workers=2) as grader:
        if grader.isolation == "none":
            pytest.skip("no isolation works on this machine")
        answers = [Response(f"```python\ndef f(x):\n    return {value}\n```") for _, value, _ in TYPES]
        verdicts = grader.grade(list(zip(questions, answers, strict=True)))
    if "No module named 'numpy'" in verdicts[0].detail:
        pytest.skip("no numpy fits the interpreter of the sandbox")
    assert [
        (result, value, verdict.detail)
        for (result, value, right), verdict in zip(TYPES, verdicts, strict=True)
        if verdict.correct is not right
    ] == []


ZERO = """\
import math
def _poly(xs, x):
    return sum(coeff * math.pow(x, i) for i, coeff in enumerate(xs))

def check(candidate):
    inputs = [[[1, 2]], [[-6, 1]]]
    for i, inp in enumerate(inputs):
        assert _poly(*candidate(*inp), inp) <= 0.0001
"""


def test_the_zero_of_a_polynomial_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path))
    canonical = "    return -xs[0] / xs[1]\n"
    row = {
        **HUMANEVAL,
        "prompt": "def f(xs):\n",
        "entry_point": "f",
        "canonical_solution": canonical,
        "test": ZERO,
    }
    (tmp_path / "humaneval_plus.jsonl").write_text(json.dumps(row) + "\n")
    [question] = registry.load_spec("humaneval-plus")[1]
    with CodeGrader(workers=1) as grader:
        if grader.isolation == "none":
            pytest.skip("no isolation works on this machine")
        answers = [Response(canonical), Response("    return 9.0\n"), Response("    return None\n")]
        verdicts = grader.grade([(question, answer) for answer in answers])
    assert [verdict.status for verdict in verdicts] == ["correct", "wrong", "wrong"]


def test_tests_of_another_shape_are_left_as_they_are() -> None:
    assert evalplus.mended(HUMANEVAL["test"]) == HUMANEVAL["test"]
    assert evalplus.mended(MBPP["test"]) == MBPP["test"]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "file", "row"),
    [("humaneval-plus", "humaneval_plus", HUMANEVAL), ("mbpp-plus", "mbpp_plus", MBPP)],
)
def test_the_added_tests_decide(
    name: str, file: str, row: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path))
    (tmp_path / f"{file}.jsonl").write_text(json.dumps(row) + "\n")
    task, [question] = registry.load_spec(name)
    assert task.name == name
    right, passes_the_original = "def double(x):\n    return 2 * x", "def double(x):\n    return abs(2 * x)"
    with CodeGrader(workers=1) as grader:
        if grader.isolation == "none":
            pytest.skip("no isolation works on this machine")
        answers = [(question, Response(f"```python\n{code}\n```")) for code in (right, passes_the_original)]
        assert [verdict.status for verdict in grader.grade(answers)] == ["correct", "wrong"]
