"""Passages that reflect: found in a run's samples, spread over training, shown as text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd

from reports.samples.passages import EACH, passages, table
from reports.study import Study, Training


def row(step: int, response: str, accuracy: float | None = 1.0) -> dict[str, Any]:
    return {"step": step, "response": response, "rewards": {"accuracy": accuracy}}


def write(folder: Path, *rows: dict[str, Any] | str) -> Training:
    folder.mkdir()
    lines = [each if isinstance(each, str) else json.dumps(each) for each in rows]
    (folder / "samples.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return Training(folder.name, folder.name, folder, pd.DataFrame(), "done", "", {}, {})


def test_markers_and_mended_steps_are_found_and_damage_passed_over(tmp_path: Path) -> None:
    run = write(
        tmp_path / "run",
        row(1, "x" * 200 + " Wait, that is wrong. " + "y" * 200, 0.0),
        '{"step": 2, "resp',
        row(3, "3+4=8, so 3+4=7"),
        row(4, "3+4=7"),
        row(5, "等等 <b>再算</b>", None),
    )
    first, second, third = passages(run.folder / "samples.jsonl")
    assert (first.step, first.sign, first.correct) == (1, "wait", False)
    assert first.text.startswith("… x")
    assert first.text.endswith("y …")
    assert (second.step, second.sign, second.correct, second.text) == (
        3,
        "mended step",
        True,
        "3+4=8, so 3+4=7",
    )
    assert (third.sign, third.correct) == ("等等", None)
    assert list(passages(tmp_path / "none.jsonl")) == []


def test_the_table_spreads_over_training_and_shows_what_cannot_be_seen(tmp_path: Path) -> None:
    many = write(tmp_path / "many", *(row(step, "check \u202e") for step in range(1, 101)))
    none = write(tmp_path / "none", row(1, "four"))
    found = table(Study(runs=[many, none]))
    assert found is not None
    assert [cells[1].value for cells in found.rows] == [1, 21, 41, 60, 80, 100]
    assert len(found.rows) == EACH
    assert found.rows[0][4].text == "check ⟦U+202E⟧"
    assert table(Study(runs=[none])) is None
