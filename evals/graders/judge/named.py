"""Graders that ask the judge which the environment names.

Each raises ``TaskError`` where none is named.
"""

from __future__ import annotations

from evals.graders.base import Grader
from evals.graders.judge.client import Judge


def reference() -> Grader:
    """Compares free answers with the gold."""
    from evals.graders.judge.reference import JudgeGrader

    return JudgeGrader(Judge.from_environment())


def alpaca_eval() -> Grader:
    """AlpacaEval's duel with a baseline."""
    from evals.graders.judge.alpaca_eval import AlpacaEvalGrader

    return AlpacaEvalGrader(Judge.from_environment())


def arena_hard() -> Grader:
    """Arena-Hard's two duels with a baseline."""
    from evals.graders.judge.arena_hard import ArenaHardGrader

    return ArenaHardGrader(Judge.from_environment())
