"""Grades answers that are text: right where it equals the gold after NFKC and but for white space."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel

from evals.base.registry import takes
from evals.graders.base import OneByOne, Response, Verdict
from evals.graders.spelling import final_text, spelled, spelling_classes
from evals.task import Question


class TextSettings(BaseModel):
    """What the grader "exact" takes."""

    ignore_case: bool = False
    """Whether "paris" is "Paris"."""


@takes(TextSettings)
class TextGrader(OneByOne):
    """The grader "exact". Punctuation counts, and capitals do unless ``ignore_case`` is set."""

    def __init__(self, settings: TextSettings) -> None:
        self._ignore_case = settings.ignore_case

    def verdict(self, question: Question, response: Response) -> Verdict:
        """The verdict on one response."""
        found = final_text(response, lines=max(1, len(question.gold.strip().splitlines())))
        if found.answer is None:
            return Verdict("unparsed", None, found.rule)
        right = spelled(self._cased(found.answer)) == spelled(self._cased(question.gold))
        return Verdict("correct" if right else "wrong", found.answer, found.rule)

    def vote_classes(self, question: Question, answers: Sequence[str | None]) -> list[int | None]:
        """One class per spelling."""
        return spelling_classes([None if each is None else self._cased(each) for each in answers])

    def _cased(self, text: str) -> str:
        return text.casefold() if self._ignore_case else text
