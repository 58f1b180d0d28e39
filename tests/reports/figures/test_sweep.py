"""The Pareto front against its definition, tried on every pair of points."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from harness.sweep import attempts
from harness.sweep.summary import Summary
from reports.collect import collect
from reports.figures import svg
from reports.figures import sweep as sweep_figures
from reports.study import Sweep


@pytest.mark.parametrize("maximize", [True, False])
def test_the_front_is_what_no_other_point_beats(maximize: bool) -> None:
    rng = random.Random(0)
    for _ in range(50):
        points = {i: (float(rng.randrange(8)), float(rng.randrange(8))) for i in range(12)}
        sign = 1 if maximize else -1

        def beats(a: int, b: int, points: dict[int, tuple[float, float]] = points, sign: int = sign) -> bool:
            (cost_a, value_a), (cost_b, value_b) = points[a], points[b]
            return cost_a <= cost_b and sign * value_a >= sign * value_b and points[a] != points[b]

        front = sweep_figures.undominated(points, maximize)
        free = {points[k] for k in points if not any(beats(other, k) for other in points)}
        assert {points[k] for k in front} == free
        assert len(front) == len(free)
        assert front == sorted(front, key=lambda key: points[key][0])


def test_the_figure_names_the_front_in_its_description(sweep_folder: Path) -> None:
    [sweep] = collect([sweep_folder]).sweeps
    [figure] = sweep_figures.pareto(sweep)
    [panel] = figure.panels
    best = max(
        (trial for trial in sweep.rows() if trial.state == "complete"), key=lambda trial: trial.value or 0.0
    )
    assert best.value is not None
    assert f"trial {best.number} {100 * best.value:.1f}%" in panel.alt


def sweep(space: dict[str, Any], params: Sequence[dict[str, Any]], **summary: Any) -> Sweep:
    """A finished sweep of one trial for each of ``params``."""
    rows = [
        {
            "number": i,
            "params": one,
            "state": "complete",
            "value": 0.1 * i,
            "stderr": 0.02,
            "history": [{"step": 1, "value": 0.1, "stderr": 0.02}],
            "metrics": {"length": 100.0},
        }
        for i, one in enumerate(params)
    ]
    told = {"name": "x", "objective": "dev/pass@1", "direction": "maximize", "trials": rows, **summary}
    return Sweep("k", Path(), Summary.model_validate(told), {"sweep": {"space": space}}, None, "done", {}, {})


@pytest.mark.parametrize(
    ("space", "values"),
    [
        # What Optuna stores of a table or a list is its JSON.
        ([{"low": 0.2, "high": 0.2}, {"low": 0.2, "high": 0.28}], ['{"high": 0.2, "low": 0.2}', None]),
        ({"choices": [[1, 2], [3]]}, ["[1, 2]", "[3]"]),
        ({"presets": {"short": {"low": 1}, "long": {"low": 2}}}, ["short", "long"]),
        # Trials of an earlier space.
        ([4, 8, 16], [2, 4]),
        ([4, 8, 16], ["none", 4]),
        ({"low": 1e-4, "high": 0.1, "log": True}, [0.0, 0.1]),
        ({"low": 0.1, "high": 0.4}, [None, None]),
        ({"low": 0.1, "high": 0.4}, ["auto", 0.2]),
        (None, [True, False]),
    ],
)
def test_every_kind_of_setting_is_drawn(space: object, values: list[object]) -> None:
    one = sweep({} if space is None else {"grpo.x": space}, [{"grpo.x": value} for value in values])
    for figure in (sweep_figures.slices(one), sweep_figures.parallel(one)):
        for panel in figure.panels if figure else ():
            assert svg.inline(panel).startswith("<svg")
    assert (sweep_figures.slices(one) is None) == (values == [None, None])


def test_choices_of_an_earlier_space_follow_those_of_today() -> None:
    table = {"low": 0.2, "high": 0.28}
    one = sweep({"grpo.x": [table]}, [{"grpo.x": '{"high": 0.28, "low": 0.2}'}, {"grpo.x": 0.3}])
    figure = sweep_figures.slices(one)
    assert figure is not None
    text = svg.inline(figure.panels[0])
    assert text.index("high: 0.28, low: 0.2") < text.index(">0.3<")


def test_a_trial_that_equals_the_best_is_not_called_beaten() -> None:
    one = sweep({"grpo.x": [1, 2, 3]}, [{"grpo.x": 1}, {"grpo.x": 2}, {"grpo.x": 3}])
    first, *others = (trial.model_copy(update={"value": 0.5}) for trial in one.rows())
    trials = (first.model_copy(update={"metrics": {"length": 200.0}}), *others)
    [figure] = sweep_figures.pareto(replace(one, summary=one.summary.model_copy(update={"trials": trials})))
    assert "not beaten: trial 1 50.0% at 100 tokens; trial 2 50.0% at 100 tokens." in figure.panels[0].alt


def test_the_front_says_over_how_many_steps_it_takes_the_mean() -> None:
    """The sweep judges a metric by the mean of its last steps: the caption has that number."""
    frame = pd.DataFrame({"step": range(1, 31), "length": [float(step) for step in range(1, 31)]})
    one = sweep({"grpo.x": [1, 2]}, [{"grpo.x": 1}, {"grpo.x": 2}])
    trials = tuple(trial.model_copy(update={"metrics": {}}) for trial in one.rows())
    summary = one.summary.model_copy(update={"trials": trials})
    one = replace(one, summary=summary, trials={0: frame, 1: frame})
    [figure] = sweep_figures.pareto(one)
    assert f"over the last {attempts.LAST_STEPS} steps" in figure.caption
    mean = sum(range(31 - attempts.LAST_STEPS, 31)) / attempts.LAST_STEPS
    assert f"at {mean:.4g} tokens" in figure.panels[0].alt
