"""The section on controls shows what arms.json says, and bears a damaged one."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from evals.comparison.controls import Explained
from evals.stats.intervals import Estimate
from reports import sections
from reports.arms import ExplainedRow
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
    found = table(Study(controls=[ExplainedRow(**told(0.5)), ExplainedRow(**told(None))]))
    assert found is not None
    rows = [[(cell.text, cell.bounds) for cell in row] for row in found.rows]
    assert rows[0] == [
        ("b", ""), ("rl", ""), ("rl-random", ""), ("40", ""), ("+30.0", "+20.0 to +40.0"),
        ("+15.0", "−10.0 to +20.0"), ("50.0", "40.0–60.0"),
    ]  # fmt: skip
    assert rows[1][-1] == ("–", "")
    assert table(Study()) is None


def test_a_finding_is_recorded_as_it_is_read() -> None:
    gain, half = Estimate(0.3, 0.02, 0.2, 0.4), Estimate(0.15, 0.02, -0.1, 0.2)
    found = Explained("rl", "rl-random", "b", 40, gain, half, 0.5, 0.4, 0.6)
    assert ExplainedRow.of(found) == ExplainedRow(**told(0.5), sentence=found.sentence)
    assert ExplainedRow.of(replace(found, share=None, low=None, high=None)).share is None


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
    assert [row.control for row in study.controls] == ["rl-random"]
    [part] = [part for part in sections.parts(study, compare(study)) if part.id == "controls"]
    assert part.title == "Is it real?"


def test_a_sweep_s_are_read_from_controls_json(fresh_sweep: Path) -> None:
    (fresh_sweep / "controls.json").write_text(json.dumps({"version": 1, "controls": [told(0.5)]}))
    study = collect([fresh_sweep])
    assert [row.control for row in study.controls] == ["rl-random"]
    assert study.problems == []
