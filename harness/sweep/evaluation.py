"""An evaluation of the objective, as a run reports it: what pruning, selection and the study all look at."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Evaluation:
    """The objective at a step, with its standard error (0 where the run reports none)."""

    step: int
    value: float
    stderr: float
