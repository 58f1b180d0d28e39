"""VESPO: log-probabilities weighted by a gamma-shaped function of the whole sequence's ratio.

Variational sEquence-level Soft Policy Optimization (arXiv 2602.10693), with the bounds of TRL 1.16.
"""

from __future__ import annotations

import math

import torch
from pydantic import Field

from evals.base.registry import takes
from harness.config.table import Table
from harness.train.grpo.losses.base import TokenLosses, Tokens

MOST, LEAST = 20.0, math.log(1e-8)
"""Bounds of logarithms of ratios."""


class Settings(Table):
    """The shape of the weight, for advantages of at least 0 and for others; TRL's values."""

    k_positive: float = Field(2.0, gt=0.0)
    """The power of the ratio w in w ** k * exp(lambda * (1 - w))."""
    lambda_positive: float = Field(3.0, gt=0.0)
    """How fast the weight falls for large w."""
    k_negative: float = Field(3.0, gt=0.0)
    """As ``k_positive``, for negative advantages."""
    lambda_negative: float = Field(2.0, gt=0.0)
    """As ``lambda_positive``, for negative advantages."""


@takes(Settings)
def vespo(tokens: Tokens, settings: Settings) -> TokenLosses:
    """-phi(w) * A * logprob, phi(w) = w ** k * exp(lambda * (1 - w)), constant; phi(1) = 1.

    w is the product of the sequence's token ratios, the sampler's correction included. Use it with
    ``aggregation = "dapo"``, as TRL does.
    """
    with torch.no_grad():
        log_w = torch.where(tokens.mask, tokens.log_ratio.clamp(-MOST, MOST), 0.0).sum(1, keepdim=True)
        if tokens.correction is not None:
            sampler = tokens.correction.log().clamp(LEAST, MOST)
            if sampler.shape == tokens.mask.shape:
                sampler = torch.where(tokens.mask, sampler, 0.0).sum(1, keepdim=True)
            log_w = log_w + sampler
        log_w = log_w.clamp(LEAST, MOST)
        positive = tokens.advantages >= 0
        k = torch.where(positive, settings.k_positive, settings.k_negative)
        rate = torch.where(positive, settings.lambda_positive, settings.lambda_negative)
        weight = (rate + k * log_w - rate * log_w.exp()).exp()
    return TokenLosses(-weight * tokens.advantages * tokens.logprobs, corrected=True)
