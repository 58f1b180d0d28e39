"""Right answers are worth more the shorter they are (Training Language Models to Reason Efficiently)."""

from __future__ import annotations

from dataclasses import replace

import torch
from pydantic import Field

from evals.base.registry import takes
from harness.config.table import Table
from harness.train.grpo.advantages.base import Groups
from harness.train.grpo.advantages.group import group


class Settings(Table):
    """How much length costs, and whom."""

    alpha: float = Field(0.2, ge=0.0, lt=1.0)
    """The part of its reward that the longest right answer can lose; 0 leaves rewards as they are."""
    passing: float = 0.5
    """A completion is right with a reward of at least this."""


@takes(Settings)
def length_aware(groups: Groups, settings: Settings) -> torch.Tensor:
    """``group`` of r * (1 - alpha * sigmoid((l - mean) / std)) where right, else of r (arXiv 2502.04463).

    l is the completion's tokens, mean and std (of the population) those of the group's right answers; where
    they are all as long, the sigmoid is 1 / 2. The stage's ``baseline``, ``scale_rewards``, ``std_ddof`` and
    ``std_epsilon`` go on as with "group"; the paper has ``baseline = "leave_one_out"`` and
    ``scale_rewards = "none"``.
    """
    right = groups.scored & (groups.rewards >= settings.passing)
    lengths, count = groups.lengths.double(), right.sum(1, keepdim=True).clamp(min=1)
    mean = torch.where(right, lengths, 0.0).sum(1, keepdim=True) / count
    off = torch.where(right, lengths - mean, 0.0)
    deviation = ((off**2).sum(1, keepdim=True) / count).sqrt()
    relative = torch.where(deviation > 0, off / deviation, 0.0)
    kept = torch.where(right, 1 - settings.alpha * relative.sigmoid(), 1.0)
    return group(replace(groups, rewards=groups.rewards * kept.to(groups.rewards.dtype)))
