"""The front of a sweep's trials, against a definition by pairs."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from harness.sweep import attempts
from reports.collect import collect
from reports.figures import pareto
from tests.reports.figures.test_sweep import sweep


@pytest.mark.parametrize("maximize", [True, False])
def test_the_front_is_what_no_other_point_beats(maximize: bool) -> None:
    rng = random.Random(0)
    for _ in range(50):
        points = {i: (float(rng.randrange(8)), float(rng.randrange(8))) for i in range(12)}
        sign = 1 if maximize else -1

        def beats(a: int, b: int, points: dict[int, tuple[float, float]] = points, sign: int = sign) -> bool:
            (cost_a, value_a), (cost_b, value_b) = points[a], points[b]
            return cost_a <= cost_b and sign * value_a >= sign * value_b and points[a] != points[b]

        front = pareto.undominated(points, maximize)
        free = {points[k] for k in points if not any(beats(other, k) for other in points)}
        assert {points[k] for k in front} == free
        assert len(front) == len(free)
        assert front == sorted(front, key=lambda key: points[key][0])


def test_the_figure_names_the_front_in_its_description(sweep_folder: Path) -> None:
    [sweep] = collect([sweep_folder]).sweeps
    [figure] = pareto.pareto(sweep)
    [panel] = figure.panels
    best = max(
        (trial for trial in sweep.rows() if trial.state == "complete"), key=lambda trial: trial.value or 0.0
    )
    assert best.value is not None
    assert f"trial {best.number} {100 * best.value:.1f}%" in panel.alt


def test_a_trial_that_equals_the_best_is_not_called_beaten() -> None:
    one = sweep({"grpo.x": [1, 2, 3]}, [{"grpo.x": 1}, {"grpo.x": 2}, {"grpo.x": 3}])
    first, *others = (trial.model_copy(update={"value": 0.5}) for trial in one.rows())
    trials = (first.model_copy(update={"metrics": {"length": 200.0}}), *others)
    [figure] = pareto.pareto(replace(one, summary=one.summary.model_copy(update={"trials": trials})))
    assert "not beaten: trial 1 50.0% at 100 tokens; trial 2 50.0% at 100 tokens." in figure.panels[0].alt


def test_the_front_says_over_how_many_steps_it_takes_the_mean() -> None:
    """The sweep judges a metric by the mean of its last steps: the caption has that number."""
    frame = pd.DataFrame({"step": range(1, 31), "length": [float(step) for step in range(1, 31)]})
    one = sweep({"grpo.x": [1, 2]}, [{"grpo.x": 1}, {"grpo.x": 2}])
    trials = tuple(trial.model_copy(update={"metrics": {}}) for trial in one.rows())
    summary = one.summary.model_copy(update={"trials": trials})
    one = replace(one, summary=summary, trials={0: frame, 1: frame})
    [figure] = pareto.pareto(one)
    assert f"over the last {attempts.LAST_STEPS} steps" in figure.caption
    mean = sum(range(31 - attempts.LAST_STEPS, 31)) / attempts.LAST_STEPS
    assert f"at {mean:.4g} tokens" in figure.panels[0].alt
