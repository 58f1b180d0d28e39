"""A sweep of real training processes that sample, train and measure, killed while they sample."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from harness.config import Experiment, validate
from harness.models.policy import Policy, save_policy
from harness.sweep.attempts import attempts_of
from harness.sweep.checks import check_sweep
from harness.sweep.runner import run_sweep
from harness.sweep.scheduler import Clock

SHORT = {"max_tokens": 8, "learning_rate": 1e-3}


@pytest.fixture
def experiment(make_random_policy: Callable[..., Policy], tmp_path: Path) -> Experiment:
    save_policy(make_random_policy(max_position_embeddings=512), tmp_path / "model")
    raw: dict[str, Any] = {
        "name": "real",
        "policy": {"model": str(tmp_path / "model"), "template": "tags", "device": "cpu"},
        "data": {"train": "tiny-math:train[:8]", "dev": "tiny-math:train[8:11]", "dev_samples": 2},
        "stages": [
            {"kind": "sft", "data": "tiny-traces", "steps": 2, "batch_size": 2, **SHORT},
            {
                "kind": "grpo", "steps": 2, "completions_per_step": 8, "group_size": 4, "eval_every": 1,
                "rewards": {"language": 1.0}, **SHORT,
            },
            {"kind": "evaluate", "name": "after"},
        ],
        "eval": {"benchmarks": ["tiny-aime"], "samples": 64, "max_tokens": 64, "temperature": 1.0},
        "sweep": {
            "trials": 1, "confirm_seeds": 1, "confirm_steps": 3, "max_attempts": 2,
            "space": {"grpo.beta": [0.01]},
        },
        "tracking": {"wandb": "off"},
    }  # fmt: skip
    return validate(raw, "test")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_trial_killed_while_it_is_measured_keeps_what_was_sampled(
    experiment: Experiment, tmp_path: Path
) -> None:
    check_sweep(experiment)
    folder = tmp_path / "sweep"
    kept: list[int] = []

    def rows(attempt: int) -> int:
        path = folder / f"trials/0/attempt-{attempt}/evals/after/tiny-aime/samples.jsonl"
        return len(path.read_bytes().splitlines()) if path.exists() else 0

    def kill_once(seconds: float) -> None:
        if not kept and rows(1):
            [run] = [p for p in psutil.Process().children() if "harness.cli" in p.cmdline()]
            os.kill(run.pid, signal.SIGKILL)
            while run.status() != psutil.STATUS_ZOMBIE:  # the executor is to reap it
                Clock().sleep(0.01)
            kept.append(rows(1))
        Clock().sleep(min(seconds, 0.01))

    summary = run_sweep(experiment, folder, clock=Clock(sleep=kill_once)).table()
    [trial] = summary["trials"]
    assert kept
    assert (trial["state"], trial["attempts"], trial["reason"]) == ("complete", 2, "")
    assert not (folder / "trials/0/attempt-1/evals").exists()
    assert rows(2) == 30 * 64 >= kept[0] > 0
    first, second = attempts_of(folder / "trials/0")
    assert (first.reached, second.start) == (4, 4)
    assert not (second.folder / ".alive").exists()  # it beat until its run was closed
    confirmed = (folder / "confirm/trial-0/seed-1/attempt-1/metrics.jsonl").read_text()
    assert '"step": 5' in confirmed  # two steps of sft, three of grpo
