"""Graders by name: functions, classes and factories of one's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from evals.base.errors import UsageError
from evals.graders.base import Response
from evals.graders.registry import GRADERS, make_grader
from evals.graders.version import grader_version
from evals.task import Question

OWN = """
from pydantic import BaseModel, Field
from evals.base.registry import takes
from evals.graders.integer import IntegerGrader

class Within(BaseModel):
    tolerance: float = Field(0.5, ge=0)

def last_word(response, gold, question):
    return response.split()[-1] == gold

@takes(Within)
def near(response, gold, question, settings):
    return abs(float(response.split()[-1]) - float(gold)) <= settings.tolerance

def unsure(response, gold, question):
    return "perhaps"

class Own(IntegerGrader):
    pass

def factory():
    return IntegerGrader()

number = 7
"""
ASKED = Question("q", "How many?", "4")


@pytest.fixture
def own(tmp_path: Path) -> Path:
    file = tmp_path / "own_graders.py"
    file.write_text(OWN)
    return file


@pytest.mark.parametrize("kind", ["math", "integer", "choice", "code"])
def test_what_is_built_in(kind: str) -> None:
    with make_grader(kind) as grader:
        assert type(grader) is GRADERS.get(kind)


def test_a_function_decides_and_what_it_raises_is_that_response_s_alone(own: Path) -> None:
    responses = ["it is 4", "it is 5", "", "the answer is 4"]
    with make_grader(f"{own}:last_word") as grader:
        verdicts = grader.grade([(ASKED, Response(text)) for text in responses])
        assert [v.status for v in verdicts] == ["correct", "wrong", "grader_error", "correct"]
        assert verdicts[2].detail == "the grader failed: IndexError: list index out of range"
        assert grader.vote_classes(ASKED, ["4", None, "5", "4"]) == [0, None, 1, 0]
    with make_grader(f"{own}:unsure") as grader:
        (verdict,) = grader.grade([(ASKED, Response("4"))])
        assert verdict.detail == (
            "the grader failed: ValueError: returned 'perhaps', expected True, False or a number"
        )


def test_settings(own: Path) -> None:
    items = [(ASKED, Response("4.4")), (ASKED, Response("5.5"))]
    for settings, expected in [({}, [True, False]), ({"tolerance": 2}, [True, True])]:
        with make_grader(f"{own}:near", settings) as grader:
            assert [verdict.correct for verdict in grader.grade(items)] == expected
    with pytest.raises(UsageError, match=r"near.tolerance: Input should be greater"):
        make_grader(f"{own}:near", {"tolerance": -1})


@pytest.mark.parametrize("name", ["Own", "factory"])
def test_a_class_and_a_factory(own: Path, name: str) -> None:
    with make_grader(f"{own}:{name}") as grader:
        assert grader.grade([(ASKED, Response(r"\boxed{4}"))])[0].correct


@pytest.mark.parametrize(
    ("name", "said"),
    [("poetry", "unknown grader 'poetry'; accepted: math, integer"), ("own.py:x", "no such file")],
)
def test_what_is_not_there(name: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        make_grader(name)


def test_a_changed_file_is_another_grader(own: Path) -> None:
    first = grader_version(f"{own}:last_word")
    assert first
    grader_version.cache_clear()
    own.write_text(OWN + "# changed\n")
    assert grader_version(f"{own}:last_word") not in ("", first)
    assert grader_version("judge") == ""
