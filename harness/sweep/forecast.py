"""A trial's dev evaluations by step, and where they are heading.

v(x) = b + a g(x) + d(x) at progress x (steps, or FLOPs where their cost is known), seen through the noise of
the evaluations. The rise g has one of two shapes, with parameters on a grid:

- exponential, g(x) = 1 - exp(-x / tau);
- the sigmoid of ScaleRL (arXiv 2510.13786), R(C) = R0 + (A - R0) / (1 + (C_mid / C)^B).

The drift d is a Brownian motion, for no policy keeps to a formula: runs peak and fall, plateaus tilt. How far
it goes is not known beforehand; its standard deviation has a half-Cauchy prior, so that a forecast has heavy
tails (docs/sweeps.md has their coverage on real curves), and a curve that has already left the formula widens
its own forecast. How much of the reported standard error a curve shows is on a grid too: the luck with the
questions is the same at every step of a run and moves it as a whole.

With all that fixed the model is linear in (a, b), so that its posterior is a normal distribution in closed
form; the forecast is the average of all of them, each weighed by how well it explains the evaluations
(Bayesian model averaging).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.special import ndtr

from harness.sweep.evaluation import Evaluation

Array = np.ndarray

FASTEST, SLOWEST = 0.05, 2.0
"""Bounds of tau and C_mid as fractions of the trial: from "done at once" to "nearly a straight line"."""
FINENESS = 1.6
"""Neighbours on the grid of tau or C_mid differ by this factor."""
EXPONENTS = np.array([1.0, 1.7, 3.0])
"""B of the sigmoid: the higher, the longer a policy stays where it was before it rises."""
RISE = 0.5
"""The prior standard deviation of ``a``, in units of the objective (accuracies lie between 0 and 1)."""
NOISE_FLOOR = 1e-3
"""The least noise supposed, in the same units: an accuracy of exactly 0 reports a standard error of 0."""
GUESS, GUESSED = 0.04, 2
"""Where evaluations come without standard errors: the noise supposed beforehand, in the same units (that of
some 150 questions), and how many differences of neighbours weigh as much."""
MOST_POINTS = 48
"""A curve of more evaluations is averaged over neighbours: a forecast takes milliseconds whatever it has."""


@dataclass(frozen=True)
class Model:
    """What learning curves are supposed to be like."""

    sigmoid: bool = True
    """Whether a curve may be a sigmoid, or only exponential."""
    drift: float = 0.02
    """The median standard deviation of the drift over a trial, as a share of the objective's scale."""
    seen: float = 6.0
    """Where evaluations cover less than 1/seen of the way to the horizon, the lower bound of tau and C_mid
    shrinks with them: what has levelled off already may stay level, however far ahead one looks."""
    noises: tuple[float, ...] = (0.6, 1.0, 1.5)
    """How much of the reported standard error a curve may show, equally likely beforehand."""

    def rises(self, places: Array, covered: float) -> Array:
        """g at ``places`` (n,) for every shape, (shapes, n); evaluations cover a share of the whole."""
        scales = _grid(self.seen * covered)
        rows = [-np.expm1(-places / scales[:, None])]
        if self.sigmoid:
            with np.errstate(divide="ignore"):
                ratio = scales[:, None, None] / places
            rows.append((1 / (1 + ratio ** EXPONENTS[:, None])).reshape(-1, len(places)))
        return np.concatenate(rows)

    def shape_weights(self, covered: float) -> Array:
        """Prior probabilities: each kind of shape half, its grid evenly."""
        count = len(_grid(self.seen * covered))
        sizes = [count, count * len(EXPONENTS)] if self.sigmoid else [count]
        return np.concatenate([np.full(size, 1 / size / len(sizes)) for size in sizes])

    @cached_property
    def drifts(self) -> tuple[Array, Array]:
        """Standard deviations of the drift and their probabilities: a half-Cauchy prior on a grid."""
        if not self.drift:
            return np.zeros(1), np.ones(1)
        edges = np.array([0.0, 0.5, 1.25, 3.0, 15.0])
        middles = np.array([0.25, 0.8, 2.0, 6.0])
        mass = np.diff(np.arctan(edges))
        return self.drift * middles, mass / mass.sum()


def _grid(shrunk: float) -> Array:
    """Values of tau or C_mid, evenly in their logarithm; the lower bound is shrunk by a factor below 1."""
    low = math.log(FASTEST * min(1.0, max(shrunk, 1e-3)))
    high = math.log(SLOWEST)
    return np.exp(np.linspace(low, high, 1 + round((high - low) / math.log(FINENESS))))


DEFAULT = Model()
PRUNING = Model(drift=0.0, seen=math.inf, noises=(1.0,))
"""What the pruner supposes: no drift, at a fraction of the time, for it forecasts every trial at each
evaluation.
"""


@dataclass(frozen=True)
class Forecast:
    """The objective at a trial's end, as far as it can be told."""

    mean: float
    deviation: float


@dataclass(frozen=True, eq=False)
class Mixture:
    """A mixture of normal distributions at each of m places: ``weights`` (c,), the others (c, m)."""

    weights: Array
    means: Array
    deviations: Array

    @property
    def mean(self) -> Array:
        return np.asarray(self.weights @ self.means)

    @property
    def deviation(self) -> Array:
        return np.asarray(np.sqrt(self.weights @ (self.deviations**2 + (self.means - self.mean) ** 2)))

    def below(self, values: Array) -> Array:
        """The probability of less than ``values`` (m,), at each place."""
        return np.asarray(self.weights @ ndtr((values - self.means) / np.maximum(self.deviations, 1e-12)))

    def quantile(self, probability: float) -> Array:
        """By bisection between bounds that hold for every component."""
        reach = 8 * self.deviations
        low, high = (self.means - reach).min(axis=0), (self.means + reach).max(axis=0)
        for _ in range(40):
            middle = (low + high) / 2
            under = self.below(middle) < probability
            low, high = np.where(under, middle, low), np.where(under, high, middle)
        return np.asarray((low + high) / 2)


class Posterior:
    """What a curve's evaluations say of it, under a model; ``places`` and horizons in the same unit."""

    def __init__(self, places: Array, values: Array, stderrs: Array, whole: float, model: Model) -> None:
        """
        Args:
            places: Where the evaluations were made, (n,), rising, from 0 to at most ``whole``.
            values: What they showed, (n,).
            stderrs: Their standard errors, (n,); all 0 where they are not known.
            whole: The extent of a whole trial: time constants, midpoints and drift are relative to it.
            model: What is supposed.
        """
        self.model, self.whole = model, whole
        x, values, stderrs = _thinned(places / whole, values, stderrs)
        self.last = float(x[-1])
        # Centred on the first value: where a curve begins says nothing about where it goes.
        self.first = float(values[0])
        self.scale = scale = max(1.0, float(np.abs(values).max()))
        noise = scale * _noise(values / scale, stderrs / scale)
        sds, chances = model.drifts
        noises = noise * np.array(model.noises)
        q = np.repeat((sds * scale) ** 2, len(noises))[:, None]  # (k, 1): every pair of drift and noise
        n2 = np.tile(noises**2, len(sds))[:, None]
        prior = np.repeat(chances, len(noises)) / len(noises)
        self.q, self.noise, self.shares = q, noise, np.tile(model.noises, len(sds))

        # The drift's covariance is q min(x_i, x_j). In its eigenbasis that of noise and drift is diagonal.
        extents, basis = np.linalg.eigh(np.minimum(x[:, None], x))
        z, u, r = basis.T @ (values - self.first), basis.sum(axis=0), model.rises(x, self.last) @ basis
        v = n2 + q * np.maximum(extents, 0)  # (k, n)
        w = 1 / v
        uu, uz, zz = w @ u**2, w @ (u * z), w @ z**2
        ur, rr, rz = w @ (u * r).T, w @ (r**2).T, w @ (r * z).T  # (k, shapes)

        # Bayesian linear regression on (b, a): b ~ N(first value, scale), a ~ N(0, RISE * scale).
        p_bb = (uu + 1 / scale**2)[:, None]
        p_ba, p_aa = ur, rr + 1 / (RISE * scale) ** 2
        m_b, m_a = uz[:, None], rz
        determinant = p_bb * p_aa - p_ba**2
        b = (p_aa * m_b - p_ba * m_a) / determinant
        a = (p_bb * m_a - p_ba * m_b) / determinant
        quadratic = zz[:, None] - b * m_b - a * m_a
        evidence = -(quadratic + np.log(determinant) + np.log(v).sum(axis=1)[:, None]) / 2
        evidence += np.log(prior)[:, None] + np.log(model.shape_weights(self.last))
        weights = np.exp(evidence - evidence.max())
        self.weights = weights / weights.sum()
        self.b, self.a = b, a
        self.v_bb, self.v_ba, self.v_aa = p_aa / determinant, -p_ba / determinant, p_bb / determinant
        # What the evaluations say of the drift at the last of them, where its covariance with them is q x.
        c = w * q * (x @ basis)
        self.d_mean, self.d_b, self.d_a = c @ z, c @ u, c @ r.T
        self.d_var = q[:, 0] * self.last - (c * (q * (x @ basis))).sum(axis=1)

    def ahead(self, horizons: Sequence[float] | Array, stderr: float | Array = 0.0) -> Mixture:
        """The curve itself at ``horizons`` (m,), none before the last evaluation.

        With ``stderr`` (m,) what an evaluation there will show, whose standard error that is.
        """
        h = np.asarray(horizons, float) / self.whole
        g = self.model.rises(h, self.last)  # (shapes, m)
        one = (1 - self.d_b)[:, None, None]
        slope = g - self.d_a[..., None]
        means = self.first + self.d_mean[:, None, None] + one * self.b[..., None] + slope * self.a[..., None]
        variances = one**2 * self.v_bb[..., None] + slope**2 * self.v_aa[..., None]
        variances += 2 * one * slope * self.v_ba[..., None] + self.d_var[:, None, None]
        seen = (self.shares[:, None] * stderr) ** 2  # (k, m) or (k, 1)
        return self._mixture(means, variances + self._drifted(h) + seen[:, None])

    def gain(self, horizons: Sequence[float] | Array) -> Mixture:
        """How far the curve at ``horizons`` (m,) will lie above where it is at the last evaluation."""
        h = np.asarray(horizons, float) / self.whole
        steeper = self.model.rises(h, self.last) - self.model.rises(np.array([self.last]), self.last)
        variances = steeper**2 * self.v_aa[..., None] + self._drifted(h)
        return self._mixture(steeper * self.a[..., None], variances)

    def _drifted(self, h: Array) -> Array:
        return self.q[..., None] * np.maximum(h - self.last, 0)

    def _mixture(self, means: Array, variances: Array) -> Mixture:
        places = means.shape[-1]
        deviations = np.sqrt(np.maximum(variances, 0))
        return Mixture(self.weights.ravel(), means.reshape(-1, places), deviations.reshape(-1, places))


def _noise(values: Array, stderrs: Array) -> float:
    """One noise level for the whole curve: single standard errors are themselves estimates, and may be 0.

    Where none is known, neighbours tell it, for most of what lies between them is noise. A few may lie on a
    line by chance, so that a guess counts too, the less the more there are (by the square, for long curves
    need none).
    """
    noise = math.sqrt(float(np.mean(stderrs**2)))
    if noise == 0:
        told = max(0, len(values) - 2)
        own = float(np.median(np.abs(np.diff(values, 2)))) / 0.6745 / math.sqrt(6) if told else 0.0
        weight = GUESSED**2 / (GUESSED**2 + told**2)
        noise = math.sqrt(weight * GUESS**2 + (1 - weight) * own**2)
    return max(noise, NOISE_FLOOR)


def _thinned(places: Array, values: Array, stderrs: Array) -> tuple[Array, Array, Array]:
    """Means over neighbours, where there are more than ``MOST_POINTS`` evaluations."""
    if len(places) <= MOST_POINTS:
        return places, values, stderrs
    starts = np.linspace(0, len(places), MOST_POINTS + 1).astype(int)[:-1]
    sizes = np.diff([*starts, len(places)])

    def mean(column: Array) -> Array:
        return np.add.reduceat(column, starts) / sizes

    return mean(places), mean(values), np.sqrt(mean(stderrs**2) / sizes)


class Curve:
    """A trial's evaluations; they do not change, so that forecasts are made once."""

    def __init__(self, evaluations: Iterable[Evaluation] = (), model: Model = PRUNING) -> None:
        self.evaluations = sorted(evaluations, key=lambda e: e.step)
        self.model = model
        self._forecasts: dict[int, Forecast] = {}

    @cached_property
    def by_step(self) -> dict[int, Evaluation]:
        return {e.step: e for e in self.evaluations}

    def until(self, step: int) -> Curve:
        """The curve as it was at ``step``."""
        if not self.evaluations or self.evaluations[-1].step <= step:
            return self
        return Curve((e for e in self.evaluations if e.step <= step), self.model)

    @cached_property
    def _in_flops(self) -> bool:
        """Whether progress is counted in FLOPs: where every evaluation behind the first step knows them."""
        trained = [e for e in self.evaluations if e.step > 0]
        return bool(trained) and all(e.flops > 0 for e in trained)

    def extent(self, last_step: int) -> float:
        """The whole trial in the unit of progress: steps to come cost what the newest known ones did."""
        if not self._in_flops:
            return last_step
        last = self.evaluations[-1]
        before = self.evaluations[-2] if len(self.evaluations) > 1 else Evaluation(0, 0.0, 0.0)
        return last.flops + (last_step - last.step) * (last.flops - before.flops) / (last.step - before.step)

    def posterior(self, last_step: int) -> Posterior:
        """What the evaluations say of a trial that ends at ``last_step``; there must be one at least."""
        places = np.array([e.flops if self._in_flops else e.step for e in self.evaluations], float)
        values, stderrs = np.array([(e.value, e.stderr) for e in self.evaluations], float).T
        return Posterior(places, values, stderrs, self.extent(last_step), self.model)

    def forecast(self, last_step: int) -> Forecast:
        """The value to expect at ``last_step``; there must be at least one evaluation."""
        if last_step not in self._forecasts:
            end = self.posterior(last_step).ahead([self.extent(last_step)])
            self._forecasts[last_step] = Forecast(float(end.mean[0]), float(end.deviation[0]))
        return self._forecasts[last_step]
