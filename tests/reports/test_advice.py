"""The warnings of a run stand in its report."""

from __future__ import annotations

import json
from pathlib import Path

from reports.advice import table
from reports.collect import collect
from reports.page import build_report


def run_folder(folder: Path, kl: float) -> Path:
    folder.mkdir()
    rows = [{"step": step, "stage": "grpo", "time": step, "reward": 0.5, "kl": kl} for step in (1, 2)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "status.json").write_text('{"state": "done", "reason": "", "time": 1.0}')
    return folder


def test_a_row_for_each_warning(tmp_path: Path) -> None:
    found = table(collect([run_folder(tmp_path / "far", 4.0), run_folder(tmp_path / "near", 0.1)]))
    assert found is not None
    [row] = found.rows
    assert [cell.text for cell in row[:3]] == ["far", "1", "KL 4 nats per token from the reference"]
    assert "raise beta" in row[4].text
    assert "raise beta" in build_report([tmp_path / "far"]).read_text(encoding="utf-8")


def test_no_table_where_all_is_well(tmp_path: Path) -> None:
    assert table(collect([run_folder(tmp_path / "near", 0.1)])) is None
