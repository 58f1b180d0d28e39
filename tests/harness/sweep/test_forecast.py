"""Where a trial is heading: the posterior against brute force, and forecasts that keep their word."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from harness.sweep.evaluation import Evaluation
from harness.sweep.forecast import DEFAULT, MOST_POINTS, PRUNING, RISE, Curve, Model

BARE = replace(PRUNING, sigmoid=False)
TIME_CONSTANTS = np.exp(np.linspace(math.log(0.05), math.log(2.0), 9))


def saturating(
    height: float, tau: float, steps: int, noise: float = 0.0, seed: int = 0, model: Model = BARE
) -> Curve:
    generator = np.random.default_rng(seed)
    truth = [0.2 + (height - 0.2) * (1 - math.exp(-s / 10 / tau)) for s in range(steps + 1)]
    evaluations = [
        Evaluation(s, v + float(generator.normal(0, noise)) if noise else v, noise or 0.01)
        for s, v in enumerate(truth)
    ]
    return Curve(evaluations, model)


def by_joint_normals(curve: Curve, end: float) -> tuple[float, float]:
    """Mean and deviation at ``end`` from the joint normal of evaluations and end, shape by shape."""
    values = np.array([e.value for e in curve.evaluations])
    places = np.array([e.step / end for e in curve.evaluations])
    noise = math.sqrt(np.mean([e.stderr**2 for e in curve.evaluations]))
    model = curve.model
    x = np.append(places, 1.0)
    # Evaluations cover two fifths of the way, so that the grid is the whole one.
    shapes = [(1 - np.exp(-x / t), 0.5 / 9) for t in TIME_CONSTANTS]
    if model.sigmoid:
        pairs = itertools.product(TIME_CONSTANTS, (1.0, 1.7, 3.0))
        shapes += [(x**e / (x**e + c**e), 0.5 / 27) for c, e in pairs]
    total = first = second = 0.0
    for g, chance in shapes:
        for drift, drift_chance in zip(*model.drifts, strict=True):
            for share in model.noises:
                joint = 1.0 + RISE**2 * np.outer(g, g) + drift**2 * np.minimum.outer(x, x)
                seen = joint[:-1, :-1] + (share * noise) ** 2 * np.eye(len(values))
                gap = values - values[0]
                weight = chance * drift_chance * stats.multivariate_normal(cov=seen).pdf(gap)
                solved = np.linalg.solve(seen, joint[:-1, -1])
                mean = values[0] + solved @ gap
                total += weight
                first += weight * mean
                second += weight * (joint[-1, -1] - solved @ joint[:-1, -1] + mean**2)
    return first / total, math.sqrt(second / total - (first / total) ** 2)


@pytest.mark.parametrize("model", [BARE, PRUNING, DEFAULT])
def test_the_posterior_is_that_of_joint_normals(model: Model) -> None:
    curve = saturating(0.7, 0.3, 4, noise=0.05, seed=3, model=model)
    mean, deviation = by_joint_normals(curve, 10)
    forecast = curve.forecast(10)
    assert forecast.mean == pytest.approx(mean, abs=1e-6)
    assert forecast.deviation == pytest.approx(deviation, rel=1e-5)


def test_quantiles_and_probabilities_agree_and_widen_with_the_horizon() -> None:
    posterior = saturating(0.6, 0.3, 5, noise=0.02, model=DEFAULT).posterior(20)
    ahead = posterior.ahead([5, 10, 20])
    ends = [ahead.quantile(p) for p in (0.025, 0.1, 0.5, 0.9, 0.975)]
    assert all((low < high).all() for low, high in itertools.pairwise(ends))
    np.testing.assert_allclose(ahead.below(ends[1]), 0.1, atol=1e-9)
    width = ends[3] - ends[1]
    assert (np.diff(width) > 0).all()
    seen = posterior.ahead([5, 10, 20], 0.1)
    assert (seen.quantile(0.9) - seen.quantile(0.1) > width).all()
    # A gain is the curve then less the curve now.
    np.testing.assert_allclose(posterior.gain([5, 20]).mean, ahead.mean[[0, 2]] - ahead.mean[0], atol=1e-9)
    assert posterior.gain([5]).deviation[0] == pytest.approx(0, abs=1e-9)


def test_a_curve_that_peaked_and_fell_is_uncertain() -> None:
    """The formulas know no peak: the drift has to make up for it."""
    values = [0.3, 0.5, 0.6, 0.62, 0.55, 0.45]
    evaluations = [Evaluation(10 * s, v, 0.02) for s, v in enumerate(values)]
    before = Curve(evaluations[:4], DEFAULT).posterior(100).ahead([100])
    bare = Curve(evaluations[:4], BARE).posterior(100).ahead([100])
    assert before.below(np.array([0.45]))[0] > bare.below(np.array([0.45]))[0]
    after, bare = (Curve(evaluations, m).posterior(100).ahead([100]) for m in (DEFAULT, BARE))
    assert after.deviation[0] > 3 * bare.deviation[0]
    assert after.quantile(0.025)[0] < 0.4
    assert after.quantile(0.975)[0] > 0.6


def test_what_has_levelled_off_stays_level_however_far_ahead_one_looks() -> None:
    evaluations = [Evaluation(s, 0.3 + 0.4 * (1 - math.exp(-s / 5)), 0.01) for s in range(0, 61, 5)]
    ahead = Curve(evaluations, DEFAULT).posterior(3000).ahead([3000])
    assert ahead.quantile(0.1)[0] < 0.75
    assert ahead.mean[0] == pytest.approx(0.7, abs=0.2)


def test_a_long_curve_is_thinned_and_forecast_alike() -> None:
    generator = np.random.default_rng(0)
    truth = [0.2 + 0.5 * (1 - math.exp(-s / 300)) for s in range(601)]
    long = Curve(Evaluation(s, v + float(generator.normal(0, 0.05)), 0.05) for s, v in enumerate(truth))
    long = Curve(long.evaluations, DEFAULT)
    assert len(long.evaluations) > MOST_POINTS
    forecast = long.forecast(900)
    assert abs(forecast.mean - (0.2 + 0.5 * (1 - math.exp(-3)))) < 2.5 * forecast.deviation
    assert forecast.deviation < 0.1


def test_where_no_standard_error_is_known_neighbours_tell_the_noise() -> None:
    generator = np.random.default_rng(1)
    values = 0.5 + generator.normal(0, 0.04, 30)
    unknown, known = (
        Curve([Evaluation(s, float(v), noise) for s, v in enumerate(values)], DEFAULT).forecast(40)
        for noise in (0.0, 0.04)
    )
    assert unknown.mean == pytest.approx(known.mean, abs=0.05)
    assert unknown.deviation == pytest.approx(known.deviation, rel=0.5)


def test_a_few_values_on_a_line_by_chance_are_no_certainty() -> None:
    """Three evaluations of 30 questions that happen to rise evenly, without their standard errors."""
    ahead = Curve([Evaluation(50 * n, v, 0.0) for n, v in ((1, 0.3), (2, 1 / 3), (3, 11 / 30))], DEFAULT)
    end = ahead.posterior(400).ahead([400])
    assert end.quantile(0.1)[0] < 0.35
    assert end.quantile(0.9)[0] > 0.45


def test_the_forecast_narrows_to_the_truth() -> None:
    curve = saturating(0.8, 0.3, 10)
    forecasts = [curve.until(step).forecast(10) for step in range(11)]
    truth = curve.by_step[10].value
    assert forecasts[10].mean == pytest.approx(truth, abs=0.01)
    assert forecasts[10].deviation < 0.02 < forecasts[2].deviation < forecasts[1].deviation
    assert forecasts[0].deviation == pytest.approx(RISE, rel=0.3)  # nothing known yet but the prior


@pytest.mark.parametrize("steps", [2, 4, 7])
def test_forecasts_keep_their_word(steps: int) -> None:
    """Over curves drawn from the exponential, the truth lies within one deviation as often as it should.

    For that model alone two times in three; the average over more models is wider.
    """
    generator = np.random.default_rng(steps)
    inside = wide = 0
    rounds = 400
    for seed in range(rounds):
        tau = float(generator.choice(TIME_CONSTANTS))
        height = 0.2 + float(generator.normal(0, RISE))
        curve = saturating(height, tau, steps, noise=0.03, seed=seed, model=BARE)
        truth = 0.2 + (height - 0.2) * (1 - math.exp(-1 / tau))
        forecast = curve.forecast(10)
        inside += abs(forecast.mean - truth) <= forecast.deviation
        average = Curve(curve.evaluations, DEFAULT).forecast(10)
        wide += abs(average.mean - truth) <= average.deviation
    assert wide / rounds >= 0.68
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


def test_progress_is_counted_in_flops_where_they_are_known() -> None:
    values = [0.3, 0.4, 0.45, 0.475]
    even = Curve(Evaluation(10 * n, v, 0.01) for n, v in enumerate(values))
    costed = Curve(Evaluation(10 * n, v, 0.01, 5e9 * n) for n, v in enumerate(values))
    assert costed.extent(100) == 5e10
    assert costed.forecast(100).mean == pytest.approx(even.forecast(100).mean)
    # The last gain took three times the compute of the one before: the curve is levelling off.
    dearer = Curve(
        Evaluation(10 * n, v, 0.01, f) for n, v, f in zip(range(4), values, [0, 1e9, 2e9, 5e9], strict=True)
    )
    assert dearer.extent(100) == pytest.approx(5e9 + 70 * 3e8)
    assert dearer.forecast(100).mean < even.forecast(100).mean
    assert Curve([*dearer.evaluations, Evaluation(40, 0.49, 0.01)]).extent(100) == 100  # one is not known
