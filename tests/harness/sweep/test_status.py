"""How a sweep stands, from its folder, at work and at its end."""

from __future__ import annotations

import csv
import multiprocessing
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from evals.base.errors import UsageError
from harness.cli import app
from harness.config import GRPO, Experiment, read_experiment
from harness.sweep.status import read_summary

Make = Callable[..., Experiment]


def test_a_sweep_at_work_shows_its_running_trials(
    make_experiment: Make,
    start_dispatcher: Callable[..., multiprocessing.process.BaseProcess],
    fake: Callable[..., None],
    tmp_path: Path,
) -> None:
    fake(hold=5, only="trial-1")
    start_dispatcher(make_experiment(trials=3, pruner="none"), tmp_path)
    while not (tmp_path / "trials/1/attempt-1/checkpoints/step-4").exists():
        time.sleep(0.01)
    first, second = read_summary(tmp_path).table()["trials"]
    assert (first["state"], first["history"][-1]["step"]) == ("complete", 10)
    assert (second["state"], second["step"], second["attempts"]) == ("running", 4, 1)
    assert second["value"] > 0
    tried = read_experiment([tmp_path / "trials/1/experiment.toml"]).stages[0]
    assert isinstance(tried, GRPO)
    asked = {"grpo.learning_rate": tried.learning_rate, "grpo.group_size": tried.group_size}
    assert second["params"] == asked
    shown = CliRunner().invoke(app, ["sweep", "--status", str(tmp_path)]).output
    assert "1 of 3 trials have ended." in shown
    (tmp_path / "trials/1/go").touch()


def test_an_ended_sweep_is_exported(make_experiment: Make, sweep_it: Any, tmp_path: Path) -> None:
    summary, _ = sweep_it(make_experiment(trials=3), tmp_path / "sweep")
    told = read_summary(tmp_path / "sweep").table()
    assert told.pop("cost")["launches"] == 3
    assert told == summary
    table = tmp_path / "trials.csv"
    done = CliRunner().invoke(app, ["sweep", "--out", str(tmp_path / "sweep"), "--export", str(table)])
    assert done.exit_code == 0
    rows = list(csv.DictReader(table.open()))
    assert [row["state"] for row in rows] == [trial["state"] for trial in summary["trials"]]
    assert float(rows[0]["grpo.learning_rate"]) == 1e-3


def test_a_folder_without_a_sweep_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"contains no sweep \(no experiment.toml\)"):
        read_summary(tmp_path)
