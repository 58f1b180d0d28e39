"""SAPO: a soft gate in place of the clip (Soft Adaptive Policy Optimization, arXiv 2511.20347)."""

from __future__ import annotations

import torch
from pydantic import Field

from evals.base.registry import takes
from harness.config.table import Table
from harness.train.grpo.losses.base import Tokens


class Settings(Table):
    """How fast the gate closes as the ratio leaves 1; TRL's values."""

    temperature_positive: float = Field(1.0, gt=0.0)
    """For tokens whose advantage is above 0."""
    temperature_negative: float = Field(1.05, gt=0.0)
    """For the others: higher, since their gradients make training less stable."""


@takes(Settings)
def sapo(tokens: Tokens, settings: Settings) -> torch.Tensor:
    """-(4 / tau) * sigmoid(tau * (ratio - 1)) * A (eq. 5-6); the gradient at ratio 1 is that of the clip."""
    tau = torch.where(tokens.advantages > 0, settings.temperature_positive, settings.temperature_negative)
    return -torch.sigmoid(tau * (tokens.ratio - 1)) * 4 / tau * tokens.advantages
