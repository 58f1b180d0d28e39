"""The cost table against sums made directly from the files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from reports import costs
from reports.collect import collect


def _rows(folder: Path, pattern: str) -> list[dict[str, float]]:
    return [json.loads(line) for path in folder.glob(pattern) for line in path.read_text().splitlines()]


def test_tokens_steps_and_seconds_are_those_of_the_files(sweep_folder: Path) -> None:
    found = {cost.part: cost for cost in costs.costs(collect([sweep_folder]))}
    for part, pattern in (
        ("trials", "trials/*/attempt-*/metrics.jsonl"),
        ("fresh seeds", "confirm/*/*/metrics.jsonl"),
    ):
        rows = _rows(sweep_folder, pattern)
        assert found[part].steps == len(rows)
        assert found[part].tokens == sum(row["tokens"] for row in rows)
        assert found[part].seconds == {"rollout": pytest.approx(sum(row["seconds/rollout"] for row in rows))}
    trials = json.loads((sweep_folder / "summary.json").read_text())["trials"]
    assert found["trials"].wall == sum(trial["seconds"] for trial in trials)
    evaluated = [
        json.loads(path.read_text())["tokens"]["total"]
        for path in sweep_folder.glob("evals/base/*/scores.json")
    ]
    assert found["evaluation of base"].tokens == sum(evaluated)


def test_the_last_row_is_the_sum_of_the_others(sweep_folder: Path) -> None:
    table = costs.table(collect([sweep_folder]))
    assert table is not None
    for column in range(2, len(table.columns)):
        *parts, total = [row[column].value for row in table.rows]
        known = [value for value in parts if value is not None]
        assert total == (pytest.approx(sum(known)) if known else None)
