"""Files from before they said their version: read, and written again with the same content."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from evals.base.versioned import Versioned
from harness.sweep.costs import SweepLedger
from harness.sweep.status import SweepStatus
from harness.sweep.summary import Summary
from harness.train.ledger import RunLedger
from harness.train.manifest import Manifest, SweepManifest
from harness.train.status import Status
from reports.arms import Arms

RECORDED = Path(__file__).parent / "recorded"
KINDS: dict[str, type[Versioned]] = {
    "summary.json": Summary,
    "ledger.json": SweepLedger,
    "run-ledger.json": RunLedger,
    "manifest.json": SweepManifest,
    "status.json": Status,
    "arms.json": Arms,
}


def without_later_fields(written: Any, old: Any) -> Any:
    """``written`` less the fields that the old file cannot have known: absent there, and null or 0 here."""
    if isinstance(written, dict) and isinstance(old, dict):
        return {
            key: without_later_fields(value, old.get(key))
            for key, value in written.items()
            if key in old or value not in (None, 0.0)
        }
    if isinstance(written, list) and isinstance(old, list) and len(written) == len(old):
        return [without_later_fields(*pair) for pair in zip(written, old, strict=True)]
    return written


@pytest.mark.parametrize("name", KINDS)
def test_nothing_of_an_old_file_is_lost(name: str, tmp_path: Path) -> None:
    found = KINDS[name].read(RECORDED / name)
    found.write(tmp_path / name)
    written = json.loads((tmp_path / name).read_text())
    assert written.pop("version") == 1
    old = json.loads((RECORDED / name).read_text())
    assert without_later_fields(written, old) == old


def test_readers_find_what_the_old_files_say() -> None:
    summary = Summary.read(RECORDED / "summary.json")
    assert summary.winner is not None
    assert summary.winner.confirmation[0].run == "confirm/trial-0/seed-1/attempt-1"
    assert summary.selection.improvement is not None
    assert summary.selection.improvement.excludes_zero
    assert [trial.state for trial in summary.trials] == ["complete", "pruned", "complete"]
    assert SweepStatus.read(RECORDED / "summary.json").trials[1].step is None
    hardware = Manifest.read(RECORDED / "manifest.json").hardware
    assert hardware is not None
    assert hardware.accelerators == ("NVIDIA H100 80GB HBM3",)
    assert RunLedger.read(RECORDED / "run-ledger.json").launches[-1].ended is None
