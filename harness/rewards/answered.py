"""Does the response come to an answer, whatever it is?"""

from __future__ import annotations

from evals.rollout import Rollout


def answered(rollout: Rollout) -> float | None:
    """1 where the grader finds an answer, right or wrong, else 0; None where it failed itself."""
    if rollout.verdict.status == "grader_error":
        return None
    return float(rollout.verdict.status != "unparsed")
