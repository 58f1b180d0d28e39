"""The rest of a text, word for word."""

from __future__ import annotations

import pytest

from evals.graders.base import Response
from evals.graders.registry import make_grader
from evals.task import Question

ASKED = Question("1", "Ann has three apples and Bob has four, how many", "apples do they have in total?")
CHINESE = Question("2", "小明有三个苹果，小红有四个苹果，他们", "一共有几个？")


@pytest.mark.parametrize(
    ("question", "said", "status", "answer"),
    [
        (ASKED, " apples do they have in total?", "correct", "apples do they have in total?"),
        (ASKED, "apples do  they\nhave in total? Answer: 7", "correct", "apples do  they\nhave in total?"),
        (ASKED, f"{ASKED.text} apples do they have in total?", "correct", ASKED.gold),
        (ASKED, "<think>Easy.</think>apples do they have in total?", "correct", ASKED.gold),
        (ASKED, "pears do they have in total?", "wrong", "pears do they have in total?"),
        (ASKED, "apples do they", "wrong", "apples do they"),
        (ASKED, "<think>apples do they have in total?", "unparsed", None),
        (ASKED, "  ", "unparsed", None),
        (CHINESE, "一共有几个？答案是七。", "correct", "一共有几个？"),
        (CHINESE, "一共有多少个？", "wrong", "一共有多少个"),
    ],
)
def test_verdicts(question: Question, said: str, status: str, answer: str | None) -> None:
    with make_grader("continuation") as grader:
        [verdict] = grader.grade([(question, Response(said))])
    assert (verdict.status, verdict.answer) == (status, answer)
