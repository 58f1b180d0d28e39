"""A file is written and read by one class: old ones read, newer ones are refused, damage costs its key."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from pydantic import Field

from evals.base.errors import DamagedFileError, UsageError
from evals.base.versioned import MaybeNumber, Part, Versioned


class Inner(Part):
    number: int
    share: MaybeNumber = 0.0


class File(Versioned):
    name: str = ""
    winner: Inner | None = None
    rows: tuple[Inner, ...] = ()
    figures: dict[str, float] = Field(default_factory=dict)


class Strict(Versioned):
    state: str


def test_what_was_set_is_written_with_the_version_and_reads_back(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    told = File(name="x", winner=None, rows=(Inner(number=1, share=math.nan),))
    told.write(path)
    assert json.loads(path.read_text()) == {
        "version": 1, "name": "x", "winner": None, "rows": [{"number": 1, "share": None}],
    }  # fmt: skip
    again = File.read(path)
    assert again.table() == told.table()
    assert math.isnan(again.rows[0].share)


def test_a_newer_file_is_refused_in_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    path.write_text('{"version": 2, "rows": "another meaning"}')
    with pytest.raises(UsageError, match=r"file.json: has version 2, and this .* up to 1; update"):
        File.read(path)
    with pytest.raises(UsageError, match="has version 2"):
        File.lenient({"version": 2}, path)


def test_damage_names_the_key(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    path.write_text('{"rows": [{"number": "x"}]}')
    with pytest.raises(DamagedFileError, match=r"file.json: rows.0.number: Input should be a valid integer"):
        File.read(path)


@pytest.mark.parametrize(
    ("table", "kept", "odd"),
    [
        ({"name": 3, "rows": [{"number": 1}]}, {"rows": [{"number": 1}]}, ["name"]),
        ({"rows": [{"number": 1}, 5, {"share": 0.5}, {"number": 2, "share": "x"}]},
         {"rows": [{"number": 1}, {"number": 2}]}, ["rows"]),
        ({"winner": {"share": 1.0}, "name": "x"}, {"name": "x"}, ["winner"]),
        ({"figures": {"a": 1.0, "b": []}}, {"figures": {"a": 1.0}}, ["figures"]),
        ({"figures": [[]], "unknown": 3}, {}, ["figures"]),
    ],
)  # fmt: skip
def test_only_what_does_not_fit_is_left_out(
    tmp_path: Path, table: dict[str, Any], kept: dict[str, Any], odd: list[str]
) -> None:
    found, keys = File.lenient(table, tmp_path)
    assert found is not None
    assert found.table() == {"version": 1, **kept}
    assert keys == odd


def test_without_what_it_needs_nothing_is_told(tmp_path: Path) -> None:
    assert Strict.lenient({"other": 1}, tmp_path) == (None, [])
