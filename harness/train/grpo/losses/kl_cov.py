"""KL-Cov: the tokens that would lower the entropy most are held near the old policy (arXiv 2505.22617)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from pydantic import Field

from evals.base.registry import takes
from harness.config.table import Table
from harness.train.grpo.losses.base import Minibatch, TokenLosses, Tokens
from harness.train.grpo.losses.covariance import covariances, how_many


class Settings(Table):
    """How many tokens are held, and how firmly."""

    share: float = Field(2e-4, gt=0.0, le=1.0)
    """The tokens that are held, as a share of the minibatch's (k); at least one."""
    coefficient: float = Field(1.0, gt=0.0)
    """The weight of their penalty."""


@takes(Settings)
class KlCov:
    """-ratio * A, plus coefficient * |log(policy / old)| for max(1, floor(k * N)) of a minibatch's N tokens.

    They are those of largest Cov (covariance.py), under the policy that drew them: the one from before the
    batch, or with ``rollout_ahead`` an older one, where the paper has the policy of the moment. The penalty's
    form is that of the authors' code. Nothing is clipped. The penalty's gradient is 0 where policy and old
    policy are the same: it acts from a batch's second update on. A token may be held whose advantage is 0.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def choose(self, minibatch: Minibatch) -> npt.NDArray[np.intp]:
        found = covariances(minibatch)
        return np.argsort(-found, kind="stable")[: how_many(self._settings.share, len(found))]

    def __call__(self, tokens: Tokens) -> TokenLosses:
        losses = -tokens.ratio * tokens.advantages
        if tokens.chosen is None:
            return TokenLosses(losses)
        held = tokens.chosen * tokens.log_ratio.abs()
        return TokenLosses(losses + self._settings.coefficient * held)
