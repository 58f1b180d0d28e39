"""Is the response about to hit the length limit?"""

from __future__ import annotations

from evals.rollout import Rollout


def overlong(rollout: Rollout) -> float | None:
    """0 up to ``overlong_buffer`` tokens before ``max_tokens``, then falling linearly to -1 at the limit.

    DAPO (eq. 13). In [-1, 0]; right or wrong does not matter.
    """
    if rollout.overlong_buffer == 0:
        return 0.0
    free = rollout.max_tokens - rollout.overlong_buffer
    return 0.0 - min(1.0, max(0.0, (rollout.tokens - free) / rollout.overlong_buffer))
