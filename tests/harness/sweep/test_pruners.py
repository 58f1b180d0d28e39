"""When trials are ended: against Optuna's own median rule, and what the margin for noise changes."""

from __future__ import annotations

import math
from typing import Any

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.trial import TrialState, create_trial

from harness.sweep.evaluation import Evaluation
from harness.sweep.forecast import Curve
from harness.sweep.pruners import Rule

LAST = 100
values = st.floats(0, 1, width=32)
histories = st.lists(st.lists(values, min_size=1, max_size=5), min_size=1, max_size=8)


def rule(**changes: Any) -> Rule:
    defaults = {"kind": "median", "maximize": True, "warmup": 0, "startup": 1, "margin": 0.0, "reduction": 3}
    return Rule(**{**defaults, **changes})


def curve_of(values: list[float], stderr: float = 0.0) -> Curve:
    return Curve(Evaluation(step, value, stderr) for step, value in enumerate(values, start=1))


@settings(deadline=None)
@given(curve=st.lists(values, min_size=1, max_size=5), others=histories, maximize=st.booleans())
def test_without_a_margin_the_median_rule_is_optunas(
    curve: list[float], others: list[list[float]], maximize: bool
) -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(direction="maximize" if maximize else "minimize")
    for other in others:
        reported = dict(enumerate(other, start=1))
        study.add_trial(create_trial(value=other[-1], intermediate_values=reported))
    step = len(curve)
    study.add_trial(
        create_trial(state=TrialState.PRUNED, intermediate_values=dict(enumerate(curve, start=1)))
    )
    expected = optuna.pruners.MedianPruner(n_startup_trials=1, n_warmup_steps=0).prune(
        study, study.trials[-1]
    )
    reason = rule(maximize=maximize).decide(
        0, curve_of(curve), step, [curve_of(other) for other in others], LAST
    )
    assert (reason is not None) == expected


@settings(deadline=None)
@given(
    curve=st.lists(values, min_size=1, max_size=5),
    others=histories,
    margins=st.tuples(st.floats(0, 3), st.floats(0, 3)),
    kind=st.sampled_from(["curve", "median", "halving", "hyperband"]),
)
def test_a_wider_margin_never_ends_more(
    curve: list[float], others: list[list[float]], margins: tuple[float, float], kind: str
) -> None:
    narrow, wide = (
        rule(kind=kind, margin=margin).decide(
            0, curve_of(curve, 0.1), len(curve), [curve_of(other, 0.1) for other in others], LAST
        )
        for margin in sorted(margins)
    )
    assert narrow is not None or wide is None


def test_the_margin_is_in_standard_errors_of_the_difference() -> None:
    others = [curve_of([0.5], stderr=0.04)] * 3
    # hypot(0.03, 0.04) = 0.05
    assert rule(margin=1.0).decide(0, curve_of([0.451], stderr=0.03), 1, others, LAST) is None
    reason = rule(margin=1.0).decide(0, curve_of([0.449], stderr=0.03), 1, others, LAST)
    assert reason is not None
    assert "step 1: 0.449 against 0.5" in reason


@pytest.mark.parametrize("maximize", [True, False])
def test_halving_keeps_the_best_third_at_its_rungs(maximize: bool) -> None:
    sign = 1 if maximize else -1
    others = [curve_of([sign * value] * 9) for value in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6)]
    halving = rule(kind="halving", maximize=maximize)

    def ends(value: float, step: int) -> bool:
        return halving.decide(0, curve_of([sign * value] * 9), step, others, LAST) is not None

    assert [ends(0.43, step) for step in range(1, 10)] == [step in (1, 3, 9) for step in range(1, 10)]
    assert not ends(0.44, 1)  # the 2/3 quantile of the six is 0.4333


def test_hyperbands_later_brackets_skip_the_first_rungs() -> None:
    others = [curve_of([0.9] * 9)] * 3
    hyperband = rule(kind="hyperband")
    first = [
        next(
            step for step in range(1, 10) if hyperband.decide(number, curve_of([0.1] * 9), step, others, LAST)
        )
        for number in range(6)
    ]
    assert first == [1, 3, 9, 1, 3, 9]


def test_nothing_ends_before_warmup_or_startup_or_without_a_rule() -> None:
    others = [curve_of([0.9] * 5)] * 3
    bad = curve_of([0.1] * 5)
    assert rule(warmup=2).decide(0, bad, 2, others, LAST) is None
    assert rule(warmup=2).decide(0, bad, 3, others, LAST) is not None
    assert rule(startup=4).decide(0, bad, 3, others, LAST) is None
    assert rule(kind="none").decide(0, bad, 3, others, LAST) is None
    assert rule().decide(0, bad, 3, [], LAST) is None
    assert rule().decide(0, Curve(), 3, others, LAST) is None


def test_a_curve_that_dips_once_is_judged_by_its_best() -> None:
    others = [curve_of([0.5, 0.5])] * 3
    assert rule().decide(0, curve_of([0.6, 0.1]), 2, others, LAST) is None


def test_a_forecast_ends_what_cannot_come_up_and_spares_what_may() -> None:
    rising = Curve(Evaluation(s, 0.2 + 0.45 * (1 - math.exp(-s / 10)), 0.02) for s in range(0, 101, 10))
    flat = Curve(Evaluation(s, 0.2, 0.02) for s in range(0, 41, 10))
    late = Curve(Evaluation(s, 0.2 + 0.006 * s, 0.02) for s in range(0, 41, 10))  # behind, but on its way
    by_forecast = rule(kind="curve", margin=1.0)
    reason = by_forecast.decide(0, flat, 40, [rising], LAST)
    assert reason is not None
    assert reason.startswith("step 40: heading for 0.2 ")
    assert by_forecast.decide(0, late, 40, [rising], LAST) is None
    assert rule(margin=1.0).decide(0, late, 40, [rising], LAST) is not None
    assert by_forecast.decide(0, rising, 50, [flat, late], LAST) is None


def test_the_margin_of_forecasts_is_in_their_standard_deviations() -> None:
    """Both sides of the gap at which a trial ends: as much as both are uncertain, margin times."""
    better = Curve(Evaluation(s, 0.5, 0.02) for s in range(0, 101, 10))
    worse = Curve(Evaluation(s, 0.4, 0.02) for s in range(0, 41, 10))
    one, other = worse.forecast(LAST), better.forecast(LAST)
    just = (other.mean - one.mean) / (one.deviation + other.deviation)
    for factor, ends in ((0.98, True), (1.02, False)):
        by_forecast = rule(kind="curve", margin=factor * just)
        assert (by_forecast.decide(0, worse, 40, [better], LAST) is not None) == ends
    # Of several others the one whose lower end is highest is compared with, not the highest forecast.
    vague = Curve([Evaluation(0, 0.5, 0.3), Evaluation(10, 0.55, 0.3)])
    far = rule(kind="curve", margin=0.98 * just)
    assert vague.forecast(LAST).mean > other.mean
    told = far.decide(0, worse, 40, [better, vague], LAST)
    assert told == far.decide(0, worse, 40, [better], LAST) is not None


def test_a_share_is_never_told_to_head_below_zero_or_above_one() -> None:
    falling = Curve(Evaluation(s, 0.3 - 0.01 * s, 0.01) for s in range(0, 31, 10))
    rising = Curve(Evaluation(s, min(1.0, 0.6 + 0.02 * s), 0.01) for s in range(0, 21, 10))
    assert falling.forecast(LAST).mean < 0
    assert rising.forecast(LAST).mean > 1
    told = rule(kind="curve", share=True).decide(0, falling, 20, [rising], LAST)
    plain = rule(kind="curve").decide(0, falling, 20, [rising], LAST)
    assert told is not None
    assert plain is not None
    assert told.startswith("step 20: heading for 0.0 ± ")
    assert "another trial for 100.0 ± " in told
    assert "heading for -0." in plain


def test_nothing_ends_at_its_last_step() -> None:
    assert rule().decide(0, curve_of([0.1] * 5), 5, [curve_of([0.9] * 5)], 5) is None
