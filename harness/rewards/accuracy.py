"""Is the answer right?"""

from __future__ import annotations

from evals.rollout import Rollout


def accuracy(rollout: Rollout) -> float | None:
    """1 for a correct answer, 0 for a wrong or missing one, None where the grader itself failed.

    The grader decides alone: tags and style are other rewards' business.
    """
    if rollout.verdict.status == "grader_error":
        return None
    return float(rollout.verdict.correct)
