"""A grader made of one function: text, gold and question in, right or wrong out."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from evals.graders.base import OneByOne, Response, Verdict
from evals.graders.safe import reason_of
from evals.graders.spelling import final_text, spelling_classes
from evals.task import Question


class FunctionGrader(OneByOne):
    """Asks ``function(response, gold, question)`` for each response.

    It returns true or false, a number (right from 1 on), or a ``Verdict``; what it raises, or returns
    besides, is a "grader_error" of that response alone. It
    runs in this process: a function that never returns holds up everything. Answers vote by their spelling,
    as the extraction rules of the built-in graders find them; a response without one abstains.
    """

    def __init__(self, function: Callable[[str, str, Question], Any]) -> None:
        self._function = function

    def vote_classes(self, question: Question, answers: Sequence[str | None]) -> list[int | None]:
        """Answers of the same spelling are one class; None abstains."""
        return spelling_classes(answers)

    def verdict(self, question: Question, response: Response) -> Verdict:
        """What the function says of one response."""
        answer = final_text(response).answer
        try:
            right = self._function(response.text, question.gold, question)
            if isinstance(right, Verdict):
                return right
            if not isinstance(right, bool | int | float) or math.isnan(right):
                raise ValueError(f"returned {right!r:.80}, expected True, False or a number")
        except Exception as error:  # whatever it is: one response must not end a run
            return Verdict("grader_error", None, f"the grader failed: {reason_of(error)}")
        detail = "" if isinstance(right, bool) else f"score {right:g}"
        return Verdict("correct" if right >= 1 else "wrong", answer, detail)
