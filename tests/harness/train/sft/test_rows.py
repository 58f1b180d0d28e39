"""Rows to learn from: files of every kind, parts of them, data sets of the hub."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import datasets
import pyarrow
import pytest
from pyarrow import parquet

from evals.task import TaskError
from harness.train.sft.rows import is_source, rows_of

ROWS = [{"prompt": f"{n}?", "completion": str(n)} for n in range(5)]


def test_every_kind_of_file_holds_the_same_rows(tmp_path: Path) -> None:
    lines = "".join(json.dumps(row) + "\n\n" for row in ROWS)
    (tmp_path / "a.jsonl").write_text("\ufeff" + lines)
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    (tmp_path / "c.csv").write_text("prompt,completion\n" + "".join(f"{n}?,{n}\n" for n in range(5)))
    (tmp_path / "d.json").write_text(json.dumps([{**row, "tools": None} for row in ROWS]))
    parquet.write_table(pyarrow.Table.from_pylist(ROWS), tmp_path / "e.parquet")
    for path in sorted(tmp_path.iterdir()):
        assert [row for _, row in rows_of(str(path))] == ROWS, path
        assert [row for _, row in rows_of(f"{path}[1:3]")] == ROWS[1:3]
        assert [row for _, row in rows_of(f"{path}[-2:]")] == ROWS[-2:]
        assert is_source(f"{path}[:2]")
    assert [where for where, _ in rows_of(str(tmp_path / "a.jsonl"))] == [
        f"line {n}" for n in (1, 3, 5, 7, 9)
    ]


def test_a_broken_line_stands_in_its_place_and_what_is_not_there_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"text": "x"}\n{\n[]\n{"text": "\xe9"}\n')
    said = [str(row) for _, row in rows_of(str(path))][1:]
    assert said == ["is not valid JSON", "is not a JSON object", "is not UTF-8 (invalid continuation byte)"]
    assert not is_source(str(tmp_path / "b.jsonl"))
    assert not is_source("reject")
    assert is_source("hf:o/n")
    with pytest.raises(TaskError, match="no such file"):
        list(rows_of(str(tmp_path / "b.jsonl")))


def test_a_data_set_of_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def load(*where: Any, **how: Any) -> datasets.Dataset:
        asked.append((*where, how))
        return datasets.Dataset.from_list(ROWS)

    monkeypatch.setattr(datasets, "load_dataset", load)
    assert list(rows_of("hf:o/n/c@abc:sft[:2]")) == [("row 1", ROWS[0]), ("row 2", ROWS[1])]
    assert [row for _, row in rows_of("hf:o/n")] == ROWS
    assert asked == [
        ("o/n", "c", {"split": "sft", "revision": "abc"}),
        ("o/n", None, {"split": "train", "revision": None}),
    ]
