"""Atomic writes and JSON lines."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from evals.base import io
from evals.base.errors import DamagedFileError


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "value.json"
    io.write_json(path, {"a": 1})
    with pytest.raises(UnicodeEncodeError):
        io.write_text(path, "\ud800")
    assert io.read_json(path) == {"a": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["value.json"]


def test_a_torn_last_line_is_passed_over_and_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    io.append_line(path, {"step": 1})
    with path.open("a") as handle:
        handle.write('{"step": 2')
    assert list(io.read_lines(path)) == [{"step": 1}]
    io.drop_torn_line(path)
    io.append_line(path, {"step": 2})
    assert list(io.read_lines(path)) == [{"step": 1}, {"step": 2}]


def test_what_is_not_there_has_no_lines(tmp_path: Path) -> None:
    assert list(io.read_lines(tmp_path / "none.jsonl")) == []
    io.drop_torn_line(tmp_path / "none.jsonl")


def test_what_is_not_finite_is_written_as_null(tmp_path: Path) -> None:
    """NaN and Infinity are not JSON: jq, JavaScript, Go and strict readers stop at them."""
    io.write_json(tmp_path / "value.json", {"a": math.inf, "b": [math.nan, 1.5]})
    io.append_line(tmp_path / "rows.jsonl", {"loss": math.nan, "step": 1})
    io.write_json(tmp_path / "scores.json", {"a": -math.inf})
    io.append_lines(tmp_path / "samples.jsonl", [{"seconds": math.nan, "response": "\ud83d"}])

    def refuse(name: str) -> None:
        raise ValueError(f"{name} is not JSON")

    found = [json.loads(path.read_text(), parse_constant=refuse) for path in sorted(tmp_path.iterdir())]
    assert found == [
        {"loss": None, "step": 1},
        {"seconds": None, "response": "\ud83d"},
        {"a": None},
        {"a": None, "b": [None, 1.5]},
    ]


@pytest.mark.parametrize(
    ("text", "written"),
    [("=1+1", "'=1+1"), ("@x", "'@x"), ("-1 tag", "'-1 tag"), ("-1", "-1"), ("+2.5e3", "+2.5e3"), ("", "")],
)
def test_a_cell_of_a_csv_file_is_no_formula(text: str, written: str) -> None:
    assert io.csv_text(text) == written


HALF = "half of \ud83d, whole: \U0001f600 é"
"""A lone surrogate, as a judge's JSON can hold one."""


def test_half_a_character_is_written_and_read_again(tmp_path: Path) -> None:
    row = {"reply": HALF, HALF: [HALF]}
    io.append_line(tmp_path / "rows.jsonl", row)
    io.write_lines(tmp_path / "lines.jsonl", [row, row])
    io.write_json(tmp_path / "value.json", row)
    assert list(io.read_lines(tmp_path / "rows.jsonl")) == [row]
    assert list(io.read_lines(tmp_path / "lines.jsonl")) == [row, row]
    assert io.read_json(tmp_path / "value.json") == row
    assert "é" in (tmp_path / "rows.jsonl").read_text(encoding="utf-8")  # the rest stays readable


@pytest.mark.parametrize("line", [b"{", b"\xff\xfe", b"[1]", b"null", b"", b"[" * 100_000, b'{"a": 1} {}'])
def test_a_damaged_line_is_named(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"step": 1}\n' + line + b'\n{"step": 3}\n')
    with pytest.raises(DamagedFileError, match=r"rows\.jsonl: line 2: is not a JSON object"):
        list(io.read_lines(path))
    path.write_bytes(line)
    with pytest.raises(DamagedFileError, match=r"rows\.jsonl: "):
        io.read_json(path)


def test_a_full_disk_is_told_with_the_files_name(tmp_path: Path) -> None:
    path, lines = tmp_path / "status.json", tmp_path / "metrics.jsonl"
    code = (
        "import resource, signal, sys; from pathlib import Path; from evals.base import io as files\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))\n"
        "for write, what in ((files.write_text, 'x' * 100), (files.append_line, {'a': 'x' * 100})):\n"
        "    try: write(Path(sys.argv.pop(1)), what)\n"
        "    except OSError as error: print(error)\n"
    )
    command = [sys.executable, "-c", code, str(path), str(lines)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert [line.partition("]")[2] for line in said] == [
        f" File too large: '{path}'",
        f" File too large: '{lines}'",
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "line 1: is not valid JSON"),
        ('{"a":\n 1,\n x}', "line 3: is not valid JSON"),
        ("[]", "is not a JSON object"),
        ("\ud800", "is not valid JSON"),
        ("[" * 100_000, "is not valid JSON"),
        ('{"a": ' + "9" * 5000 + "}", "is not valid JSON"),
        ('{"step": "three"}', "step: Input should be a valid integer"),
        ("{}", "step: Field required"),
    ],
)
def test_a_damaged_file_is_named_with_the_place(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "status.json"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(DamagedFileError) as caught:
        io.read_as(path, Step)
    assert str(caught.value).startswith(f"{path}: {told}")


@dataclass(frozen=True)
class Step:
    step: int
