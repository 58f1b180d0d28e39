"""The Pareto front against its definition, tried on every pair of points."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

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
