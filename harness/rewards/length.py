"""Is the right answer reached in few tokens?"""

from __future__ import annotations

from evals.rollout import Rollout


def length(rollout: Rollout) -> float | None:
    """1 - tokens / max_tokens for a correct answer, so in [0, 1); 0 for a wrong one, however short.

    A wrong answer cannot earn anything by brevity; among correct ones the shorter earns more. None where
    the grader itself failed.
    """
    if rollout.verdict.status == "grader_error":
        return None
    return 1 - rollout.tokens / rollout.max_tokens if rollout.verdict.correct else 0.0
