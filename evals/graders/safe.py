"""Calls of graders that nothing a model wrote can end: what one raises is a verdict, no crash and no pass."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from evals.graders.base import Grader, Response, Verdict, numbered
from evals.task import Question

logger = logging.getLogger(__name__)

Item = tuple[Question, Response]
_LONGEST_REASON = 200


def grade(grader: Grader, items: Sequence[Item]) -> list[Verdict]:
    """``grader.grade``, one verdict per item; the items it raises for are "grader_error" with the reason.

    Where a call raises, its items are graded again in halves until the ones at fault are alone.
    """
    try:
        verdicts = grader.grade(items)
        if len(verdicts) != len(items):
            raise RuntimeError(f"{len(verdicts)} verdicts on {len(items)} responses")
        return verdicts
    except Exception as error:  # whatever it is: one response must not end a run
        if len(items) > 1:
            middle = len(items) // 2
            return grade(grader, items[:middle]) + grade(grader, items[middle:])
        if not items:
            return []
        reason = reason_of(error)
        logger.warning("a response to %s could not be graded: %s", items[0][0].id, reason, exc_info=error)
        return [Verdict("grader_error", None, f"the grader failed: {reason}")]


def vote_classes(grader: Grader, question: Question, answers: Sequence[str | None]) -> list[int | None]:
    """``grader.vote_classes``; where it raises, answers of the same spelling are one class."""
    try:
        classes = grader.vote_classes(question, answers)
        if len(classes) != len(answers):
            raise RuntimeError(f"{len(classes)} classes of {len(answers)} answers")
        return classes
    except Exception as error:  # as above
        logger.warning("the answers to %s are counted by spelling: %s", question.id, reason_of(error))
        return numbered(answers)


def reason_of(error: Exception) -> str:
    """An exception in one line of bounded length."""
    said = f"{type(error).__name__}: {error}".rstrip(": ")
    return " ".join(said.split())[:_LONGEST_REASON]
