"""CISPO: the weight of a token's gradient is cut, never the token (MiniMax-M1, arXiv 2506.13585)."""

from __future__ import annotations

from harness.train.grpo.losses.base import TokenLosses, Tokens


def cispo(tokens: Tokens) -> TokenLosses:
    """-min(ratio, 1 + high) * A * logprob, the ratio detached (eq. 4), by the stage's ``epsilon``.

    TRL's epsilon_high for cispo is the bound itself, that is 1 + ours.
    """
    bound = 1 + tokens.stage.epsilon.high
    ratio = tokens.ratio.detach()
    losses = -ratio.clamp(max=bound) * tokens.advantages * tokens.logprobs
    return TokenLosses(losses, (ratio > bound) & (tokens.advantages > 0))
