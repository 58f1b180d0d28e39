"""PPO's clipped surrogate, as DeepSeek-R1 has it (eq. 1), with the dual clip as an option."""

from __future__ import annotations

import torch

from harness.train.grpo.losses.base import TokenLosses, Tokens


def clip(tokens: Tokens) -> TokenLosses:
    """-min(min(ratio, delta) * A, clip(ratio, 1 - low, 1 + high) * A), by ``epsilon`` and ``delta``.

    ``delta`` (Ye et al. 2020, arXiv 1912.09729) bounds the ratio where the advantage is negative. With
    ``ratio = "sequence"`` this is GSPO (arXiv 2507.18071, eq. 5).
    """
    ratio, advantages, epsilon = tokens.ratio, tokens.advantages, tokens.stage.epsilon
    low, high = 1 - epsilon.low, 1 + epsilon.high
    delta = tokens.stage.delta
    free = ratio if delta is None else ratio.clamp(max=delta)
    losses = -torch.min(free * advantages, ratio.clamp(low, high) * advantages)
    constant = ratio.detach()
    stopped = ((constant > high) & (advantages > 0)) | ((constant < low) & (advantages < 0))
    return TokenLosses(losses, stopped)
