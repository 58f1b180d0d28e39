"""The graders of text: equal but for white space, and a function of the user's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from evals.base.errors import UsageError
from evals.graders.base import Response
from evals.graders.registry import make_grader
from evals.graders.version import grader_version
from evals.task import Question


@pytest.mark.parametrize(
    ("response", "status"),
    [
        ("Paris", "correct"),
        ("It is easy.\n\nＰａｒｉｓ  \n", "correct"),
        ("<think>Rome?</think><answer> Paris </answer>", "correct"),
        ("So \\boxed{Paris}.", "correct"),
        ("The answer is Paris.", "correct"),
        ("paris", "wrong"),
        ("<think>Paris", "unparsed"),
        ("", "unparsed"),
    ],
)
def test_exact(response: str, status: str) -> None:
    with make_grader("exact") as grader:
        [verdict] = grader.grade([(Question("1", "Capital of France?", "Paris"), Response(response))])
    assert verdict.status == status


def test_a_function_grades_and_what_it_raises_is_a_verdict(tmp_path: Path) -> None:
    file = tmp_path / "own_grader.py"
    file.write_text(
        "def right(response, gold, question):\n"
        "    said = {'yes': True, 'no': False, 'half': 0.5, 'one': 1, 'none': None}\n"
        "    return said[response] if response != question.info['row']['trap'] else 1 / 0\n"
    )
    kind = f"{file}:right"
    question = Question("1", "?", "x", {"row": {"trap": "boom"}})
    with make_grader(kind) as grader:
        texts = ["yes", "no", "half", "one", "none", "boom", "other"]
        verdicts = grader.grade([(question, Response(text)) for text in texts])
        assert grader.vote_classes(question, ["a  b", "a b", None]) == [0, 0, None]
    wrong, error = "wrong", "grader_error"
    assert [each.status for each in verdicts] == ["correct", wrong, wrong, "correct", error, error, error]
    assert verdicts[2].detail == "score 0.5"
    assert "ZeroDivisionError" in verdicts[5].detail
    assert grader_version(kind)
    with pytest.raises(UsageError, match="did you mean 'right'"):
        make_grader(f"{file}:rihgt")
