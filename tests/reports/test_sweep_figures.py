"""The Pareto front against its definition, tried on every pair of points."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from reports import sweep_figures
from reports.collect import collect


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
        (trial for trial in sweep.rows() if trial["state"] == "complete"), key=lambda trial: trial["value"]
    )
    assert f"trial {best['number']} {100 * best['value']:.1f}%" in panel.alt
