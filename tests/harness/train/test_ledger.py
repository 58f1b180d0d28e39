"""What a run cost, from its files; launches that were killed."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path

import pytest

from evals.base import io
from harness import config
from harness.config import GRPO, SFT, Data, Experiment, Reject
from harness.train import ledger
from harness.train.ledger import Cost, Launches, devices, stage_costs
from harness.train.run_dir import Run

STAGES = (
    SFT(name="cold", data="tiny-traces"),
    Reject(name="kept"),
    Reject(name="taught", teacher=config.Policy(model="tiny")),
    GRPO(name="rl"),
)
ROWS = [
    {"step": 0, "stage": "cold", "seconds/dev": 9.0},
    {"step": 1, "stage": "cold", "tokens": 10.0, "flops/update": 30.0, "seconds/update": 1.0},
    {"step": 2, "stage": "rl", "tokens": 50.0, "flops/rollout": 5.0, "flops/update": None,
     "seconds/rollout": 2.0, "seconds/reward": 0.5, "seconds/update": 1.0, "seconds/dev": 7.0},
    {"step": 3, "stage": "rl", "tokens": 50.0, "flops/rollout": 5.0, "flops/update": 9.0},
]  # fmt: skip
PAID = {"tokens": 7, "flops": 70.0, "device_seconds": 0.5}


def write(folder: Path) -> Path:
    folder.joinpath("metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    for name in ("kept", "taught"):
        path = folder / "data" / f"{name}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps({"rules": {"kept": 1}, "cost": PAID}))
    return folder


def test_costs_by_stage_leave_evaluations_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "devices", lambda: 1)
    assert stage_costs(write(tmp_path), STAGES) == [
        Cost("cold", "sft", False, 1, 10, 30.0, 1.0),
        Cost("kept", "reject", False, 0, 7, 70.0, 0.5),
        Cost("taught", "reject", True, 0, 7, 70.0, 0.5),
        Cost("rl", "grpo", False, 2, 100, 19.0, 3.5),
    ]


def test_a_teacher_of_unknown_shape_costs_what_nobody_knows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not a number, which JSON does not have: null in the file."""
    monkeypatch.setattr(ledger, "devices", lambda: 1)
    io.write_json(write(tmp_path) / "data" / "taught.json", {"cost": {**PAID, "flops": math.nan}})
    assert math.isnan(stage_costs(tmp_path, STAGES)[2].flops)
    Launches(tmp_path, STAGES).close()
    assert "NaN" not in (tmp_path / "ledger.json").read_text()


def test_a_launch_that_was_killed_ends_with_its_last_sign_of_life(tmp_path: Path) -> None:
    import os

    write(tmp_path)
    killed = Launches(tmp_path, STAGES)
    began = killed._launches[-1].started
    os.utime(tmp_path / ".alive", (began + 100, began + 100))
    again = Launches(tmp_path, STAGES)
    again.close()
    told = json.loads((tmp_path / "ledger.json").read_text())
    assert told["launches"][0] == {"started": began, "ended": pytest.approx(began + 100, abs=1e-3)}
    assert told["paid_device_seconds"] >= 99.9
    assert [stage["stage"] for stage in told["stages"]] == ["cold", "kept", "taught", "rl"]


def test_a_run_knows_what_each_launch_took(tmp_path: Path) -> None:
    experiment = Experiment(name="x", policy=config.Policy(model="tiny"), data=Data(train="a"), stages=STAGES)
    for _ in range(2):
        run = Run(tmp_path, experiment)
        run.log(1, "rl", {"tokens": 3.0})
        run.close()
    told = json.loads((tmp_path / "ledger.json").read_text())
    assert len(told["launches"]) == 2
    assert all(launch["ended"] >= launch["started"] for launch in told["launches"])
    assert not (tmp_path / ".alive").exists()


def test_a_clock_that_is_set_back_costs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path)
    launches = Launches(tmp_path, STAGES)
    began = launches._launches[-1].started
    monkeypatch.setattr(time, "time", lambda: began - 86_400.0)
    launches.close()
    told = json.loads((tmp_path / "ledger.json").read_text())
    assert told["launches"][0]["ended"] >= told["launches"][0]["started"]
    assert 0 <= told["paid_device_seconds"] < 60


def test_launches_on_other_numbers_of_devices_stay_paid_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path)
    for many in (4, 1):
        monkeypatch.setattr("harness.train.ledger.devices", lambda many=many: many)
        launches = Launches(tmp_path, STAGES)
        launches._began -= 10.0
        launches.close()
    assert json.loads((tmp_path / "ledger.json").read_text())["paid_device_seconds"] == pytest.approx(
        50, abs=1
    )


def test_steps_are_paid_for_on_the_devices_they_ran_on() -> None:
    row = {"step": 1, "seconds/update": 10.0}
    assert Cost("a", "grpo").plus(row).plus({**row, "devices": 4}).device_seconds == 50.0


def test_a_process_works_on_one_device_of_a_machine_that_has_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 8)
    assert devices() == 1
    monkeypatch.setattr("harness.models.dist.world", lambda: 4)
    assert devices() == 4


@pytest.mark.parametrize("text", ["{", "[]", '{"launches": 3}', '{"launches": [{"ended": 1}]}', "\x00"])
def test_a_damaged_ledger_is_begun_anew(tmp_path: Path, text: str) -> None:
    write(tmp_path)
    (tmp_path / "ledger.json").write_text(text)
    Launches(tmp_path, STAGES).close()
    told = json.loads((tmp_path / "ledger.json").read_text())
    assert len(told["launches"]) == 1
    assert [stage["stage"] for stage in told["stages"]] == ["cold", "kept", "taught", "rl"]


def test_a_run_beats_until_it_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.train.heartbeat.BEAT_SECONDS", 0.01)
    experiment = Experiment(name="x", policy=config.Policy(model="tiny"), data=Data(train="a"), stages=STAGES)
    run = Run(tmp_path, experiment)
    seen: set[int] = set()
    deadline = time.monotonic() + 30
    while len(seen) < 3 and time.monotonic() < deadline:
        seen.add((tmp_path / ".alive").stat().st_mtime_ns)
    run.close()
    assert len(seen) == 3
    assert not (tmp_path / ".alive").exists()
