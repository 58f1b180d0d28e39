"""Where a trial is heading: the posterior against brute force, and forecasts that keep their word."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from harness.sweep.evaluation import Evaluation
from harness.sweep.forecast import NOISE_FLOOR, RISE, TIME_CONSTANTS, Curve


def saturating(height: float, tau: float, steps: int, noise: float = 0.0, seed: int = 0) -> Curve:
    generator = np.random.default_rng(seed)
    truth = [0.2 + (height - 0.2) * (1 - math.exp(-s / 10 / tau)) for s in range(steps + 1)]
    return Curve(
        Evaluation(s, v + float(generator.normal(0, noise)) if noise else v, noise or 0.01)
        for s, v in enumerate(truth)
    )


def test_the_posterior_is_that_of_brute_force() -> None:
    """Importance weights over a dense grid of (a, b) for each tau, with the model written out."""
    curve = saturating(0.7, 0.3, 4, noise=0.05, seed=3)
    values = np.array([e.value for e in curve.evaluations])
    places = np.array([e.step / 10 for e in curve.evaluations])
    noise = max(math.sqrt(np.mean([e.stderr**2 for e in curve.evaluations])), NOISE_FLOOR)
    a, b = np.meshgrid(np.linspace(-2.5, 2.5, 1201), np.linspace(values[0] - 0.4, values[0] + 0.4, 601))
    total, first, second = 0.0, 0.0, 0.0
    for tau in TIME_CONSTANTS:
        logs = stats.norm.logpdf(a, 0, RISE) + stats.norm.logpdf(b, values[0], 1.0)
        for place, value in zip(places, values, strict=True):
            logs = logs + stats.norm.logpdf(value, b + a * (1 - np.exp(-place / tau)), noise)
        weights = np.exp(logs)
        end = b + a * (1 - np.exp(-1 / tau))
        total += weights.sum()
        first += (weights * end).sum()
        second += (weights * end**2).sum()
    mean = first / total
    forecast = curve.forecast(10)
    assert forecast.mean == pytest.approx(mean, abs=2e-3)
    assert forecast.deviation == pytest.approx(math.sqrt(second / total - mean**2), rel=0.02)


def test_the_forecast_narrows_to_the_truth() -> None:
    curve = saturating(0.8, 0.3, 10)
    forecasts = [curve.until(step).forecast(10) for step in range(11)]
    truth = curve.by_step[10].value
    assert forecasts[10].mean == pytest.approx(truth, abs=0.01)
    assert forecasts[10].deviation < 0.02 < forecasts[2].deviation < forecasts[1].deviation
    assert forecasts[0].deviation == pytest.approx(RISE, rel=0.3)  # nothing known yet but the prior


@pytest.mark.parametrize("steps", [2, 4, 7])
def test_forecasts_keep_their_word(steps: int) -> None:
    """Over curves drawn from the model, the truth lies within one deviation about two times in three."""
    generator = np.random.default_rng(steps)
    inside = 0
    rounds = 400
    for seed in range(rounds):
        tau = float(generator.choice(TIME_CONSTANTS))
        height = 0.2 + float(generator.normal(0, RISE))
        curve = saturating(height, tau, steps, noise=0.03, seed=seed)
        truth = 0.2 + (height - 0.2) * (1 - math.exp(-1 / tau))
        forecast = curve.forecast(10)
        inside += abs(forecast.mean - truth) <= forecast.deviation
    assert 0.60 <= inside / rounds <= 0.80


def test_a_collapse_to_exactly_zero_is_no_certainty_and_no_crash() -> None:
    curve = Curve([Evaluation(0, 0.3, 0.03), *(Evaluation(s, 0.0, 0.0) for s in (2, 4, 6))])
    forecast = curve.forecast(10)
    assert forecast.mean < 0.1
    assert forecast.deviation > 0
    assert Curve([Evaluation(0, 0.0, 0.0)]).forecast(10).deviation > 0


def test_values_of_another_scale_are_forecast_alike() -> None:
    small, large = (
        Curve(Evaluation(e.step, k * e.value, k * e.stderr) for e in saturating(1.0, 0.3, 5).evaluations)
        for k in (2.0, 2000.0)
    )
    assert large.forecast(10).mean == pytest.approx(1000 * small.forecast(10).mean, rel=0.02)


def test_until_keeps_what_had_come() -> None:
    curve = Curve([Evaluation(4, 0.2, 0.1), Evaluation(0, 0.1, 0.1), Evaluation(8, 0.3, 0.1)])
    assert [e.step for e in curve.until(4).evaluations] == [0, 4]
    assert sorted(curve.by_step) == [0, 4, 8]
    assert Curve().until(3).evaluations == []
