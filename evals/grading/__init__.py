"""Graders: what a response's final answer is, and whether it is right."""

from __future__ import annotations

from typing import get_args

from evals.grading.verdict import Grader
from evals.tasks.task import JUDGED, GraderKind


def make_grader(kind: GraderKind) -> Grader:
    """A grader of that kind; use it as a context manager, it may hold worker processes.

    Raises:
        ValueError: there is no such kind.
        TaskError: a judge is needed, and none is named.
    """
    # A grader's libraries are loaded when one is made.
    if kind == "math":
        from evals.grading.math import MathGrader

        return MathGrader()
    if kind == "integer":
        from evals.grading.integer import IntegerGrader

        return IntegerGrader()
    if kind == "choice":
        from evals.grading.choice import ChoiceGrader

        return ChoiceGrader()
    if kind == "code":
        from evals.grading.code import CodeGrader

        return CodeGrader()
    if kind in JUDGED:
        return _judged(kind)
    raise ValueError(f"no grader of kind {kind!r}; there are {', '.join(get_args(GraderKind))}")


def _judged(kind: GraderKind) -> Grader:
    from evals.grading.judge_client import Judge

    judge = Judge.from_environment()
    if kind == "judge":
        from evals.grading.judge import JudgeGrader

        return JudgeGrader(judge)
    if kind == "alpaca_eval":
        from evals.grading.alpaca_eval import AlpacaEvalGrader

        return AlpacaEvalGrader(judge)
    from evals.grading.arena_hard import ArenaHardGrader

    return ArenaHardGrader(judge)
