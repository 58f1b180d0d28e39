"""Files as other programs write them are read, or named with what to do."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from evals.base.text_files import LONGEST_NAME, folder_name, open_text
from evals.task import TaskError

LINES = b'{"id": "\xc3\xa4"}\n{"id": 2}\n'
BOM = b"\xef\xbb\xbf"


@pytest.mark.parametrize(
    "content", [LINES, BOM + LINES, gzip.compress(LINES, mtime=0), gzip.compress(BOM + LINES, mtime=0)]
)
def test_marks_and_gzip_are_passed_over(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "rows").write_bytes(content)
    with open_text(tmp_path / "rows") as handle:
        assert handle.read() == LINES


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (LINES.decode().encode("utf-16"), "rows cannot be read: it is UTF-16; save it as UTF-8"),
        (b"\x28\xb5\x2f\xfd0000", "is compressed by zstd; unpack it"),
        (b"PK\x03\x04zipped", "is a ZIP archive"),
        (gzip.compress(LINES, mtime=0)[:-9], "rows cannot be read: it is damaged"),
        (gzip.compress(LINES, mtime=0)[:12] + b"\x00\xff" * 20, "rows"),
    ],
)
def test_what_is_no_text_is_named(tmp_path: Path, content: bytes, told: str) -> None:
    (tmp_path / "rows").write_bytes(content)
    with pytest.raises(TaskError, match=told), open_text(tmp_path / "rows") as handle:
        handle.read()


@pytest.mark.parametrize("letter", ["m", "é", "漢"])
def test_a_long_name_fits_and_stays_different_from_others(tmp_path: Path, letter: str) -> None:
    names = [folder_name(letter * 300), folder_name(letter * 301), folder_name(letter * 10)]
    assert len(set(names)) == 3
    assert names[2] == letter * 10
    for name in names:
        assert len(name.encode()) <= LONGEST_NAME
        (tmp_path / name).mkdir()
