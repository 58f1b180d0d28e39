"""What happens to machines: a disk that is full, a clock that jumps."""

from __future__ import annotations

import multiprocessing
import os
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evals.base.errors import JobError, UsageError
from harness.config import Experiment
from harness.sweep import study as study_module
from harness.sweep.runner import run_sweep
from harness.sweep.scheduler import Clock
from tests.harness.sweep.conftest import TRAINER
from tests.harness.sweep.torment import outcome

Make = Callable[..., Experiment]
Sweep = Callable[..., tuple[dict[str, Any], list[Any]]]
NO_ROOM = 28


def sweep_with_little_room(experiment: Experiment, folder: Path, largest: int) -> None:
    """A dispatcher no file of which can grow beyond ``largest`` bytes, nor of what it starts."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest))
    try:
        run_sweep(experiment, folder, command=TRAINER, poll_seconds=0.01)
    except (JobError, UsageError, OSError):
        os._exit(NO_ROOM)
    os._exit(0)


@pytest.mark.parametrize("largest", [20_000, 200_000, 400_000, 600_000])
def test_a_full_disk_stops_the_sweep_and_the_same_command_goes_on(
    largest: int, make_experiment: Make, sweep_it: Sweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = make_experiment(trials=6)
    expected, _ = sweep_it(experiment, tmp_path / "roomy")
    with monkeypatch.context() as patch:
        patch.setattr(study_module, "STORAGE_PATIENCE", 0.2)
        patch.setattr(study_module, "STORAGE_PAUSE", 0.01)
        process = multiprocessing.get_context("fork").Process(
            target=sweep_with_little_room, args=(experiment, tmp_path / "full", largest)
        )
        process.start()
        process.join()
    assert process.exitcode in (0, NO_ROOM)
    found, _ = sweep_it(experiment, tmp_path / "full")
    assert outcome(found) == outcome(expected)


@pytest.mark.parametrize("jump", [86_400.0, -86_400.0])
def test_a_clock_that_jumps_changes_nothing(
    jump: float, make_experiment: Make, sweep_it: Sweep, tmp_path: Path
) -> None:
    experiment = make_experiment(trials=6, workers=2)
    expected, _ = sweep_it(experiment, tmp_path / "steady")
    began = time.monotonic()
    clock = Clock(wall=lambda: time.time() + (jump if time.monotonic() - began > 0.5 else 0.0))
    found, _ = sweep_it(experiment, tmp_path / "jumping", clock=clock)
    assert outcome(found) == outcome(expected)
    assert all(trial["attempts"] == 1 and trial["seconds"] >= 0 for trial in found["trials"])
