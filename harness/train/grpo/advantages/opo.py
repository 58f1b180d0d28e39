"""OPO: the baseline that keeps the gradient's variance lowest (On-Policy RL with Optimal reward baseline)."""

from __future__ import annotations

import torch

from harness.train.grpo.advantages.base import Groups, equal_rewards


def opo(groups: Groups) -> torch.Tensor:
    """r - sum_i(l_i * r_i) / sum_i(l_i), l the completions' lengths in tokens (arXiv 2505.23585, eq. 6).

    The lengths stand for the squared norms of the completions' gradients. It is for exact on-policy
    training: one update a step. Nothing is divided by a standard deviation.
    """
    scored = groups.scored
    rewards = torch.where(scored, groups.rewards, 0.0).double()
    weights = torch.where(scored, groups.lengths.double().clamp(min=1), 0.0)
    baseline = (weights * rewards).sum(1, keepdim=True) / weights.sum(1, keepdim=True).clamp(min=1)
    centred = torch.where(equal_rewards(groups.rewards)[:, None], 0.0, rewards - baseline)
    return torch.where(scored, centred, 0.0).to(groups.rewards.dtype)
