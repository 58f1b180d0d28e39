"""The pruner's promise: the best configuration survives, and most of the compute is saved."""

from __future__ import annotations

import numpy as np
import pytest

from harness.config import Sweep
from harness.sweep.pruners import Rule
from harness.sweep.simulate import (
    Population,
    Shape,
    compare_rules,
    draw_curves,
    evaluate,
    replay,
    simulate,
)

DEFAULT = Rule.of(Sweep())


def test_the_noise_is_what_the_evaluation_says_or_less() -> None:
    population = Population(trials=4000, evaluations=2, collapsing=0.0, gain=0.0)
    generator = np.random.default_rng(0)
    curves = draw_curves(population, generator)
    trials = evaluate(curves, population, generator)
    spread = np.std([trial[1].value for trial in trials])
    reported = np.mean([trial[1].stderr for trial in trials])
    variance = 0.3 * 0.7 / 2
    assert spread == pytest.approx(np.sqrt(variance * (0.2 + 1 / 4) / 200), rel=0.05)
    assert reported == pytest.approx(np.sqrt(variance * (1 + 1 / 4) / 200), rel=0.02)


@pytest.mark.parametrize(
    ("shape", "late", "fallen"),
    [("exponential", (0, 0), (0, 0)), ("sigmoid", (0.5, 0.9), (0, 0)), ("peaking", (0, 0.1), (0.5, 0.7))],
)
def test_curves_rise_late_or_peak_and_fall_as_their_shape_says(
    shape: Shape, late: tuple[float, float], fallen: tuple[float, float]
) -> None:
    """Where most of a rise comes after its first step, and where the end lies clearly below the best."""
    population = Population(trials=2000, shape=shape, collapsing=0.0)
    curves = draw_curves(population, np.random.default_rng(0))
    assert (curves[:, 0] == population.base).all()
    steps = np.diff(curves, axis=1)
    assert late[0] <= np.mean(steps.argmax(axis=1) > 0) <= late[1]
    assert fallen[0] <= np.mean(curves.max(axis=1) > curves[:, -1] + 1e-6) <= fallen[1]
    assert (curves <= population.base + population.gain).all()


def test_without_pruning_every_step_is_paid_for() -> None:
    nothing = simulate(Rule.of(Sweep(pruner="none")), Population(), sweeps=5)
    assert (nothing.survived, nothing.compute) == (1.0, 1.0)


def test_trials_run_side_by_side() -> None:
    population = Population(trials=7, evaluations=3)
    generator = np.random.default_rng(0)
    trials = evaluate(draw_curves(population, generator), population, generator)
    assert replay(Rule.of(Sweep(pruner="none")), trials, workers=3).lasts == [3] * 7


@pytest.mark.parametrize(("shape", "kept"), [("exponential", 0.95), ("sigmoid", 0.8), ("peaking", 0.85)])
def test_the_default_mostly_keeps_the_best_for_some_half(shape: Shape, kept: float) -> None:
    population = Population(shape=shape)
    result = simulate(DEFAULT, population, sweeps=60)
    assert result.survived >= kept
    assert result.compute <= 0.6
    unpruned = simulate(Rule.of(Sweep(pruner="none")), population, sweeps=60)
    assert result.regret <= unpruned.regret + 0.005


def test_a_repeatable_sweep_does_not_depend_on_paces_and_idles_little() -> None:
    population = Population(trials=16)
    for sweep in range(5):
        generator = np.random.default_rng(sweep)
        trials = evaluate(draw_curves(population, generator), population, generator)
        paces = [np.exp(generator.normal(size=16)).tolist() for _ in range(2)]
        first, second = (replay(DEFAULT, trials, 2, lag=4, paces=pace) for pace in paces)
        assert first.lasts == second.lasts
        assert min(first.lasts) < 10
    by_clock = simulate(DEFAULT, population, sweeps=30)
    repeatable = simulate(DEFAULT, population, sweeps=30, lag=4)
    assert repeatable.duration <= 1.2 * by_clock.duration


def test_every_pruner_is_compared_the_sweeps_own_first() -> None:
    rows = compare_rules(Sweep(trials=4, pruner="median"), sweeps=2)
    assert rows[0][0] == "median"
    assert dict(rows)["none"].compute == 1.0
    assert {name for name, _ in rows} == {"curve", "median", "halving", "hyperband", "none"}
