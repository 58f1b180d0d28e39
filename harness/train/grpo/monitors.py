"""Ends a run that another distribution samples. What is only warned of is in ``harness.train.advice``."""

from __future__ import annotations

import torch

from evals.base.errors import JobError
from harness.engines.registry import RolloutEngine
from harness.models.policy import Policy

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
            f"differ by {drift:.3g} nats per token, where rounding explains less than {limit:g}; take "
            "another engine"
        )
