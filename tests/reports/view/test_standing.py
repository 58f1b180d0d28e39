"""How a folder stands: what is left of a sweep whose trials have all ended."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from harness.config import read_experiment
from harness.sweep.status import read_summary
from reports.view.standing import sweep_standing


def test_time_left_counts_the_confirmation(fresh_sweep: Path) -> None:
    shutil.rmtree(fresh_sweep / "confirm")
    (fresh_sweep / "status.json").unlink()
    summary = read_summary(fresh_sweep)
    ran = [trial for trial in summary.trials if trial.reached]
    pace = sum(trial.seconds for trial in ran) / sum(trial.reached for trial in ran)
    experiment = read_experiment([fresh_sweep / "experiment.toml"])
    assert experiment.sweep is not None
    runs = experiment.sweep.confirm_seeds * experiment.sweep.confirm_top
    assert runs > 0
    left = sweep_standing(fresh_sweep, summary).left
    assert left == pytest.approx(pace * 60 * runs / experiment.sweep.workers, rel=0.35)
    assert left is not None
    assert left >= pace * 60
