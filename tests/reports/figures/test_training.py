"""Learning curves from their first point on."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from matplotlib.figure import Figure as Canvas

from reports.figures import training
from reports.study import Study, Training


@pytest.mark.parametrize(("step", "right"), [(0, 1), (7, 7)])
def test_a_single_point_stands_on_an_axis_of_whole_steps(step: int, right: int) -> None:
    rows = pd.DataFrame([{"step": step, "dev/pass@1": 0.2, "dev/stderr": 0.1, "reward/accuracy": 0.5}])
    rows["reward/format"] = 0.25
    run = Training("rl", "rl", Path(), rows, "running", "", {}, None)
    drawn = [training.runs(Study(runs=[run])), training.rewards(run)]
    assert len(drawn) == 2
    for figure in drawn:
        assert figure is not None
        canvas = Canvas()
        figure.panels[0].draw(canvas)
        axis = canvas.axes[0]
        low, high = axis.get_xlim()
        assert -1 < low <= 0
        assert right <= high < right + 1
        assert all(float(tick).is_integer() for tick in axis.get_xticks())
