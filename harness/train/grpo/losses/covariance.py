"""A token's share in the covariance of log-probability and advantage: does learning it lower the entropy?

The Entropy Mechanism of Reinforcement Learning for Reasoning Language Models (arXiv 2505.22617): a policy
gradient step lowers the entropy by about this covariance, of which a few tokens make up most.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from harness.train.grpo.losses.base import Minibatch


def covariances(minibatch: Minibatch) -> npt.NDArray[np.float64]:
    """(lp - mean(lp)) * (A - mean(A)) of each token, (N,), the means over all N."""
    logprobs, advantages = minibatch.logprobs, minibatch.advantages
    centred: npt.NDArray[np.float64] = (logprobs - logprobs.mean()) * (advantages - advantages.mean())
    return centred


def how_many(share: float, tokens: int) -> int:
    """``share`` of so many tokens, rounded down, and at least one, as the authors' code has it."""
    return max(1, int(share * tokens))
