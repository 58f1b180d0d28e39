"""When a trial is ended early: by the dev evaluations of all trials, with a margin for their noise.

Optuna's pruners take a reported value for the truth. A dev evaluation is a sample: its standard error is
known, and every rule here counts it.

- ``curve`` ends a trial when even the upper end of its forecast (curve.py) lies below the lower end of the
  best forecast among the others: each ``margin`` standard deviations away from its mean.
- ``median``, ``halving`` and ``hyperband`` compare values at the same step, and end a trial when its best
  value so far lies below the bar by more than ``margin`` standard errors of the difference. The bar is the
  median of those that came so far, at every evaluation; or what the best 1/``reduction`` of them reach, at
  evaluations 1, r, r^2, ….

Rules are functions of the evaluations alone: the same evaluations give the same decision, however often the
dispatcher was killed in between. Optuna's Wilcoxon pruner wants the outcome of each dev question; runs report
their mean, so it has no place here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from harness.config import Sweep
from harness.sweep.evaluation import Evaluation, is_share
from harness.sweep.forecast import Curve, Forecast


@dataclass(frozen=True)
class Rule:
    """What ends a trial."""

    kind: Literal["curve", "median", "halving", "hyperband", "none"]
    maximize: bool
    warmup: int
    """No trial ends at or before this step."""
    startup: int
    """No trial ends at a step that fewer other trials have reached."""
    margin: float
    """For ``curve`` in standard deviations of the forecasts, else in standard errors of the difference."""
    reduction: int
    """Halving keeps the best 1/reduction at each rung; rungs are that factor apart."""
    share: bool = False
    """Whether the objective lies between 0 and 1, so that a forecast beyond them is not told as one."""

    @classmethod
    def of(cls, sweep: Sweep) -> Rule:
        """The sweep's rule; with several objectives there is no telling which trial is hopeless."""
        return cls(
            kind=sweep.pruner if len(sweep.objectives) == 1 else "none",
            maximize=sweep.maximize,
            warmup=sweep.pruner_warmup,
            startup=sweep.pruner_startup,
            margin=sweep.pruner_margin,
            reduction=sweep.pruner_reduction,
            share=is_share(sweep.objectives[0]),
        )

    def decide(
        self, number: int, curve: Curve, step: int, others: Sequence[Curve], last_step: int
    ) -> str | None:
        """Why trial ``number`` ends at ``step``; None where it goes on.

        Args:
            number: The trial's number: Hyperband assigns brackets by it.
            curve: The trial's evaluations, up to ``step`` at least.
            step: The step that has just been evaluated.
            others: The evaluations of every other trial, ended or not.
            last_step: The trial's last step; there is nothing to save at it.
        """
        if self.kind == "none" or step <= self.warmup or step >= last_step or step not in curve.by_step:
            return None
        others = [other for other in others if other.evaluations]
        field = [other.by_step[step] for other in others if step in other.by_step]
        if len(field) < max(self.startup, 1):
            return None
        so_far = curve.until(step)
        if self.kind == "curve":
            return self._by_forecast(so_far, others, last_step)
        if self.kind != "median" and not self._is_rung(number, so_far):
            return None
        return self._by_value(so_far, field)

    def _by_forecast(self, curve: Curve, others: Sequence[Curve], last_step: int) -> str | None:
        sign = 1 if self.maximize else -1
        own = curve.forecast(last_step)
        forecasts = [other.forecast(last_step) for other in others]
        best = max(forecasts, key=lambda f: sign * f.mean - self.margin * f.deviation)
        gap = sign * (best.mean - own.mean)
        if gap <= self.margin * (own.deviation + best.deviation):
            return None
        return (
            f"step {curve.evaluations[-1].step}: heading for {self._told(own)}, "
            f"another trial for {self._told(best)}"
        )

    def _told(self, forecast: Forecast) -> str:
        """A forecast in words: the model of a curve knows no bounds, the objective may have some."""
        if not self.share:
            return f"{forecast.mean:.4g} ± {forecast.deviation:.2g}"
        mean = min(max(forecast.mean, 0.0), 1.0)
        return f"{100 * mean:.1f} ± {100 * forecast.deviation:.1f}%"

    def _by_value(self, curve: Curve, field: Sequence[Evaluation]) -> str | None:
        share = 0.5 if self.kind == "median" else 1.0 - 1.0 / self.reduction
        bar, bar_error = self._bar(field, share)
        # The best value so far, as in Optuna's median rule: a curve that dips once is given the benefit.
        best = self._best([e for e in curve.evaluations if e.step > self.warmup])
        lag = (bar - best.value) if self.maximize else (best.value - bar)
        allowed = self.margin * math.hypot(best.stderr, bar_error)
        if lag <= allowed:
            return None
        name = "the median" if self.kind == "median" else f"the best 1/{self.reduction}"
        return (
            f"step {curve.evaluations[-1].step}: {best.value:.4g} against {bar:.4g}, the bar of {name} of "
            f"{len(field)} trials; the margin for noise is {allowed:.2g}"
        )

    def _is_rung(self, number: int, curve: Curve) -> bool:
        """Rungs are evaluations 1, r, r^2, … of the trial; Hyperband's bracket b begins at rung b."""
        place = sum(self.warmup < e.step for e in curve.evaluations)
        rung = round(math.log(place, self.reduction))
        if self.reduction**rung != place:
            return False
        return self.kind == "halving" or rung >= number % 3

    def _bar(self, field: Sequence[Evaluation], share: float) -> tuple[float, float]:
        """The value that ``share`` of the field does not surpass, and a standard error for it."""
        values = sorted(e.value if self.maximize else -e.value for e in field)
        # Linear interpolation between order statistics, as numpy's quantile has it, at a tenth of its time.
        place = share * (len(values) - 1)
        below = math.floor(place)
        above = min(below + 1, len(values) - 1)
        bar = values[below] + (values[above] - values[below]) * (place - below)
        error = math.sqrt(math.fsum(e.stderr**2 for e in field) / len(field))
        return (bar if self.maximize else -bar), error

    def _best(self, evaluations: Sequence[Evaluation]) -> Evaluation:
        return (max if self.maximize else min)(evaluations, key=lambda e: e.value)
