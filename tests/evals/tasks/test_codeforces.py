"""Codeforces: programs in two languages, and problems that equality of outputs cannot grade."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from evals.graders.base import Response
from evals.graders.code import CodeGrader
from evals.task import TaskError
from evals.tasks import registry

ROW: dict[str, Any] = {
    "id": "1/A",
    "title": "Sum",
    "description": "Add two numbers.",
    "input_format": "Two numbers.",
    "output_format": "Their sum.",
    "time_limit": 5.0,
    "memory_limit": 256.0,
    "examples": [{"input": "1 2", "output": "3"}],
    "official_tests": [{"input": "1 2\n", "output": "3\n"}, {"input": "5 -7\n", "output": "-2\n"}],
}
CPP = "```cpp\n#include <iostream>\nint main() {{ long a, b; std::cin >> a >> b; std::cout << {0}; }}\n```"
PYTHON = "```python\na, b = map(int, input().split())\nprint({0})\n```"


def write(folder: Path, *rows: dict[str, Any]) -> None:
    (folder / "codeforces.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path))
    return tmp_path


@pytest.mark.skipif(shutil.which("g++", path="/usr/bin") is None, reason="there is no g++")
def test_programs_in_both_languages(data: Path) -> None:
    write(data, ROW)
    [question] = registry.load_spec("codeforces")[1]
    answers = [CPP.format("a + b"), PYTHON.format("a + b"), CPP.format("a - b"), PYTHON.format("3")]
    with CodeGrader() as grader:
        if grader.isolation == "none":
            pytest.skip("no isolation works on this machine")
        verdicts = grader.grade([(question, Response(text)) for text in answers])
    assert [verdict.status for verdict in verdicts] == ["correct", "correct", "wrong", "wrong"]


def test_the_statement_is_whole_and_the_limits_are_the_problems(data: Path) -> None:
    write(data, ROW)
    [question] = registry.load_spec("codeforces")[1]
    for part in (
        "Sum",
        "Add two numbers.",
        "Two numbers.",
        "Their sum.",
        "Example output:\n3",
        "5.0 seconds",
    ):
        assert part in question.text
    assert (question.info["seconds"], question.info["memory_mib"]) == (5.0, 512)


@pytest.mark.parametrize(
    "change",
    [
        {"interaction_format": "Ask."},
        {"generated_checker": "def check(): ..."},
        {"input_mode": "file"},
        {"official_tests_complete": False},
        {"official_tests": []},
    ],
)
def test_what_equality_cannot_grade_is_left_out(data: Path, change: dict[str, Any]) -> None:
    write(data, ROW, {**ROW, "id": "2/A", **change})
    assert [question.id for question in registry.load_spec("codeforces")[1]] == ["1/A"]


def test_a_broken_row_is_named(data: Path) -> None:
    write(data, {**ROW, "time_limit": "soon"})
    with pytest.raises(TaskError, match="codeforces, problem 1/A: its tests or limits"):
        registry.load_spec("codeforces")
