"""Warnings about training that goes wrong in a known way; each is given once."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Mapping
from statistics import fmean

import torch

from evals.base.errors import JobError
from harness.engines.registry import RolloutEngine
from harness.models.policy import Policy

log = logging.getLogger(__name__)

WINDOW = 10
KL_LIMIT = 1.0
TRUNCATED_LIMIT = 0.5
DRIFT_LIMIT = 0.05
DRIFT_STOP = {torch.float32: 0.05, torch.bfloat16: 0.5}
"""Mean |trainer - sampler| log-probability over a step's tokens, by the forward pass's dtype, above which
they were drawn from another distribution, whatever the probe finds on its few: rounding explains a fiftieth
of it in float32 and two fifths in bfloat16 (see ``harness.models.trial``)."""


def check_drift(engine: RolloutEngine, policy: Policy, drift: float) -> None:
    """Ends a run whose completions another distribution drew, which the probe may be too short to show.

    Raises:
        JobError: log-probabilities differ by more than rounding explains.
    """
    limit = DRIFT_STOP.get(policy.dtype, DRIFT_STOP[torch.bfloat16])
    if not drift <= limit:
        raise JobError(
            f"the {engine.name} engine does not sample the policy in training: log-probabilities "
            f"differ by {drift:.3g} nats a token, where rounding explains less than {limit:g}; take "
            "another engine"
        )


class Guards:
    """Watches the metrics of one stage.

    KL explosion: more than ``KL_LIMIT`` nats per token. Reward collapse: the mean of the last ``WINDOW``
    steps is below half the best such mean, which was positive. Length runaway: at least
    ``TRUNCATED_LIMIT`` of the completions hit the limit, and they have grown by half since the first step.
    """

    def __init__(self, stale: bool = False) -> None:
        """``stale``: samples are drawn by an earlier policy, which explains the drift."""
        self._stale = stale
        self._rewards: deque[float] = deque(maxlen=WINDOW)
        self._best = 0.0
        self._first_length: float | None = None
        self._given: set[str] = set()

    def watch(self, step: int, row: Mapping[str, float]) -> None:
        """Looks at one step's metrics."""
        kl = row.get("kl", 0.0)
        if kl > KL_LIMIT:
            self._warn("kl", f"step {step}: KL {kl:.3g} nats per token: raise beta or lower learning_rate")
        drift = row.get("drift", 0.0)
        if drift > DRIFT_LIMIT and not self._stale:
            self._warn(
                "drift",
                f"step {step}: the sampling engine's log-probabilities are {drift:.3g} nats per token from "
                "the policy's: what is learned is biased; float32 (of the head alone: policy.head_dtype) or "
                "another engine may agree better, and sampler_correction weighs for it",
            )
        self._watch_reward(step, row)
        length = row["length"]
        first = self._first_length = self._first_length or length
        if row["truncated"] >= TRUNCATED_LIMIT and length > 1.5 * first:
            self._warn(
                "length",
                f"step {step}: {row['truncated']:.0%} of the completions hit the length limit, and their "
                f"mean length rose from {first:.0f} to {length:.0f} tokens",
            )

    def _watch_reward(self, step: int, row: Mapping[str, float]) -> None:
        if "reward" not in row:
            self._warn("scored", f"step {step}: no completion could be scored")
            return
        self._rewards.append(row["reward"])
        if len(self._rewards) < WINDOW:
            return
        recent = fmean(self._rewards)
        self._best = max(self._best, recent)
        if self._best > 0 and recent < self._best / 2:
            self._warn("reward", f"step {step}: the mean reward fell from {self._best:.3g} to {recent:.3g}")

    def _warn(self, kind: str, message: str) -> None:
        if kind not in self._given:
            self._given.add(kind)
            log.warning(message)
