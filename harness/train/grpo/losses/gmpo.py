"""GMPO: the geometric mean of a sequence's ratios, clipped token by token (arXiv 2507.20673)."""

from __future__ import annotations

import torch
from pydantic import Field

from evals.base.registry import takes
from harness.config.table import Table
from harness.train.grpo.losses.base import TokenLosses, Tokens


class Settings(Table):
    """The clip range of a token's ratio, [exp(-low), exp(high)]; the paper's values."""

    low: float = Field(0.4, gt=0.0)
    """How far the logarithm of the ratio may fall."""
    high: float = Field(0.4, gt=0.0)
    """How far it may rise."""


@takes(Settings)
def gmpo(tokens: Tokens, settings: Settings) -> TokenLosses:
    """-A * (prod_t min-or-clip(ratio_t)) ** (1 / tokens), (B, 1) (eq. 4).

    A token's ratio r counts as min(r, clip(r)) where A > 0 and as max(r, clip(r)) where A < 0: the less
    hopeful of the two, as in PPO. Use it with ``aggregation = "grpo"``, where a sequence counts once.
    """
    log_ratio, positive = tokens.log_ratio, tokens.advantages > 0
    bounded = torch.where(positive, log_ratio.clamp(max=settings.high), log_ratio.clamp(min=-settings.low))
    mean = torch.where(tokens.mask, bounded, 0.0).sum(1, keepdim=True) / tokens.lengths
    constant = log_ratio.detach()
    stopped = torch.where(positive, constant > settings.high, constant < -settings.low)
    return TokenLosses(-tokens.advantages * mean.exp(), stopped & (tokens.advantages != 0))
