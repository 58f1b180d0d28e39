"""Grades the rest of a text whose beginning a model was given: right where it is the gold word for word.

What counts is as much of the response as the gold is long, in words (in characters where there are hardly
any spaces): a model that continues a text does not know where it ends. A reply that repeats the beginning
first is read from where that ends.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from evals.graders.base import OneByOne, Response, Verdict
from evals.graders.reading import split_reasoning
from evals.graders.spelling import spelled, spelling_classes
from evals.task import Question

FEW_UNITS = 8
"""A text of fewer words is cut by characters."""
_WORD = re.compile(r"\s*\S+\s*")


def units(text: str) -> list[str]:
    """What a text is cut into: words with the white space around them, or characters."""
    words = _WORD.findall(text)
    return words if len(words) >= FEW_UNITS else list(text)


class ContinuationGrader(OneByOne):
    """The grader "continuation"; ``answer`` is what was compared."""

    def verdict(self, question: Question, response: Response) -> Verdict:
        """The verdict on one response."""
        _, said = split_reasoning(response.text)
        if said is None:
            return Verdict("unparsed", None, "cut inside <think>")
        said = said.strip()
        if said.startswith(question.text):
            said = said[len(question.text) :].strip()
        by_words = len(_WORD.findall(question.text)) >= FEW_UNITS
        parts, wanted = (
            (_WORD.findall(said), _WORD.findall(question.gold)) if by_words else (said, question.gold)
        )
        answer = "".join(parts[: len(wanted)]).strip()
        if not answer:
            return Verdict("unparsed", None, "nothing was said")
        right = spelled(answer) == spelled(question.gold)
        return Verdict("correct" if right else "wrong", answer, "word for word" if right else "other words")

    def vote_classes(self, question: Question, answers: Sequence[str | None]) -> list[int | None]:
        """One class per spelling."""
        return spelling_classes(answers)
