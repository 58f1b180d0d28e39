"""Is the response about to hit the length limit?"""

from __future__ import annotations

from harness.rewards.attempt import Attempt


def overlong(attempt: Attempt) -> float | None:
    """0 up to ``overlong_buffer`` tokens before ``max_tokens``, then falling linearly to -1 at the limit.

    DAPO (eq. 13). In [-1, 0]; right or wrong does not matter.
    """
    if attempt.overlong_buffer == 0:
        return 0.0
    free = attempt.max_tokens - attempt.overlong_buffer
    return 0.0 - min(1.0, max(0.0, (attempt.tokens - free) / attempt.overlong_buffer))
