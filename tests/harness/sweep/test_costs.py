"""The sweep's ledger: every launch counts, what it was handed does not, and nobody has to have been there."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.config import Experiment
from harness.sweep.attempts import Progress, prepare
from harness.sweep.costs import ledger
from harness.sweep.status import read_summary

Make = Callable[..., Experiment]
Sweep = Callable[..., tuple[dict[str, Any], list[Any]]]


def log(folder: Path, *rows: tuple[int, float]) -> None:
    with (folder / "metrics.jsonl").open("a", encoding="utf-8") as lines:
        for step, time in rows:
            row = {"step": step, "time": time, "tokens": 100, "flops/rollout": 1e9, "flops/update": 2e9}
            lines.write(json.dumps(row) + "\n")


def test_lost_work_counts_and_handed_work_does_not_count_twice(tmp_path: Path) -> None:
    job = tmp_path / "trials" / "3"
    first = prepare(job, 0, 1000.0, devices=2.0)
    log(first.folder, (1, 1001.0), (2, 1002.0), (3, 1003.0))
    (first.folder / "checkpoints" / "step-2").mkdir(parents=True)
    first.end("died", "gone", 1010.0)
    second = prepare(job, 0, 2000.0, devices=2.0)
    rows = (second.folder / "metrics.jsonl").read_text().splitlines()[:2]  # the run cuts back to step 2
    (second.folder / "metrics.jsonl").write_text("\n".join(rows) + "\n")
    log(second.folder, (3, 2003.0), (4, 2004.0))
    with (second.folder / "metrics.jsonl").open("a") as torn:
        torn.write('{"step": 5, "ti')
    second.end("done", "", 2006.0)
    found = ledger(tmp_path, price=3600.0).table()
    assert [(row["job"], row["attempt"], row["outcome"]) for row in found["launches"]] == [
        ("trials/3", 1, "died"),
        ("trials/3", 2, "done"),
    ]
    assert [row["tokens"] for row in found["launches"]] == [300, 200]
    assert [row["device_seconds"] for row in found["launches"]] == [20.0, 12.0]
    total = found["total"]
    assert (total["launches"], total["tokens"], total["device_seconds"]) == (2, 500, 32.0)
    assert total["flops"] == pytest.approx(15e9)
    assert total["cost"] == pytest.approx(32.0)
    assert ledger(tmp_path).total.cost is None
    shutil.rmtree(tmp_path / "trials")
    assert ledger(tmp_path).total.launches == 0


@pytest.mark.parametrize("value", ['"x"', "[1]", "null", "1" + "0" * 400])
@pytest.mark.parametrize("key", ["step", "tokens", "flops/update", "seconds/update", "devices", "stage"])
def test_what_is_no_number_counts_nothing(tmp_path: Path, key: str, value: str) -> None:
    """Whatever has damaged a line of a trial's metrics, the sweep's account and its status go on."""
    first = prepare(tmp_path / "trials/3", 0, 1000.0)
    log(first.folder, (1, 1001.0))
    with (first.folder / "metrics.jsonl").open("a") as lines:
        lines.write(f'{{"{key}": {value}}}\n')
    first.end("done", "", 1010.0)
    assert ledger(tmp_path).total.tokens == 100
    progress = Progress(first.folder / "metrics.jsonl", "dev/pass@1", ["tokens", "flops/update"])
    progress.refresh()
    assert progress.metrics() == {"tokens": 100.0, "flops/update": 2e9}


def test_a_sweep_leaves_its_ledger(make_experiment: Make, sweep_it: Sweep, tmp_path: Path) -> None:
    summary, _ = sweep_it(make_experiment(trials=4, confirm_seeds=1, device_hour_price=2.0), tmp_path)
    found = json.loads((tmp_path / "ledger.json").read_text())
    jobs = [row["job"] for row in found["launches"]]
    assert jobs == [*(f"trials/{n}" for n in range(4)), f"confirm/trial-{summary['winner']['trial']}/seed-1"]
    assert found["total"]["cost"] == pytest.approx(found["total"]["device_seconds"] * 2 / 3600, rel=1e-2)
    assert read_summary(tmp_path).table()["cost"] == found["total"]
