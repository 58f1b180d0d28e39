"""A small sweep of a stand-in trainer."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from harness.config import Experiment, validate
from harness.sweep.events import Event
from harness.sweep.runner import run_sweep
from tests.harness.sweep.fake_slurm import commands

HERE = Path(__file__).parent
TRAINER = (sys.executable, str(HERE / "fake_trainer.py"))

NO_RAY = "Ray is not installed (the extra `ray`)"
NO_SUBMITIT = "submitit is not installed (the extra `slurm`)"

SPACE: dict[str, Any] = {
    "grpo.learning_rate": {"low": 1e-5, "high": 1e-1, "log": True},
    "grpo.group_size": [2, 4, 8],
}


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[Any]:
    """A Ray cluster of two nodes with room for two attempts each, on this machine.

    Its processes have the nodes' environment: there, a step of the stand-in trainer takes 0.2 s.
    """
    ray = pytest.importorskip("ray", reason=NO_RAY)
    from ray.cluster_utils import Cluster

    from harness.sweep.executors.ray_cluster import connect

    with pytest.MonkeyPatch.context() as patch:
        path = [str(HERE.parents[2]), os.environ.get("PYTHONPATH", "")]
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, path)))
        patch.setenv("FAKE", json.dumps({"delay": 0.2}))
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
        for _ in range(2):
            cluster.add_node(num_cpus=2, object_store_memory=80 * 2**20)
    connect(cluster.address)
    yield cluster
    ray.shutdown()
    cluster.shutdown()


@pytest.fixture
def fake_slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Slurm's commands for jobs on this machine; the folder that has them all."""
    pytest.importorskip("submitit", reason=NO_SUBMITIT)
    home = tmp_path / "slurm"
    home.mkdir()
    monkeypatch.setenv("FAKE_SLURM", str(home))
    monkeypatch.setenv("PATH", f"{commands(home)}{os.pathsep}{os.environ['PATH']}")
    path = [str(HERE.parents[2]), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, path)))
    return home


@pytest.fixture
def make_experiment() -> Callable[..., Experiment]:
    """``make(stage={…}, **sweep)`` -> a sweep of 10 steps a trial, evaluated every second one."""

    def make(*, stage: dict[str, Any] | None = None, seed: int = 0, **sweep: Any) -> Experiment:
        grpo = {
            "kind": "grpo",
            "steps": 10,
            "eval_every": 2,
            "completions_per_step": 32,
            "group_size": 4,
            "learning_rate": 1e-3,
            **(stage or {}),
        }
        raw = {
            "name": "swept",
            "seed": seed,
            "policy": {"model": "tiny"},
            "data": {"train": "chain:train", "dev": "chain:dev"},
            "stages": [grpo],
            "eval": {"benchmarks": ["tiny-aime"]},
            "sweep": {"trials": 5, "confirm_seeds": 0, "startup_trials": 2, "space": SPACE, **sweep},
        }
        return validate(raw, where="test")

    return make


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Sets how the stand-in trainer misbehaves (see fake_trainer.py)."""
    return lambda **how: monkeypatch.setenv("FAKE", json.dumps(how))


@pytest.fixture
def sweep_it() -> Callable[..., tuple[dict[str, Any], list[Event]]]:
    """``sweep_it(experiment, folder)`` -> the summary and the events."""

    def sweep(experiment: Experiment, folder: Path, **options: Any) -> tuple[dict[str, Any], list[Event]]:
        events: list[Event] = []
        options = {"command": TRAINER, "poll_seconds": 0.01, "on_event": events.append, **options}
        return run_sweep(experiment, folder, **options).table(), events

    return sweep


@pytest.fixture
def start_dispatcher() -> Iterator[Callable[..., multiprocessing.process.BaseProcess]]:
    """``start_dispatcher(experiment, folder)`` -> a dispatcher in its own process; its exit on Ctrl-C is 130.

    The process is forked from the tests': nothing has to be imported again, so it can be killed often.
    """
    started: list[multiprocessing.process.BaseProcess] = []

    def dispatch(experiment: Experiment, folder: Path, options: dict[str, Any]) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # so do those of nohup with this one
        try:
            run_sweep(experiment, folder, command=TRAINER, poll_seconds=0.01, **options)
        except KeyboardInterrupt:
            os._exit(130)

    def start(experiment: Experiment, folder: Path, **options: Any) -> multiprocessing.process.BaseProcess:
        context = multiprocessing.get_context("fork")
        process = context.Process(target=dispatch, args=(experiment, folder, options))
        process.start()
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.join()


@pytest.fixture
def runs_in() -> Callable[[Path], list[psutil.Process]]:
    """``runs_in(folder)`` -> the trainers at work below it."""

    def find(folder: Path) -> list[psutil.Process]:
        found = []
        for process in psutil.process_iter():
            try:
                words = process.cmdline()
            except psutil.Error:
                continue
            if str(HERE / "fake_trainer.py") in words and any(f"{folder}/" in word for word in words):
                found.append(process)
        return found

    return find
