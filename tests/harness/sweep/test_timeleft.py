"""The time left of a simulated sweep, against the time that it then took."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from harness.config import Experiment
from harness.sweep.events import Counts, Event, Kind
from harness.sweep.executors.virtual import Hardware, VirtualCluster
from harness.sweep.runner import run_sweep
from harness.sweep.timeleft import TimeLeft

Make = Callable[..., Experiment]
CALM = Hardware(nodes=1, devices_per_node=8, node_lost_every=1e9, slow_share=0.0, start_up=60.0, step=300.0)


def curve(experiment: dict[str, Any], step: int) -> tuple[float, float]:
    return 0.2 + 0.01 * step, 0.01


def told(experiment: Experiment, folder: Path) -> list[tuple[float, float | None, str]]:
    """(time, seconds left as told then, kind of event) of a sweep whose runs take virtual time."""
    cluster = VirtualCluster(CALM, curve, trials=6)
    left = TimeLeft(experiment, clock=lambda: cluster.now)
    found: list[tuple[float, float | None, str]] = []

    def show(event: Event) -> None:
        left.take(event)
        found.append((cluster.now, left.seconds, event.kind))

    run_sweep(
        experiment,
        folder,
        executor=cluster,
        clock=cluster.clock,
        poll_seconds=1.0,
        on_event=show,
        command=("x",),
    )
    return found


@pytest.mark.parametrize(
    "sweep",
    [
        {"workers": 1, "confirm_seeds": 1},
        {"workers": 2, "confirm_seeds": 3, "confirm_steps": 40},
        {"workers": 3, "confirm_seeds": 2, "confirm_top": 2},
    ],
)
def test_what_is_told_is_what_it_takes(make_experiment: Make, tmp_path: Path, sweep: dict[str, Any]) -> None:
    experiment = make_experiment(trials=6, pruner="none", **sweep)
    found = told(experiment, tmp_path)
    end = found[-1][0]
    known = [(at, left) for at, left, _ in found if left is not None]
    assert len(known) > 20
    assert all(left == pytest.approx(end - at, rel=0.25, abs=700) for at, left in known)
    assert known[-1][1] == 0


def test_it_does_not_grow_while_the_winner_is_confirmed(make_experiment: Make, tmp_path: Path) -> None:
    found = told(make_experiment(trials=3, pruner="none", confirm_seeds=2, confirm_steps=30), tmp_path)
    last = max(i for i, (_, _, kind) in enumerate(found) if kind == "complete")
    while_confirming = [left for _, left, _ in found[last:] if left is not None]
    assert all(later <= earlier * 1.02 for earlier, later in pairwise(while_confirming))
    assert while_confirming[0] > 2 * 30 * 300 * 0.9


def after(left: TimeLeft, now: list[float], total: int, *events: tuple[float, Kind, int | None]) -> None:
    """Tells of the first trial's (time, kind, step)."""
    for now[0], kind, step in events:
        ended = int(kind == "complete")
        counts = Counts(complete=ended, pruned=0, failed=0, running=1 - ended, total=total)
        left.take(Event(kind, counts, 0, step=step, dev_seconds=20.0, attempt=1, job="trials/0"))


@pytest.mark.parametrize(("evaluations", "seconds"), [(0.0, 0.0), (3.0, 60.0)])
def test_the_evaluation_of_base_and_winner_is_counted(
    make_experiment: Make, evaluations: float, seconds: float
) -> None:
    """3 times the completions of an evaluation of the dev questions, which took 20 s."""
    experiment, now = make_experiment(trials=1, pruner="none", confirm_seeds=0), [0.0]
    left = TimeLeft(experiment, clock=lambda: now[0], evaluations=evaluations)
    steps = sum(stage.steps for stage in experiment.stages)
    after(left, now, 1, (0, "started", None), (9, "step", 0), (99, "step", steps), (99, "complete", steps))
    assert left.seconds == seconds


def test_what_a_start_takes_is_not_taken_for_a_step(make_experiment: Make) -> None:
    experiment, now = make_experiment(trials=2, workers=1, pruner="none", confirm_seeds=0), [0.0]
    left = TimeLeft(experiment, clock=lambda: now[0])
    steps = sum(stage.steps for stage in experiment.stages)
    after(left, now, 2, (0, "started", None), (60, "step", 0), (61, "step", 1))
    assert left.seconds == (steps - 1) + 60 + steps


def test_nothing_is_told_before_a_step_was_done(make_experiment: Make) -> None:
    assert TimeLeft(make_experiment(trials=3)).seconds is None
