"""REINFORCE++: rewards normalised over the whole step, instead of within a group (arXiv 2501.03262)."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field

from evals.base.registry import takes
from harness.config.table import Table
from harness.train.grpo.advantages.base import Groups, equal_rewards


class Settings(Table):
    """The paper's two forms."""

    baseline: Literal["group", "none"] = "group"
    """What a reward is compared with first: its group's mean (REINFORCE++-baseline), or nothing."""
    epsilon: float = Field(1e-8, ge=0.0)
    """Added to the variance."""


@takes(Settings)
def reinforce_plus_plus(groups: Groups, settings: Settings) -> torch.Tensor:
    """(x - mean(x)) / sqrt(var(x) + epsilon), x = r - group mean or r, mean and var over the step's tokens.

    A completion counts in both once for each of its tokens, whose advantages the paper normalises; the
    variance has one degree of freedom less than there are tokens. The KL penalty stays in the loss
    (``beta``). A group of equal rewards is learned from too: its x is not always the mean.
    """
    scored = groups.scored
    values = torch.where(scored, groups.rewards, 0.0).double()
    if settings.baseline == "group":
        count = scored.sum(1, keepdim=True).clamp(min=1)
        values = torch.where(scored, values - values.sum(1, keepdim=True) / count, 0.0)
        # Exactly 0, and not some rounding error divided by a tiny deviation.
        values = torch.where(equal_rewards(groups.rewards)[:, None], 0.0, values)
    weights = torch.where(scored, groups.lengths.double().clamp(min=1), 0.0)
    tokens = weights.sum().clamp(min=1)
    centred = values - (weights * values).sum() / tokens
    variance = (weights * centred**2).sum() / (tokens - 1).clamp(min=1)
    scale = (variance + settings.epsilon).sqrt()
    return torch.where(scored & (scale > 0), centred / scale, 0.0).to(groups.rewards.dtype)
