"""Multiple choice by letter or by the option's text."""

from __future__ import annotations

import pytest

from evals.graders.base import Response
from evals.graders.choice import ChoiceGrader
from evals.task import Question

OPTIONS = ("a proton", r"$10^{-4}$ eV", "Bees", "none of these")


def grade(text: str, gold: str = "B", truncated: bool = False, options: tuple[str, ...] = OPTIONS) -> str:
    question = Question(id="q", text="", gold=gold, info={"options": options} if options else {})
    with ChoiceGrader() as grader:
        verdict = grader.grade([(question, Response(text, truncated))])[0]
    answer = verdict.answer
    return f"{verdict.status} {'ABCD'[options.index(answer)] if answer and options else answer}"


@pytest.mark.parametrize(
    "text",
    [
        r"\boxed{B}",
        r"\boxed{\text{B}}",
        r"\boxed{(B)}",
        r"\boxed{B. 10^{-4} eV}",
        r"\boxed{10^{-4}\text{ eV}}",
        "<answer>B</answer>",
        "<answer>(b)</answer>",
        "The answer is B.",
        "The answer is (B).",
        "The correct answer is: **(B)** because of bees",
        "Answer: B",
        "Answer: B) the second",
        "Answer: option B",
        "I exclude (A), so it must be (B) here",
        "So:\n\n**B**",
        r"<think>\boxed{A}</think>The answer is B",
    ],
)
def test_the_second_option(text: str) -> None:
    assert grade(text) == "correct B"


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        (r"\boxed{A}", "wrong A"),
        ("<answer>Bees</answer>", "wrong C"),
        ("The answer is a proton", "wrong A"),
        (r"\boxed{E}", "unparsed None"),
        ("A nice question, and I know 7 things", "unparsed None"),
        ("", "unparsed None"),
        (r"<think>it is (B)", "unparsed None"),
    ],
)
def test_other_verdicts(text: str, verdict: str) -> None:
    assert grade(text) == verdict


def test_an_answer_is_the_text_of_the_option() -> None:
    question = Question(id="q", text="", gold="B", info={"options": OPTIONS})
    verdicts = ChoiceGrader().grade(
        [(question, Response(text)) for text in (r"\boxed{C}", "The answer is B")]
    )
    assert [verdict.answer for verdict in verdicts] == ["Bees", r"$10^{-4}$ eV"]


def test_a_cut_response_has_no_last_letter() -> None:
    assert grade("it could be (B)", truncated=True) == "unparsed None"
    assert grade(r"it is \boxed{B}, since", truncated=True) == "correct B"


def test_golds() -> None:
    assert grade(r"\boxed{F}", gold="(F)", options=()) == "correct F"
    assert grade(r"\boxed{B}", gold="the second") == "grader_error B"


def test_votes_are_counted_by_letter() -> None:
    question = Question(id="q", text="", gold="B", info={"options": OPTIONS})
    assert ChoiceGrader().vote_classes(question, ["B", None, "(b)", "A", "a proton"]) == [0, None, 0, 1, 1]
