"""The pictures of a sweep: every kind of setting, shares within their bounds, and a mark per state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure as Canvas

from harness.sweep.summary import Summary
from reports.figures import svg
from reports.figures import sweep as sweep_figures
from reports.study import Sweep


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


def test_the_interval_of_a_share_stays_within_its_bounds() -> None:
    one = sweep({"grpo.x": {"low": 0.0, "high": 1.0}}, [{"grpo.x": 0.1 * n} for n in range(11)])
    figure = sweep_figures.slices(one)  # values from 0 to 100%
    assert figure is not None
    canvas = Canvas()
    figure.panels[0].draw(canvas)
    [axes] = canvas.axes
    ends = [y for bars in axes.collections for segment in bars.get_segments() for _, y in segment]
    assert len(ends) == 22
    assert min(ends) == 0
    assert max(ends) == 100
    assert sorted(ends)[2] == pytest.approx(10 - 1.96 * 2)


def test_the_key_has_the_marks_of_the_timeline() -> None:
    one = sweep({"grpo.x": [1, 2]}, [{"grpo.x": 1}, {"grpo.x": 2}])
    trials = [
        trial.model_copy(update={"state": state})
        for trial, state in zip(one.summary.trials, ("pruned", "running"), strict=True)
    ]
    one = replace(one, summary=one.summary.model_copy(update={"trials": tuple(trials)}))
    figure = sweep_figures.timeline(one)
    assert figure is not None
    assert [(entry.label, entry.mark) for entry in figure.legend] == [
        ("pruned", "cross"),
        ("running", "triangle"),
    ]
