"""An evaluation of the objective, as a run reports it: what pruning, selection and the study all look at."""

from __future__ import annotations

from dataclasses import dataclass

SHARES = ("accuracy", "truncated", "unparsed", "dev/format", "dev/one_language")


def is_share(metric: str) -> bool:
    """Whether a metric is a fraction of 1 that people read as percent."""
    return "@" in metric or metric.endswith(SHARES)


@dataclass(frozen=True)
class Evaluation:
    """The objective at a step, with its standard error (0 where the run reports none).

    ``flops`` is what training has cost up to there; 0 where the run does not log it for every step.
    """

    step: int
    value: float
    stderr: float
    flops: float = 0.0
