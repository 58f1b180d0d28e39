"""A trial's dev evaluations by step, and where they are heading.

The forecast supposes that a learning curve saturates: v(s) = b + a (1 - exp(-s / tau)). For each tau of a
grid this is linear in (a, b), so the posterior is a normal distribution in closed form; the forecast is their
mixture, each weighed by how well its tau explains the evaluations. A curve that has only begun leaves tau
open, and the forecast says so by its standard deviation: that, and not the value of today, is what a trial is
to be judged by. A policy that stays where it was for long and rises then is not foreseen:
``sweep.pruner_warmup`` is for those.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from harness.sweep.evaluation import Evaluation

TIME_CONSTANTS = np.exp(np.linspace(math.log(0.05), math.log(2.0), 9))
"""tau as a fraction of the whole trial: from "done at once" to "nearly a straight line"."""
RISE = 0.5
"""The prior standard deviation of ``a``, in units of the objective (accuracies lie between 0 and 1)."""
NOISE_FLOOR = 1e-3
"""The least noise supposed, in the same units: an accuracy of exactly 0 reports a standard error of 0."""


@dataclass(frozen=True)
class Forecast:
    """The objective at a trial's end, as far as it can be told."""

    mean: float
    deviation: float


class Curve:
    """A trial's evaluations; they do not change, so that forecasts are made once."""

    def __init__(self, evaluations: Iterable[Evaluation] = ()) -> None:
        self.evaluations = sorted(evaluations, key=lambda e: e.step)
        self._forecasts: dict[int, Forecast] = {}

    @cached_property
    def by_step(self) -> dict[int, Evaluation]:
        return {e.step: e for e in self.evaluations}

    def until(self, step: int) -> Curve:
        """The curve as it was at ``step``."""
        if not self.evaluations or self.evaluations[-1].step <= step:
            return self
        return Curve(e for e in self.evaluations if e.step <= step)

    def forecast(self, last_step: int) -> Forecast:
        """The value to expect at ``last_step``; there must be at least one evaluation."""
        if last_step not in self._forecasts:
            self._forecasts[last_step] = _forecast(self.evaluations, last_step)
        return self._forecasts[last_step]


def _forecast(evaluations: list[Evaluation], last_step: int) -> Forecast:
    places = np.array([e.step for e in evaluations]) / last_step
    values = np.array([e.value for e in evaluations])
    scale = max(1.0, float(np.abs(values).max()))
    # One noise level for the whole curve: single standard errors are themselves estimates, and may be 0.
    noise = math.sqrt(math.fsum(e.stderr**2 for e in evaluations) / len(evaluations))
    weight = 1 / max(noise, NOISE_FLOOR * scale) ** 2
    rises = -np.expm1(-places / TIME_CONSTANTS[:, None])  # (taus, evaluations)

    # Bayesian linear regression on (b, a) for each tau: b ~ N(first value, scale), a ~ N(0, RISE * scale).
    p_bb = weight * len(values) + 1 / scale**2
    p_ba = weight * rises.sum(axis=1)
    p_aa = weight * (rises**2).sum(axis=1) + 1 / (RISE * scale) ** 2
    m_b = weight * values.sum() + values[0] / scale**2
    m_a = weight * (rises * values).sum(axis=1)
    determinant = p_bb * p_aa - p_ba**2
    b = (p_aa * m_b - p_ba * m_a) / determinant
    a = (p_bb * m_a - p_ba * m_b) / determinant

    misfit = weight * ((values - b[:, None] - a[:, None] * rises) ** 2).sum(axis=1)
    penalty = ((b - values[0]) / scale) ** 2 + (a / (RISE * scale)) ** 2
    evidence = -(misfit + penalty + np.log(determinant)) / 2
    share = np.exp(evidence - evidence.max())
    share /= share.sum()

    end = -np.expm1(-1 / TIME_CONSTANTS)
    means = b + a * end
    variances = (p_aa - 2 * end * p_ba + end**2 * p_bb) / determinant
    mean = float(share @ means)
    return Forecast(mean, math.sqrt(float(share @ (variances + (means - mean) ** 2))))
