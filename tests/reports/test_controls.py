"""The section on controls shows what arms.json says, and bears a damaged one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from reports import sections
from reports.collect import collect
from reports.comparisons import compare
from reports.controls import table
from reports.study import Study


def told(share: float | None) -> dict[str, Any]:
    gain = {"value": 0.3, "stderr": 0.02, "ci95": [0.2, 0.4]}
    half = {"value": 0.15, "stderr": 0.02, "ci95": [-0.1, 0.2]}
    found = None if share is None else {"value": share, "ci95": [0.4, 0.6]}
    names = {"arm": "rl", "control": "rl-random", "benchmark": "b", "questions": 40}
    return {**names, "gain": gain, "control_gain": half, "share": found}


def test_a_row_for_each_control() -> None:
    found = table(Study(controls=[told(0.5), told(None)]))
    assert found is not None
    rows = [[(cell.text, cell.bounds) for cell in row] for row in found.rows]
    assert rows[0] == [
        ("b", ""), ("rl", ""), ("rl-random", ""), ("40", ""), ("+30.0", "+20.0 to +40.0"),
        ("+15.0", "−10.0 to +20.0"), ("50.0", "40.0–60.0"),
    ]  # fmt: skip
    assert rows[1][-1] == ("–", "")
    assert table(Study()) is None


def test_it_is_read_from_arms_json(tmp_path: Path) -> None:
    (tmp_path / "arms").mkdir()
    (tmp_path / "arms.json").write_text(
        json.dumps(
            {
                "folder": "x",
                "arms": [],
                "comparisons": [],
                "controls": [told(0.5), 7, {"gain": {"ci95": "x"}}],
            }
        )
    )
    study = collect([tmp_path])
    assert [row.get("control") for row in study.controls] == ["rl-random", None]
    [part] = [part for part in sections.parts(study, compare(study)) if part.id == "controls"]
    assert part.title == "Is it real?"
