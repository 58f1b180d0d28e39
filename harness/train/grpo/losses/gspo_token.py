"""GSPO-token: the sequence's ratio, with a gradient token by token (arXiv 2507.18071, section 4.3)."""

from __future__ import annotations

from dataclasses import replace

from harness.train.grpo.losses.base import TokenLosses, Tokens
from harness.train.grpo.losses.clip import clip


def gspo_token(tokens: Tokens) -> TokenLosses:
    """-min(s_t * A, clip(s_t, 1 - low, 1 + high) * A), s_t = sg(s) * policy_t / sg(policy_t).

    s is the sequence's ratio whatever ``stage.ratio`` says and sg stops the gradient, so that s_t has the
    value s. One advantage a sequence makes this GSPO (``clip`` with ``ratio = "sequence"``) unless
    ``sampler_correction`` is set: it then weighs each token's own gradient by that token's correction,
    where GSPO weighs every gradient of a sequence by the mean.
    """
    own = (tokens.logprobs - tokens.logprobs.detach()).exp()
    return clip(replace(tokens, ratio=tokens.sequence_ratio.detach() * own))
