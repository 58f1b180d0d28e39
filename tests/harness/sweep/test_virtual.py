"""The real dispatcher over a simulated cluster in virtual time: nodes fail or are slow, nothing is lost."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from typing import Any

import pytest

from harness.config import validate
from harness.sweep.executors.virtual import HOUR, Hardware, VirtualCluster
from harness.sweep.runner import run_sweep

STEPS, TRIALS = 40, 24


def curve(experiment: dict[str, Any], step: int) -> tuple[float, float]:
    rate = experiment["stages"][0]["learning_rate"]
    height = 0.5 * math.exp(-((math.log10(rate) + 4) ** 2) / 2)
    noise = random.Random(f"{experiment['name']}{step}").gauss(0, 0.02)
    return 0.2 + height * (1 - math.exp(-4 * step / STEPS)) + noise, 0.02


def rehearse(folder: Path, hardware: Hardware, **sweep: Any) -> tuple[dict[str, Any], VirtualCluster]:
    raw = {
        "name": "rehearsed",
        "policy": {"model": "tiny"},
        "data": {"train": "tiny-aime:train", "dev": "tiny-aime:dev"},
        "stages": [{"kind": "grpo", "steps": STEPS, "eval_every": 10}],
        "sweep": {
            "trials": TRIALS,
            "workers": hardware.devices,
            "confirm_seeds": 0,
            "max_attempts": 20,
            "space": {"grpo.learning_rate": {"low": 1e-6, "high": 1e-2, "log": True}},
            **sweep,
        },
    }
    cluster = VirtualCluster(hardware, curve, TRIALS, seed=3)
    summary = run_sweep(
        validate(raw, where="test"), folder, executor=cluster, clock=cluster.clock, poll_seconds=60.0
    )
    return summary.table(), cluster


@pytest.mark.slow
def test_lost_nodes_lose_no_trial_and_count_none_twice(tmp_path: Path) -> None:
    hardware = Hardware(nodes=4, devices_per_node=4, node_lost_every=2 * HOUR, slow_share=0.25)
    summary, cluster = rehearse(tmp_path, hardware, pruner="none")
    trials = summary["trials"]
    assert [trial["number"] for trial in trials] == list(range(TRIALS))
    assert {trial["state"] for trial in trials} == {"complete"}
    assert cluster.nodes_lost > 2
    again = 0
    for trial in trials:
        steps = [json.loads(line)["step"] for line in (tmp_path / trial["run"] / "metrics.jsonl").open()]
        assert steps == list(range(1, STEPS + 1))
        assert [evaluation["step"] for evaluation in trial["history"]] == [10, 20, 30, 40]
        again += trial["attempts"] - 1
    assert again > 0  # some did lose their node
    assert cluster.paid >= cluster.useful >= TRIALS * STEPS * hardware.step
    goodput = cluster.useful / (cluster.paid + cluster.idle)
    # Few nodes and few losses: what chance gave is above or below the mean that ``attainable`` speaks of.
    assert 0.9 < goodput / hardware.attainable(cluster.useful / TRIALS) < 1.1


def test_without_losses_a_trial_costs_its_steps_and_one_start(tmp_path: Path) -> None:
    hardware = Hardware(nodes=2, devices_per_node=4, node_lost_every=1e9 * HOUR, slow_share=0.0)
    summary, cluster = rehearse(tmp_path, hardware, pruner="none", trials=16)
    assert [trial["attempts"] for trial in summary["trials"]] == [1] * 16
    assert cluster.useful == pytest.approx(16 * STEPS * hardware.step)
    assert cluster.paid == pytest.approx(16 * (STEPS * hardware.step + hardware.start_up))


def test_waiting_for_a_place_is_no_hang(tmp_path: Path) -> None:
    hardware = Hardware(nodes=1, devices_per_node=2, node_lost_every=1e9 * HOUR, slow_share=0.0)
    hours = STEPS * hardware.step / 3600
    summary, _ = rehearse(tmp_path, hardware, pruner="none", trials=6, workers=6, hang_minutes=20 * hours)
    assert [trial["attempts"] for trial in summary["trials"]] == [1] * 6
