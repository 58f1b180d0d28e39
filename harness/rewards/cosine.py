"""Is the answer right, and is its length worth it?"""

from __future__ import annotations

import math

from evals.rollout import Rollout

CORRECT = (1.0, 0.5)
"""For a correct answer of no length, and of ``max_tokens``."""
WRONG = (-1.0, -0.5)
"""For a wrong one: thinking on is punished less than giving up at once."""


def cosine(rollout: Rollout) -> float | None:
    """From 1 to 0.5 for a correct answer, from -1 to -0.5 for a wrong one, along a cosine of its length.

    Yeo et al. 2025 (arXiv 2502.03373), appendix C.1, with TRL's bounds. None where the grader itself failed.
    It holds the verdict, so it takes the place of ``accuracy`` or comes with a small weight beside it.
    """
    if rollout.verdict.status == "grader_error":
        return None
    short, long = CORRECT if rollout.verdict.correct else WRONG
    progress = min(rollout.tokens / rollout.max_tokens, 1.0)
    return long + (short - long) * (1 + math.cos(math.pi * progress)) / 2
