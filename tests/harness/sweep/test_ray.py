"""A sweep on a Ray cluster of two nodes, one of which is killed while it goes on."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from harness.config import Experiment
from harness.sweep.attempts import attempts_of
from harness.sweep.events import Event
from tests.harness.sweep.conftest import NO_RAY
from tests.harness.sweep.torment import RunsIn, check_nothing_lost, outcome

pytest.importorskip("ray", reason=NO_RAY)
from ray.cluster_utils import Cluster

from harness.sweep.executors.ray_cluster import RayExecutor

Make = Callable[..., Experiment]


def node_of(cluster: Cluster, process: psutil.Process) -> Any:
    """The node whose Ray daemon is an ancestor of the process."""
    ancestors = {parent.pid for parent in process.parents()}
    [node] = [n for n in cluster.worker_nodes if n.all_processes["raylet"][0].process.pid in ancestors]
    return node


def test_nodes_that_do_not_see_the_folder(
    ray_cluster: Cluster, make_experiment: Make, sweep_it: Any, runs_in: RunsIn, tmp_path: Path
) -> None:
    """Runs work in folders of their own, their files come back, and one that dies goes on from what came."""
    experiment = make_experiment(trials=3, workers=2, confirm_seeds=1, stage={"steps": 30, "eval_every": 10})
    expected, _ = sweep_it(experiment, tmp_path / "local")
    folder = tmp_path / "carried"
    killed: list[psutil.Process] = []

    def kill_a_run(event: Event) -> None:
        assert runs_in(folder) == []
        if not killed and event.kind == "step" and event.trial == 0 and (event.step or 0) > 0:
            killed.extend(p for p in runs_in(Path(tempfile.gettempdir())) if "/harness-" in str(p.cmdline()))
            killed[0].kill()

    executor = RayExecutor(address=f"file://{tmp_path}/address")
    summary, _ = sweep_it(experiment, folder, executor=executor, on_event=kill_a_run)
    assert killed
    assert outcome(summary) == outcome(expected)
    check_nothing_lost(folder, 3, 1)
    assert list((tmp_path / "address").iterdir()) == []


def test_a_node_that_dies_takes_no_trial_with_it(
    ray_cluster: Cluster, make_experiment: Make, sweep_it: Any, runs_in: RunsIn, tmp_path: Path
) -> None:
    experiment = make_experiment(trials=3, workers=2, confirm_seeds=1)
    expected, _ = sweep_it(experiment, tmp_path / "local")
    folder = tmp_path / "ray"
    orphans: list[psutil.Process] = []

    def kill_the_node_of_trial_0(event: Event) -> None:
        if not orphans and event.kind == "step" and event.trial == 0 and (event.step or 0) >= 4:
            orphans.extend(runs_in(folder / "trials/0"))
            ray_cluster.remove_node(node_of(ray_cluster, orphans[0]), allow_graceful=False)

    summary, _ = sweep_it(experiment, folder, executor=RayExecutor(), on_event=kill_the_node_of_trial_0)
    assert orphans
    assert not any(orphan.is_running() for orphan in orphans)
    assert outcome(summary) == outcome(expected)
    check_nothing_lost(folder, 3, 1)
    first, *_, last = attempts_of(folder / "trials/0")
    assert (first.outcome, first.reason, last.outcome) == ("died", "the process is gone", "done")
    assert runs_in(folder) == []
