"""`harness sweep --watch`: what it shows of a sweep at work, from its folder alone."""

from __future__ import annotations

import io
import json
import multiprocessing
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from evals.base.errors import UsageError
from harness.cli import app, sweep_watch
from harness.config import Experiment
from harness.sweep.status import TrialStatus
from harness.sweep.timeleft import left_by_files
from harness.train.status import write_status

Make = Callable[..., Experiment]


def printed(picture: Any) -> str:
    console = Console(file=io.StringIO(), width=120)
    console.print(picture)
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_a_sweep_at_work(
    make_experiment: Make,
    start_dispatcher: Callable[..., multiprocessing.process.BaseProcess],
    fake: Callable[..., None],
    tmp_path: Path,
) -> None:
    fake(hold=5, only="trial-1")
    start_dispatcher(make_experiment(trials=3, pruner="none"), tmp_path)
    while not (tmp_path / "trials/1/attempt-1/checkpoints/step-4").exists():
        time.sleep(0.01)
    with (tmp_path / "trials/1/attempt-1/metrics.jsonl").open("a") as handle:
        handle.write(json.dumps({"step": 4, "reward": 0.8125}) + "\n")
    found = sweep_watch.look(tmp_path)
    first, second = found.summary.trials
    assert not found.over
    said = sweep_watch.line(found)
    assert said.startswith(f"trial 1: step 4/10, reward 0.812, dev {100 * (second.value or 0):.1f}% · best ")
    assert said.endswith("(trial 0) · 1 of 3 trials · running")
    lines = [line.strip() for line in printed(sweep_watch.picture(found, 20)).splitlines()]
    at_work = next(line for line in lines if line.startswith("trial 1 "))
    assert all(part in at_work for part in ("running", "4/10", "0.812"))
    best = next(line for line in lines if line.startswith("trial 0, best"))
    assert f"{100 * (first.value or 0):.1f} ± {100 * (first.stderr or 0):.1f}%" in best
    assert "2 more not shown" not in lines[-1]
    assert "1 more not shown" in printed(sweep_watch.picture(found, 1))
    (tmp_path / "trials/1/go").touch()


def test_the_end_of_a_sweep_ends_the_watching(make_experiment: Make, sweep_it: Any, tmp_path: Path) -> None:
    sweep_it(make_experiment(trials=3), tmp_path)
    write_status(tmp_path, "done")
    done = CliRunner().invoke(app, ["sweep", "--watch", str(tmp_path)])
    assert done.exit_code == 0
    (said,) = done.output.splitlines()  # CliRunner is no terminal
    assert said.endswith("3 of 3 trials · done")


def test_a_folder_without_a_sweep_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="contains no sweep"):
        sweep_watch.watch(tmp_path)


def run(state: str, steps: int, seconds: float) -> TrialStatus:
    return TrialStatus.model_validate(
        {"number": 0, "state": state, "value": None, "stderr": None, "step": steps, "seconds": seconds,
         "attempts": 1, "reason": "", "history": ()}
    )  # fmt: skip


@pytest.mark.parametrize(
    ("trials", "fresh", "left"),
    [
        ([], [], None),
        # 6 steps of the one at work; a trial to come as long as the others; 2 confirmations of 20 steps
        ([("complete", 10), ("pruned", 4), ("running", 4)], [], 6 * 2.0 + 7 * 2.0 + 2 * 20 * 2.0),
        ([("complete", 10)] * 4, [], 2 * 20 * 2.0),
        ([("complete", 10)] * 4, [("complete", 20), ("running", 15)], 5 * 2.0),
        ([("complete", 10)] * 4, [("complete", 20), ("complete", 20)], 0.0),
    ],
)
def test_the_time_left_by_the_files(
    make_experiment: Make, trials: list[Any], fresh: list[Any], left: float | None
) -> None:
    """Every step takes 2 s, on one worker."""
    experiment = make_experiment(trials=4, workers=1, confirm_seeds=2, confirm_steps=20)
    told = left_by_files(
        experiment, [run(s, n, 2.0 * n) for s, n in trials], [run(s, n, 2.0 * n) for s, n in fresh]
    )
    assert told == (None if left is None else pytest.approx(left))
