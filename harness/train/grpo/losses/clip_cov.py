"""Clip-Cov: a few of the tokens that would lower the entropy most are not learned from (arXiv 2505.22617)."""

from __future__ import annotations

from typing import Self

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field, model_validator

from evals.base.registry import takes
from harness.config.table import Table
from harness.train.grpo.losses.base import Minibatch, TokenLosses, Tokens
from harness.train.grpo.losses.clip import clip
from harness.train.grpo.losses.covariance import covariances, how_many


class Settings(Table):
    """How many tokens are left out, and which may be."""

    share: float = Field(2e-4, gt=0.0, le=1.0)
    """The tokens that are left out, as a share of the minibatch's (r); at least one."""
    low: float = 1.0
    """The covariance above which a token may be left out."""
    high: float = 5.0
    """The covariance below which it may."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.low >= self.high:
            raise ValueError(f"low ({self.low:g}) must be below high ({self.high:g})")
        return self


@takes(Settings)
class ClipCov:
    """``clip``, times 0 for max(1, floor(r * N)) of a minibatch's N tokens.

    They are drawn evenly from the tokens with low < Cov < high; where there are fewer, all of them are taken.
    Cov (covariance.py) is under the policy that drew the tokens. In a batch's first update that is the policy
    itself, as in the paper, or with ``rollout_ahead`` an older one; in later updates it is the policy from
    before the batch, where the paper has the policy of that moment. Tokens are drawn once a batch: each epoch
    leaves out the same ones, and what ``clip`` stops in a later update may be among them. The KL penalty and
    the entropy bonus apply to them as to all others.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def choose(self, minibatch: Minibatch) -> npt.NDArray[np.intp]:
        found, settings = covariances(minibatch), self._settings
        candidates = np.flatnonzero((found > settings.low) & (found < settings.high))
        count = min(how_many(settings.share, len(found)), len(candidates))
        return minibatch.rng.permutation(candidates)[:count]

    def __call__(self, tokens: Tokens) -> TokenLosses:
        found, chosen = clip(tokens), tokens.chosen
        if chosen is None:
            return found
        assert found.clipped is not None
        return TokenLosses(torch.where(chosen, 0.0, found.losses), found.clipped | chosen)
