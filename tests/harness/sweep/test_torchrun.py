"""Trials that are several processes each: torchrun starts them, and they end with it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from evals.base.errors import UsageError
from harness.config import Experiment, validate
from harness.models.policy import Policy, save_policy
from harness.sweep.events import Event
from harness.sweep.executors.local import LocalExecutor
from harness.sweep.runner import run_sweep, trainer

SweepOf = Callable[..., Experiment]


@pytest.fixture
def sweep_of(tiny_random_policy: Policy, tmp_path: Path) -> SweepOf:
    """``sweep_of(processes)`` -> a sweep of one trial of three steps, evaluated and saved after each."""
    model = tmp_path / "model"
    save_policy(tiny_random_policy, model)

    def make(processes: int, **sweep: Any) -> Experiment:
        grpo = {
            "kind": "grpo",
            "steps": 3,
            "completions_per_step": 8,
            "group_size": 4,
            "learning_rate": 1e-3,
            "max_tokens": 16,
            "rewards": {"language": 1.0},
            "checkpoint_every": 1,
            "eval_every": 1,
        }
        raw = {
            "name": "several",
            "policy": {"model": str(model), "template": "tags", "device": "cpu"},
            "data": {"train": "tiny-math:train[:8]", "dev": "tiny-math:train[8:11]", "dev_samples": 2},
            "stages": [grpo],
            "sweep": {
                "trials": 1,
                "confirm_seeds": 0,
                "processes_per_trial": processes,
                "space": {"grpo.beta": [0.01]},
                **sweep,
            },
            "tracking": {"wandb": "off"},
        }
        return validate(raw, where="test")

    return make


def below(pid: int) -> list[psutil.Process]:
    """The processes at work that torchrun started."""
    return [p for p in psutil.Process(pid).children(recursive=True) if "harness.cli" in p.cmdline()]


@pytest.mark.timeout(600)
def test_a_killed_trial_of_two_processes_leaves_none_and_comes_to_what_one_process_does(
    sweep_of: SweepOf, tmp_path: Path
) -> None:
    alone = run_sweep(sweep_of(1), tmp_path / "one", executor=LocalExecutor(1)).table()
    workers: list[psutil.Process] = []

    def kill_once(event: Event) -> None:
        if event.kind == "step" and event.step == 1 and not workers:
            launched = [p for p in psutil.Process().children() if "torch.distributed.run" in p.cmdline()]
            workers.extend(below(launched[0].pid))
            os.kill(launched[0].pid, signal.SIGKILL)

    together = run_sweep(sweep_of(2), tmp_path / "two", executor=LocalExecutor(1), on_event=kill_once).table()

    assert len(workers) == 2
    assert not any(w.is_running() and w.status() != psutil.STATUS_ZOMBIE for w in workers)
    (trial,), (other,) = together["trials"], alone["trials"]
    assert (trial["state"], trial["attempts"], other["attempts"]) == ("complete", 2, 1)
    assert [e["step"] for e in trial["history"]] == [e["step"] for e in other["history"]]
    assert [e["value"] for e in trial["history"]] == pytest.approx([e["value"] for e in other["history"]])


@pytest.mark.timeout(600)
def test_a_node_of_ray_runs_both(sweep_of: SweepOf, ray_cluster: Any, tmp_path: Path) -> None:
    from harness.sweep.executors.ray_cluster import RayExecutor

    executor = RayExecutor(cpus=2.0)
    summary = run_sweep(sweep_of(2), tmp_path / "two", executor=executor).table()
    assert [trial["state"] for trial in summary["trials"]] == ["complete"]
    log = (tmp_path / "two" / summary["trials"][0]["run"] / "log.txt").read_text(encoding="utf-8")
    assert "Traceback" not in log


def test_one_process_needs_no_torchrun() -> None:
    assert "torch.distributed.run" not in trainer(1)
    assert "--nproc-per-node=3" in trainer(3)


def test_more_processes_than_gpus_are_refused(
    sweep_of: SweepOf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2")
    with pytest.raises(
        UsageError, match=r"processes_per_trial: 2 .* 1 of this machine's 3 fall to each of 2"
    ):
        run_sweep(sweep_of(2, workers=2), tmp_path / "local")
    with pytest.raises(UsageError, match=r"processes_per_trial: 4 .*gpus_per_trial is 2"):
        run_sweep(sweep_of(4, executor="ray", gpus_per_trial=2.0), tmp_path / "ray")
