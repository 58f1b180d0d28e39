"""Lists the responses on which two graders disagree: the rows that a person should look at.

``MathVerifyGrader`` is a second opinion for mathematics: math-verify exactly as its README calls it, on the
whole response. ``by_values`` is another, of the extracted answer, that shares no code with either. Recorded
labels are a third.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from evals.graders import safe
from evals.graders.base import Grader, OneByOne, Response, Verdict, numbered
from evals.graders.math.values import agree
from evals.task import Question


@dataclass(frozen=True)
class Disagreement:
    """One response that one grader takes for correct and the other does not."""

    question: Question
    response: Response
    first: Verdict
    second: Verdict


def disagreements(
    items: Sequence[tuple[Question, Response]], first: Sequence[Verdict], second: Sequence[Verdict]
) -> list[Disagreement]:
    """The items on whose correctness two graders' verdicts differ, in order.

    "wrong", "unparsed" and "grader_error" are all the same here: not correct.
    """
    return [
        Disagreement(question, response, one, two)
        for (question, response), one, two in zip(items, first, second, strict=True)
        if one.correct != two.correct
    ]


def labels(correct: Sequence[bool]) -> list[Verdict]:
    """Recorded labels as verdicts, to be audited against a grader's."""
    return [Verdict("correct" if label else "wrong", detail="recorded label") for label in correct]


def audit(items: Sequence[tuple[Question, Response]], first: Grader, second: Grader) -> list[Disagreement]:
    """Grades all items twice; see ``disagreements``."""
    return disagreements(items, safe.grade(first, items), safe.grade(second, items))


def by_values(question: Question, verdict: Verdict) -> Verdict | None:
    """What plain arithmetic says of the answer that a grader extracted; None where it has no opinion."""
    same = None if verdict.answer is None else agree(question.gold, verdict.answer)
    if same is None:
        return None
    return Verdict("correct" if same else "wrong", verdict.answer, "values at a few points")


class MathVerifyGrader(OneByOne):
    """math-verify as it comes, one response after the other, in this process's main thread.

    For audits and comparisons of speed only: it can hang, and it takes ``{1,2}`` for ``(1,2)``.
    """

    def vote_classes(self, question: Question, answers: Sequence[str | None]) -> list[int | None]:
        """Classes of equally spelled answers: math-verify has no notion of voting."""
        return numbered(answers)

    def verdict(self, question: Question, response: Response) -> Verdict:
        """The verdict on one response."""
        from math_verify import parse, verify

        expected: list[Any] = parse(f"${question.gold}$")
        given: list[Any] = parse(response.text)
        if not given:
            return Verdict("unparsed", None, "math-verify")
        return Verdict("correct" if verify(expected, given) else "wrong", str(given[-1]), "math-verify")
