"""Integers by an exact rule."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.graders.base import Response
from evals.graders.integer import IntegerGrader, literal
from evals.task import Question


def question(gold: str) -> Question:
    return Question(id="q", text="", gold=gold)


PLAIN = r"33 033 33. 33.0 +33 $33$ \text{33} \textbf{33} \mathbf{33} \$33 (33) {33} 33% 33\% 33^\circ **33**"
NAMED = ["x = 33", "m+n = 33", "30+3 = 33", "33 apples", r"33\text{ cm}^2", "33 cm^2", "٣٣", "３３"]
WORDED = ["33 dollars per week", "about 33 of them", "$33 per week"]


@pytest.mark.parametrize("answer", [*PLAIN.split(), *NAMED, *WORDED])
def test_ways_to_write_33(answer: str) -> None:
    assert literal(answer) == 33


@pytest.mark.parametrize(
    "answer", ["10000", "10,000", r"10{,}000", r"10\,000", r"10,\!000", "10 000", "10,000.00"]
)
def test_ways_to_write_ten_thousand(answer: str) -> None:
    assert literal(answer) == 10_000


@pytest.mark.parametrize(
    "answer",
    [
        "", "e", "33x", "33!", r"\frac{66}{2}", "66/2", "2^5+1", r"\sqrt{1089}", r"3.3 \times 10^1", "33, 34",
        "33 or 34", "33 and 34", "between 32 and 34", "10, 000", "1e3", "nan", "inf", "--33", "9" * 400,
    ],
)  # fmt: skip
def test_what_is_no_written_integer(answer: str) -> None:
    assert literal(answer) is None


@given(st.integers(-(10**30), 10**30))
def test_every_integer_reads_back(value: int) -> None:
    for text in (str(value), f"{value:,}", f"{value:,}".replace(",", "{,}"), f"${value}.0$", f"n = {value}"):
        assert literal(text) == value


@pytest.mark.parametrize(
    ("gold", "text", "status", "answer"),
    [
        ("33", r"\boxed{033}", "correct", "033"),
        ("033", r"\boxed{33}", "correct", "33"),
        ("33", r"\boxed{33.5}", "wrong", "33.5"),
        ("33", r"\boxed{34}", "wrong", "34"),
        ("33", r"\boxed{many}", "wrong", "many"),
        ("33", "A: 33", "correct", "33"),
        ("1,234", "#### 1234", "correct", "1234"),
        ("33", "who knows", "unparsed", None),
        ("many", r"\boxed{33}", "grader_error", "33"),
        ("-3", r"\boxed{−3}", "correct", "−3"),
    ],
)
def test_verdicts(gold: str, text: str, status: str, answer: str | None) -> None:
    with IntegerGrader() as grader:
        verdict = grader.grade([(question(gold), Response(text))])[0]
    assert (verdict.status, verdict.answer) == (status, answer)


def test_votes_are_counted_by_value() -> None:
    answers = ["033", "33", None, "x = 33", "34", "many", "33.0", "many"]
    assert IntegerGrader().vote_classes(question("33"), answers) == [0, 0, None, 0, 1, 2, 0, 2]


@pytest.mark.parametrize(
    ("asked", "gold", "status"),
    [
        ("What percentage passed?", "25", "correct"),
        ("How many apples are left?", "25", "wrong"),
        ("How many apples are left?", "25%", "correct"),
    ],
)
def test_a_percentage_is_a_share_unless_it_was_asked_for(asked: str, gold: str, status: str) -> None:
    item = (Question(id="q", text=asked, gold=gold), Response("The answer is 25%."))
    assert IntegerGrader().grade([item])[0].status == status
