"""Weights for what the sampler drew otherwise than the trainer would have: importance sampling, bounded.

r = old policy / sampler, the trainer's probability of a token over the one that it was drawn with. Without
rounding, other kernels and stale weights it is 1 everywhere. Weights and masks are constants: no gradient
passes through them. They apply to the policy's token losses, not to the KL penalty or the entropy bonus, and
what is masked still counts in the denominators: leaving it out does not make the rest weigh more.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from harness.config import GRPO


@dataclass(frozen=True)
class Correction:
    """What ``stage.sampler_correction`` and ``stage.sampler_mask`` make of one micro-batch.

    ``weights``: (B, T) by token or (B, 1) by sequence, positive and finite; 1 where a token is masked; None
    without importance sampling. ``kept``: (B, T) bool, the tokens that no mask leaves out; None: all of them.
    """

    weights: torch.Tensor | None = None
    kept: torch.Tensor | None = None

    def applied(self) -> torch.Tensor | None:
        """What token losses are multiplied by, (B, T) or (B, 1); None: by nothing."""
        if self.kept is None or self.weights is None:
            return self.weights if self.kept is None else self.kept.float()
        return torch.where(self.kept, self.weights, 0.0)


def correction_of(
    old: torch.Tensor, sampler: torch.Tensor | None, mask: torch.Tensor, stage: GRPO
) -> Correction:
    """The correction of one micro-batch from log-probabilities (B, T) that are finite where ``mask`` is set.

    Raises:
        ValueError: there is something to correct and the sampler's log-probabilities are missing.
    """
    chosen, bounds = stage.sampler_correction, stage.sampler_mask
    if chosen is None and bounds is None:
        return Correction()
    if sampler is None:
        raise ValueError("sampler_correction and sampler_mask need the sampler's log-probabilities")
    logs = torch.where(mask, old - sampler, 0.0)
    weights = kept = None
    if chosen is not None:
        ratio = logs if chosen.level == "token" else logs.sum(1, keepdim=True)
        if chosen.outside == "truncate":
            weights = truncated(ratio, chosen.low, chosen.high)
        else:
            inside = within(ratio, chosen.low, chosen.high)
            weights, kept = torch.where(inside, ratio, 0.0).exp(), inside.expand_as(mask)
    if bounds is not None:
        inside = within(geometric_mean(logs, mask), bounds.low, bounds.high).expand_as(mask)
        kept = inside if kept is None else kept & inside
    return Correction(weights, kept)


def truncated(log_ratio: torch.Tensor, low: float, high: float) -> torch.Tensor:
    """min(max(r, low), high), of any shape (TIS, Yao et al. 2025); never larger than ``high``, so finite."""
    return log_ratio.clamp(_log(low), _log(high)).exp()


def within(log_ratio: torch.Tensor, low: float, high: float) -> torch.Tensor:
    """low <= r <= high as bool, of any shape.

    As a mask on tokens with r as the weight of those that stay, this is masked importance sampling (MIS), and
    with both bounds IcePop (Ant Group 2025), whose bounds are 0.5 and 5.
    """
    return (log_ratio >= _log(low)) & (log_ratio <= _log(high))


def geometric_mean(log_ratio: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The logarithm, (B, 1), of the geometric mean of a completion's token ratios: free of its length."""
    return torch.where(mask, log_ratio, 0.0).sum(1, keepdim=True) / mask.sum(1, keepdim=True).clamp(min=1)


def _log(bound: float) -> float:
    return math.log(bound) if bound > 0 else -math.inf
