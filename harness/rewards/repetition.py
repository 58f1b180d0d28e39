"""Does the response say the same over and over?"""

from __future__ import annotations

from evals.rollout import Rollout

NGRAM = 8
"""Tokens: long enough that ordinary prose and algebra seldom repeat one."""


def repetition(rollout: Rollout) -> float | None:
    """Minus the share of the completion's n-grams of tokens that occurred before; in (-1, 0].

    Yeo et al. 2025 (arXiv 2502.03373), appendix C.2. Counted in tokens, so it knows no language.
    """
    ids = rollout.completion.token_ids
    ngrams = [tuple(ids[start : start + NGRAM]) for start in range(len(ids) - NGRAM + 1)]
    return len(set(ngrams)) / len(ngrams) - 1 if ngrams else 0.0
