"""HumanEval+ and MBPP+: EvalPlus's own tests decide, not those of the original."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evals import tasks
from evals.grading.code import CodeGrader
from evals.grading.verdict import Response

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
    _, [question] = tasks.load_spec("humaneval-plus")
    wanted = [(status, code) for status, codes in PROGRAMS.items() for code in codes]
    with CodeGrader(workers=1) as grader:
        if grader.isolation == "none":
            pytest.skip("no isolation works on this machine")
        verdicts = grader.grade([(question, Response(f"```python\n{code}\n```")) for _, code in wanted])
    if "No module named 'numpy'" in verdicts[0].detail:
        pytest.skip("no numpy fits the interpreter of the sandbox")
    assert [verdict.status for verdict in verdicts] == [status for status, _ in wanted], verdicts


@pytest.mark.parametrize(
    ("name", "file", "row"),
    [("humaneval-plus", "humaneval_plus", HUMANEVAL), ("mbpp-plus", "mbpp_plus", MBPP)],
)
def test_the_added_tests_decide(
    name: str, file: str, row: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path))
    (tmp_path / f"{file}.jsonl").write_text(json.dumps(row) + "\n")
    task, [question] = tasks.load_spec(name)
    assert task.name == name
    right, passes_the_original = "def double(x):\n    return 2 * x", "def double(x):\n    return abs(2 * x)"
    with CodeGrader(workers=1) as grader:
        if grader.isolation == "none":
            pytest.skip("no isolation works on this machine")
        answers = [(question, Response(f"```python\n{code}\n```")) for code in (right, passes_the_original)]
        assert [verdict.status for verdict in grader.grade(answers)] == ["correct", "wrong"]
