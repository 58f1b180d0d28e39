"""Samples survive the way to disk and back, whatever a model wrote."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evals.base import io
from evals.records import (
    Sample,
    decode_ids,
    encode_ids,
    parse_line,
    parse_sample,
    read_samples,
)
from evals.task import TaskError

ROW: dict[str, Any] = Sample("q", 0, "text", "4", "correct", "", "stop", 3, 0.5).as_row()
anything = st.text(st.characters(), max_size=40)  # surrogates, nulls and line separators too


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(texts=st.lists(st.tuples(anything, st.none() | anything), min_size=1, max_size=4))
def test_any_text_reads_back_as_it_was(tmp_path: Path, texts: list[tuple[str, str | None]]) -> None:
    path = tmp_path / "samples.jsonl"
    path.unlink(missing_ok=True)
    samples = [
        Sample("é/1", number, text, answer, "wrong", "", "length", None, 0.0)
        for number, (text, answer) in enumerate(texts)
    ]
    io.append_lines(path, (sample.as_row() for sample in samples))
    assert list(read_samples(path)) == samples


@given(st.lists(st.integers(0, 2**32 - 1)))
def test_token_ids_read_back(ids: list[int]) -> None:
    assert decode_ids(encode_ids(ids)) == tuple(ids)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"id": 3}, "'id'"),
        ({"sample": -1}, "'sample'"),
        ({"sample": True}, "'sample'"),
        ({"response": None}, "'response'"),
        ({"answer": 4}, "'answer'"),
        ({"status": "right"}, "status"),
        ({"finish_reason": None}, "finish_reason"),
        ({"tokens": "3"}, "'tokens'"),
        ({"seconds": None}, "'seconds'"),
    ],
)
def test_rows_with_values_of_the_wrong_kind_are_no_samples(change: dict[str, Any], told: str) -> None:
    assert parse_sample(ROW).correct
    with pytest.raises(ValueError, match=told):
        parse_sample({**ROW, **change})


def test_a_missing_key_is_named() -> None:
    with pytest.raises(ValueError, match="lacks the key 'detail'"):
        parse_sample({key: value for key, value in ROW.items() if key != "detail"})


@pytest.mark.parametrize("line", [b"", b"{", b"\x00\x00", b"\xff{}", b"[" * 100_000])
def test_lines_that_are_no_json(line: bytes) -> None:
    with pytest.raises(ValueError, match=r"^is not valid JSON$"):
        parse_line(line)


def test_a_bad_line_is_named_by_number(tmp_path: Path) -> None:
    path = tmp_path / "samples.jsonl"
    path.write_text(json.dumps(ROW) + "\n[1]\n")
    with pytest.raises(TaskError, match=r"samples\.jsonl, line 2 is not a JSON object"):
        list(read_samples(path))
    with pytest.raises(TaskError, match="no such file"):
        list(read_samples(tmp_path / "other.jsonl"))


def test_json_files_are_whole_or_not_there(tmp_path: Path) -> None:
    path = tmp_path / "scores.json"
    io.write_json(path, {"a": "\ud800é"})
    assert json.loads(path.read_bytes()) == {"a": "\ud800é"}
    with pytest.raises(TypeError):
        io.write_json(path, {"a": object()})
    assert json.loads(path.read_bytes()) == {"a": "\ud800é"}
    assert [file.name for file in tmp_path.iterdir()] == ["scores.json"]
