"""The group-relative advantage of DeepSeek-R1 (eq. 3) and its published variants."""

from __future__ import annotations

import torch

from harness.config import GRPO
from harness.train.grpo.advantages.base import Groups, equal_rewards


def group(groups: Groups) -> torch.Tensor:
    """(r - baseline) / (std + epsilon), with TRL's conventions as default.

    The stage's ``baseline``, ``scale_rewards``, ``std_ddof`` and ``std_epsilon`` are its settings. A group
    with equal rewards is 0 throughout: exactly, and not some rounding error divided by a tiny epsilon.
    """
    rewards, scored, stage = groups.rewards, groups.scored, groups.stage
    values = torch.where(scored, rewards, 0.0).double()
    count = scored.sum(dim=1, keepdim=True)
    centred = torch.where(scored, values - values.sum(1, keepdim=True) / count.clamp(min=1), 0.0)
    centred = torch.where(equal_rewards(rewards)[:, None], 0.0, centred)
    scale = _scale(values, centred, scored, stage)
    if stage.baseline == "leave_one_out":
        # r - mean of the others = (r - mean of all) * n / (n - 1); with one reward there is no other.
        centred = centred * count / (count - 1).clamp(min=1)
    return (centred / scale).to(rewards.dtype)


def _scale(values: torch.Tensor, centred: torch.Tensor, scored: torch.Tensor, stage: GRPO) -> torch.Tensor:
    """What centred rewards are divided by: (groups, 1), or a single number."""
    if stage.scale_rewards == "none":
        return torch.ones((), dtype=values.dtype, device=values.device)
    if stage.scale_rewards == "group":
        squares, count = (centred**2).sum(1, keepdim=True), scored.sum(1, keepdim=True)
    else:
        mean = values.sum() / scored.sum().clamp(min=1)
        squares, count = torch.where(scored, (values - mean) ** 2, 0.0).sum(), scored.sum()
    deviation = (squares / (count - stage.std_ddof).clamp(min=1)).sqrt()
    # Without an epsilon, a group of equal rewards would be 0 / 0.
    return torch.where(deviation > 0, deviation + stage.std_epsilon, 1.0)
