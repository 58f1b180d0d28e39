"""LUSPO: GSPO without its bias to short sequences (Length-Unbiased Sequence Policy Optimization)."""

from __future__ import annotations

from dataclasses import replace

from harness.train.grpo.losses.base import TokenLosses, Tokens
from harness.train.grpo.losses.clip import clip


def luspo(tokens: Tokens) -> TokenLosses:
    """-|o| * min(s * A, clip(s, 1 - low, 1 + high) * A), (B, 1) (arXiv 2602.05261), by ``epsilon``.

    s is the sequence's ratio whatever ``stage.ratio`` says, |o| its tokens. Use it with
    ``aggregation = "grpo"``, which divides by |o|: each sequence then counts by its length, as in TRL's
    "luspo". TRL sums the KL penalty over a sequence too; here it is aggregated as with any loss.
    """
    found = clip(replace(tokens, ratio=tokens.sequence_ratio))
    return replace(found, losses=found.losses * tokens.lengths)
