"""A run killed at any moment and started again gives the same bits as one that was left alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from evals.base import io
from harness.models.policy import Policy, save_policy
from harness.train import checkpoint

SCRIPT = Path(__file__).with_name("killed_runs.py")


def reproducible(path: Path) -> list[dict[str, Any]]:
    """The rows without what the clock and the memory of a process decide."""
    return [
        {
            name: value
            for name, value in row.items()
            if name not in {"time", "memory_gib"} and not name.startswith(("seconds/", "mfu"))
        }
        for row in io.read_lines(path)
    ]


def assert_same_run(mine: Path, whole: Path) -> None:
    for name in ("metrics.jsonl", "samples.jsonl"):
        assert reproducible(mine / name) == reproducible(whole / name)
    assert checkpoint.steps(mine / "checkpoints") == checkpoint.steps(whole / "checkpoints") == [5, 6]
    for step in (5, 6):
        ours, theirs = (run / "checkpoints" / f"step-{step}" for run in (mine, whole))
        assert (ours / "model.safetensors").read_bytes() == (theirs / "model.safetensors").read_bytes()
        assert_same(torch.load(ours / "trainer.pt"), torch.load(theirs / "trainer.pt"))


def assert_same(mine: Any, theirs: Any) -> None:
    if isinstance(mine, torch.Tensor):
        assert torch.equal(mine, theirs)
    elif isinstance(mine, dict):
        assert mine.keys() == theirs.keys()
        for key in mine:
            assert_same(mine[key], theirs[key])
    elif isinstance(mine, list | tuple):
        assert len(mine) == len(theirs)
        for one, other in zip(mine, theirs, strict=True):
            assert_same(one, other)
    else:
        assert mine == theirs


@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    ("kills", "write_kills", "seed"), [(2, 2, 1), pytest.param(8, 5, 2, marks=pytest.mark.slow)]
)
def test_killed_at_random_moments(
    tiny_random_policy: Policy, tmp_path: Path, kills: int, write_kills: int, seed: int
) -> None:
    model, runs = tmp_path / "model", tmp_path / "runs"
    save_policy(tiny_random_policy, model)
    command = [sys.executable, str(SCRIPT), str(model), str(runs), str(kills), str(write_kills), str(seed)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    whole, *killed = sorted(runs.iterdir(), key=lambda path: path.name != "whole")
    assert killed
    rows = reproducible(whole / "metrics.jsonl")
    assert [(row["step"], row["stage"]) for row in rows] == [
        *((step, "first") for step in (0, 1, 2, 3)),
        *((step, "second") for step in (4, 5, 6)),
    ]
    for folder in killed:
        assert_same_run(folder, whole)
