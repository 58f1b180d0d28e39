"""Grades answers that are text: right where it equals the gold after NFKC and but for white space."""

from __future__ import annotations

from collections.abc import Sequence

from evals.graders.base import OneByOne, Response, Verdict
from evals.graders.spelling import final_text, spelled, spelling_classes
from evals.task import Question


class TextGrader(OneByOne):
    """The grader "exact". Capitals and punctuation count."""

    def verdict(self, question: Question, response: Response) -> Verdict:
        """The verdict on one response."""
        return _grade(question, response)

    def vote_classes(self, question: Question, answers: Sequence[str | None]) -> list[int | None]:
        """One class per spelling."""
        return spelling_classes(answers)


def _grade(question: Question, response: Response) -> Verdict:
    found = final_text(response, lines=max(1, len(question.gold.strip().splitlines())))
    if found.answer is None:
        return Verdict("unparsed", None, found.rule)
    right = spelled(found.answer) == spelled(question.gold)
    return Verdict("correct" if right else "wrong", found.answer, found.rule)
