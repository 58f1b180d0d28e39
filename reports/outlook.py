"""Where a metric of a run is heading, and whether it is worth going on: for the forecast command and figures.

Progress is counted in the training FLOPs that a run logs, as ScaleRL counts it (arXiv 2510.13786), or in
steps where it logs none. Steps to come are taken to cost what the last quarter of them did.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from harness.sweep.evaluation import is_share
from harness.sweep.forecast import DEFAULT, Posterior
from harness.train.ledger import DEVICES, FLOPS, SECONDS

FURTHER = 0.5
"""How far ahead to look where a run has reached its planned end: half of what it has done."""
LIKELY = 0.8
"""From which probability on "worth going on" is answered with yes; with no below 1 minus this."""
Interval = tuple[float, float]


@dataclass(frozen=True)
class Budget:
    """What may be spent on top of what has been: one of the three."""

    steps: float | None = None
    device_hours: float | None = None
    flops: float | None = None


@dataclass(frozen=True)
class Held:
    """Hold-out: a later evaluation, and the interval in which it was to lie."""

    step: int
    value: float
    expected: float
    interval80: Interval
    interval95: Interval


@dataclass(frozen=True)
class Outlook:
    """A metric's forecast. ``value`` is the newest measured one, at ``step``; ``forecast`` the mean at
    ``horizon``, ``gain`` how far above where the curve is now; intervals are central ones.

    ``chance`` is the probability of a gain of at least ``worth``. ``device_hours`` is what the way takes,
    None where steps' seconds are not logged.
    """

    metric: str
    axis: Literal["FLOPs", "steps"]
    evaluations: int
    step: int
    value: float
    horizon: int
    forecast: float
    interval80: Interval
    interval95: Interval
    gain: float
    gain80: Interval
    worth: float
    chance: float
    device_hours: float | None
    held: tuple[Held, ...] = ()

    @property
    def now(self) -> float:
        """Where the curve is at ``step``: the newest evaluation without its noise."""
        return float(_within(self.metric, np.array([self.forecast - self.gain]))[0])

    @property
    def gain_per_device_hour(self) -> float | None:
        return self.gain / self.device_hours if self.device_hours else None

    @property
    def go_on(self) -> Literal["yes", "no", "uncertain"]:
        """Whether going on is worth it."""
        if self.horizon <= self.step or self.chance < 1 - LIKELY:
            return "no"
        return "yes" if self.chance >= LIKELY else "uncertain"


class Track:
    """One metric of a run's metrics table, up to ``until``."""

    def __init__(self, frame: pd.DataFrame, metric: str, until: int | None = None) -> None:
        """``frame`` has a row per line of metrics.jsonl; ``metric`` is one of its columns.

        Raises:
            KeyError: the metric was never measured (by then).
        """
        self.metric = metric
        if "stage" in frame:
            frame = frame.drop_duplicates(["stage", "step"], keep="last")
        frame = frame.sort_values("step")
        self.later = frame[frame["step"] > until] if until is not None else frame[:0]
        frame = frame if until is None else frame[frame["step"] <= until]
        if not len(frame):
            raise KeyError(metric)
        self.origin = 0
        if "stage" in frame and frame["stage"].nunique() > 1:  # each stage has a curve of its own
            frame = frame[frame["stage"] == frame["stage"].iloc[-1]]
            self.origin = max(0, int(frame["step"].min()) - 1)
        rows = frame[frame["step"] > self.origin]
        self.step = int(frame["step"].max())
        recent = rows.tail(max(1, math.ceil(len(rows) / 4)))
        flops = _sum(rows, FLOPS)
        logged = len(rows) > 0 and bool((flops > 0).all()) and len(rows) == self.step - self.origin
        self.axis: Literal["FLOPs", "steps"] = "FLOPs" if logged else "steps"
        self.flops_per_step = float(_sum(recent, FLOPS).mean()) if logged else 0.0
        seconds = _sum(recent, SECONDS) * (recent[DEVICES].fillna(1) if DEVICES in recent else 1)
        # Steps that were not logged cost the same, so that the mean over those that were is right.
        self.seconds_per_step = float(seconds.mean()) if len(seconds) else 0.0
        spent = pd.Series(np.cumsum(flops.to_numpy(float)), rows["step"].to_numpy())

        points = _points(frame, metric)
        if points.empty:
            raise KeyError(metric)
        self.steps = points["step"].to_numpy(float)
        self.values = points[metric].to_numpy(float)
        self.stderrs = points["stderr"].to_numpy(float)
        self._places = (
            np.array([spent.get(s, 0.0) for s in self.steps]) if logged else self.steps - self.origin
        )

    def place(self, steps: np.ndarray) -> np.ndarray:
        """Progress at ``steps`` to come, in the axis' unit."""
        rate = self.flops_per_step if self.axis == "FLOPs" else 1.0
        return np.asarray(float(self._places[-1]) + (steps - self.steps[-1]) * rate)

    def posterior(self, horizon: float) -> Posterior:
        """What the curve tells of the time until the step ``horizon``."""
        whole = float(self.place(np.array([horizon]))[0])
        return Posterior(self._places, self.values, self.stderrs, max(whole, 1e-9), DEFAULT)

    def further(self, budget: Budget) -> int:
        """The step at which a budget on top is spent.

        Raises:
            ValueError: what it counts was not logged.
        """
        if budget.steps is not None:
            return self.step + math.floor(budget.steps)
        if budget.device_hours is not None:
            if not self.seconds_per_step:
                raise ValueError("the run logs no seconds per step, so give the budget in steps")
            return self.step + math.floor(3600 * budget.device_hours / self.seconds_per_step)
        if not self.flops_per_step:
            raise ValueError("the run does not log the FLOPs of every step, so give the budget in steps")
        return self.step + math.floor((budget.flops or 0.0) / self.flops_per_step)

    def band(self, horizon: int, points: int = 24) -> pd.DataFrame:
        """``step, low, middle, high``: the 80% interval of the curve from its newest evaluation on."""
        steps = np.linspace(self.steps[-1], horizon, points)
        ahead = self.posterior(horizon).ahead(self.place(steps))
        low, middle, high = (_within(self.metric, ahead.quantile(p)) for p in (0.1, 0.5, 0.9))
        return pd.DataFrame({"step": steps, "low": low, "middle": middle, "high": high})

    def outlook(self, horizon: int, worth: float) -> Outlook:
        """The forecast for the step ``horizon``."""
        horizon = max(horizon, int(self.steps[-1]))
        held = _points(self.later, self.metric) if len(self.later) else None
        posterior = self.posterior(max(horizon, *(held["step"] if held is not None else ()), 1))
        place = self.place(np.array([float(horizon)]))
        ahead, gain = posterior.ahead(place), posterior.gain(place)

        def interval(p: float) -> Interval:
            low, high = (_within(self.metric, ahead.quantile(q)) for q in ((1 - p) / 2, (1 + p) / 2))
            return float(low[0]), float(high[0])

        to_go = max(0, horizon - self.step)
        hours = to_go * self.seconds_per_step / 3600 if self.seconds_per_step else None
        return Outlook(
            metric=self.metric,
            axis=self.axis,
            evaluations=len(self.steps),
            step=int(self.steps[-1]),
            value=float(self.values[-1]),
            horizon=horizon,
            forecast=float(_within(self.metric, ahead.mean)[0]),
            interval80=interval(0.8),
            interval95=interval(0.95),
            gain=self._possible(gain.mean),
            gain80=(self._possible(gain.quantile(0.1)), self._possible(gain.quantile(0.9))),
            worth=worth,
            chance=float(1 - gain.below(np.array([worth]))[0]),
            device_hours=hours,
            held=() if held is None else self._held(posterior, held),
        )

    def _possible(self, gain: np.ndarray) -> float:
        """A share cannot rise above 1 nor fall below 0."""
        now = float(self.values[-1])
        return float(np.clip(gain[0], -now, 1 - now)) if is_share(self.metric) else float(gain[0])

    def _held(self, posterior: Posterior, held: pd.DataFrame) -> tuple[Held, ...]:
        stderrs = held["stderr"].to_numpy(float)
        errors = np.where(stderrs > 0, stderrs, posterior.noise)
        seen = posterior.ahead(self.place(held["step"].to_numpy(float)), errors)
        ends = [_within(self.metric, seen.quantile(q)) for q in (0.1, 0.9, 0.025, 0.975)]
        columns = zip(held["step"], held[self.metric], _within(self.metric, seen.mean), *ends, strict=True)
        return tuple(
            Held(int(s), float(v), float(m), (float(a), float(b)), (float(c), float(d)))
            for s, v, m, a, b, c, d in columns
        )


def planned(experiment: Mapping[str, Any]) -> int | None:
    """The last step of an experiment; None where its stages do not say, or where a budget ends them first."""
    if experiment.get("budget"):
        return None
    stages = experiment.get("stages") or []
    steps = [stage.get("steps") for stage in stages if isinstance(stage, Mapping)]
    known = [step for step in steps if isinstance(step, int) and not isinstance(step, bool)]
    return sum(known) if known and len(known) == len(steps) else None


def horizon_of(step: int, end: int | None) -> int:
    """Where a forecast looks to: the planned end, or further where the run is there."""
    return end if end is not None and end > step else step + max(1, math.ceil(FURTHER * step))


def _points(frame: pd.DataFrame, metric: str) -> pd.DataFrame:
    """``step``, ``metric`` and ``stderr`` (0 where there is none) of the rows that have it."""
    if metric not in frame:
        return pd.DataFrame(columns=["step", metric, "stderr"])
    group = metric.rpartition("/")[0]
    error = f"{group}/stderr" if f"{group}/stderr" in frame else "stderr"
    points = frame[["step", metric]].assign(stderr=frame[error].fillna(0.0) if error in frame else 0.0)
    return points[np.isfinite(points[metric].astype(float))]


def _sum(frame: pd.DataFrame, names: tuple[str, ...]) -> pd.Series:
    found = [name for name in names if name in frame]
    return frame[found].fillna(0.0).sum(axis=1) if found else pd.Series(0.0, frame.index)


def _within(metric: str, values: np.ndarray) -> np.ndarray:
    """The model of a curve knows no bounds; a share has some."""
    return np.clip(values, 0.0, 1.0) if is_share(metric) else values


def sentence(found: Outlook) -> str:
    """The forecast and what it means in plain words."""
    scale, unit = (100.0, "%") if is_share(found.metric) else (1.0, "")
    low, high = (f"{scale * each:.3g}" for each in found.interval80)
    text = (
        f"{found.metric} is {scale * found.value:.3g}{unit} at step {found.step:,}, "
        f"{scale * found.now:.3g}{unit} by its fitted curve, and heading for "
        f"{scale * found.forecast:.3g}{unit} at step {found.horizon:,} (80% interval {low} to {high}{unit})"
    )
    points = " points" if unit else ""
    text += f": a gain of {signed_plain(scale * found.gain)}{points}"
    if (rate := found.gain_per_device_hour) is not None:
        text += f", {signed_plain(scale * rate)}{points} per device-hour"
    told = {"yes": "is worth it", "no": "is not worth it", "uncertain": "may or may not be worth it"}
    unit = points.removesuffix("s") if scale * found.worth == 1 else points
    least = f"{scale * found.worth:.2g}{unit}"
    text += f"; going on {told[found.go_on]}"
    return text + f" (a gain of at least {least} has a chance of {found.chance:.0%})."


def signed_plain(value: float) -> str:
    """+410 or −7.2: two significant digits, and no exponent."""
    return f"{float(f'{value:.2g}'):+,g}".replace("-", "−")
