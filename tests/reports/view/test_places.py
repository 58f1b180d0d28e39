"""What lies below a folder, and what it is called."""

from __future__ import annotations

from pathlib import Path

import pytest

from reports.collect import collect
from reports.view import places


@pytest.mark.parametrize(
    ("path", "title"),
    [
        ("sweep/trials/4/attempt-1", "trial 4"),
        ("sweep/trials/4/attempt-3", "trial 4, attempt 3"),
        ("sweep/confirm/trial-4/seed-2/attempt-1", "trial 4, seed 2"),
        ("compared/arms/rl-random/seed-1/attempt-2", "rl-random, seed 1, attempt 2"),
        ("attempt-1", "attempt-1"),
        ("runs/attempt-to-add", "attempt-to-add"),
        ("runs/mine", "mine"),
    ],
)
def test_the_folder_of_a_launch_is_called_by_what_it_is_of(path: str, title: str) -> None:
    assert places.title(Path("/runs") / path) == title


@pytest.mark.parametrize(("name", "kind"), [("arms", "comparison"), ("trials", "sweep")])
def test_a_folder_of_runs_may_hold_one_of_any_name(tmp_path: Path, name: str, kind: str) -> None:
    run = tmp_path / name / "mine"
    run.mkdir(parents=True)
    (run / "metrics.jsonl").write_text("")
    assert [(place.key, place.kind) for place in places.find(tmp_path)] == [(f"{name}/mine", "run")]
    assert collect([tmp_path]).empty
    (tmp_path / "experiment.toml").write_text("")
    assert [(place.key, place.kind) for place in places.find(tmp_path)] == [("", kind)]
