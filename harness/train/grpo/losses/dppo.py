"""DPPO: a token is masked by how far its probability has moved, not by its ratio.

Divergence Proximal Policy Optimization (Rethinking the Trust Region in LLM Reinforcement Learning, arXiv
2602.04879), in its binary form: the divergence between "this token" and "any other".
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field

from evals.base.registry import takes
from harness.config.table import Table
from harness.train.grpo.losses.base import TokenLosses, Tokens, bounded_exp

LEAST = 1e-8
"""The least probability of all other tokens together: a token of probability 1 has a finite divergence."""


class Settings(Table):
    """The trust region, in the chosen divergence."""

    divergence: Literal["tv", "kl"] = "tv"
    """Total variation, |policy - old|, or KL(old || policy), of the token against all others together. A
    total variation of x is a KL divergence of at least 2 * x ** 2."""
    low: float = Field(0.15, gt=0.0)
    """How far a token of negative advantage may have become less likely."""
    high: float = Field(0.15, gt=0.0)
    """How far a token of positive advantage may have become more likely."""
    cap: float = Field(20.0, ge=1.0)
    """The largest ratio by which a token is weighed."""


@takes(Settings)
def dppo(tokens: Tokens, settings: Settings) -> TokenLosses:
    """-M * sg(min(ratio, cap)) * A * logprob, sg stopping the gradient: that of -M * ratio * A.

    M is 0 where the policy has left the trust region on the side to which A pushes it (A > 0, policy > old
    and divergence > high; A < 0, policy < old and divergence > low), else 1. The ratio is the token's.
    """
    log_ratio = tokens.log_ratio.detach()
    moved = _divergence(tokens.logprobs.detach(), tokens.old, settings.divergence)
    beyond = torch.where(tokens.advantages > 0, moved > settings.high, moved > settings.low)
    stopped = beyond & (log_ratio * tokens.advantages > 0)
    weight = torch.where(stopped, 0.0, bounded_exp(log_ratio).clamp(max=settings.cap))
    return TokenLosses(-weight * tokens.advantages * tokens.logprobs, stopped)


def _divergence(policy: torch.Tensor, old: torch.Tensor, kind: Literal["tv", "kl"]) -> torch.Tensor:
    """Between two policies that either draw a token or do not, from its log-probabilities, (B, T)."""
    if kind == "tv":
        return (policy.exp() - old.exp()).abs()
    others, old_others = (-policy.expm1()).clamp(min=LEAST), (-old.expm1()).clamp(min=LEAST)
    return old.exp() * (old - policy) + old_others * (old_others / others).log()
