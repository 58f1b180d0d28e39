"""Lines of a growing file, in both directions."""

from __future__ import annotations

from pathlib import Path

import pytest

from reports.view import lines


@pytest.fixture
def growing(tmp_path: Path) -> Path:
    path = tmp_path / "samples.jsonl"
    path.write_bytes(b"one\n\ntwo\nthree\nhalf a li")
    return path


def test_a_line_without_its_end_is_not_there_yet(growing: Path) -> None:
    expected = [(0, b"one\n"), (4, b"\n"), (5, b"two\n"), (9, b"three\n")]
    assert [(line.start, line.data) for line in lines.forward(growing)] == expected
    assert [(line.start, line.data) for line in lines.backward(growing)] == expected[::-1]
    with growing.open("ab") as handle:
        handle.write(b"ne\n")
    assert next(lines.backward(growing)).data == b"half a line\n"


def test_reading_goes_on_from_a_place(growing: Path) -> None:
    assert [line.data for line in lines.forward(growing, 5)] == [b"two\n", b"three\n"]
    assert [line.data for line in lines.backward(growing, 9)] == [b"two\n", b"\n", b"one\n"]
    assert list(lines.backward(growing, 0)) == []


def test_lines_longer_than_a_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "BLOCK", 7)
    path = tmp_path / "long"
    rows = [bytes([97 + i]) * length + b"\n" for i, length in enumerate((20, 6, 7, 8, 0, 1, 30))]
    path.write_bytes(b"".join(rows))
    found = list(lines.backward(path))
    assert [line.data for line in found] == rows[::-1]
    assert [lines.line_at(path, line.start) for line in found] == rows[::-1]


def test_only_the_beginning_of_a_line_is_an_address(growing: Path) -> None:
    assert lines.line_at(growing, 5) == b"two\n"
    assert lines.line_at(growing, 6) == b""
    assert lines.line_at(growing, 15) == b""
    assert lines.line_at(growing, 999) == b""
