"""kill -9 at random moments, of the dispatcher, of its runs, of both: nothing lost, nothing counted twice."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.config import Experiment
from tests.harness.sweep.torment import RunsIn, Start, check_nothing_lost, outcome, selected, torment

Make = Callable[..., Experiment]


@pytest.mark.parametrize(
    ("kills", "seed"),
    [(4, 0), pytest.param(16, 2, marks=pytest.mark.slow)],
)
def test_one_worker_comes_to_the_undisturbed_result(
    make_experiment: Make,
    sweep_it: Callable[..., Any],
    start_dispatcher: Start,
    runs_in: RunsIn,
    fake: Callable[..., None],
    tmp_path: Path,
    kills: int,
    seed: int,
) -> None:
    trials = max(6, kills // 2)
    experiment = make_experiment(trials=trials, confirm_seeds=1, max_attempts=1000)
    undisturbed, _ = sweep_it(experiment, tmp_path / "undisturbed")
    fake(delay=0.05)
    met = torment(start_dispatcher, runs_in, experiment, tmp_path / "killed", kills, seed)
    assert met >= kills // 2
    disturbed = check_nothing_lost(tmp_path / "killed", trials, 1)
    assert outcome(disturbed) == outcome(undisturbed)
    assert selected(disturbed) == selected(undisturbed)
    assert runs_in(tmp_path) == []


@pytest.mark.parametrize(("kills", "seed"), [(4, 4), pytest.param(16, 5, marks=pytest.mark.slow)])
def test_several_workers_lose_nothing(
    make_experiment: Make,
    start_dispatcher: Start,
    runs_in: RunsIn,
    fake: Callable[..., None],
    tmp_path: Path,
    kills: int,
    seed: int,
) -> None:
    trials = max(6, kills // 2)
    experiment = make_experiment(trials=trials, workers=3, confirm_seeds=2, max_attempts=1000)
    fake(delay=0.05)
    met = torment(start_dispatcher, runs_in, experiment, tmp_path / "killed", kills, seed)
    assert met >= kills // 2
    check_nothing_lost(tmp_path / "killed", trials, 2)
    assert runs_in(tmp_path) == []
