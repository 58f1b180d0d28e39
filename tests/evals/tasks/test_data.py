"""Rows from a folder or the hub; every failure is one sentence that names the file and how to get it."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import datasets
import huggingface_hub
import pytest

from evals.base.progress import Progress
from evals.recorded import score_file
from evals.task import TaskError
from evals.tasks import data, registry
from evals.tasks.data import DataFile
from harness.jobs.reproduce import from_recordings

FILE = DataFile(
    name="sums", repo="me/sums", revision="0" * 40, split="test", columns=("id", "answer"), count=2
)
ROWS = [{"id": 1, "answer": "ä"}, {"id": 2, "answer": "4"}]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path))
    return tmp_path


def hub(monkeypatch: pytest.MonkeyPatch, answer: Any) -> list[tuple[Any, ...]]:
    """Puts a stand-in for the network below ``datasets.load_dataset``; returns what it was asked for."""
    asked: list[tuple[Any, ...]] = []

    def load_dataset(repo: str, config: str | None, *, split: str, revision: str) -> Any:
        asked.append((repo, config, split, revision))
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    return asked


def test_the_local_file_comes_first(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = hub(monkeypatch, datasets.Dataset.from_list([]))
    (folder / "sums.jsonl").write_text("\n\n".join(map(json.dumps, ROWS)) + "\n")
    assert data.read(FILE) == ROWS
    assert asked == []


def test_the_hub_is_asked_for_the_pinned_commit(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = hub(monkeypatch, datasets.Dataset.from_list(ROWS))
    assert data.read(FILE) == ROWS
    assert asked == [("me/sums", None, "test", "0" * 40)]


def test_what_is_fetched_is_read_back_and_checked(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub(monkeypatch, datasets.Dataset.from_list(ROWS))
    assert data.fetch(FILE, folder) == folder / "sums.jsonl"
    assert data.check(FILE) == 2
    assert data.read(FILE) == ROWS
    assert {path.name for path in folder.iterdir()} == {"sums.jsonl", "fetched.json"}
    (folder / "sums.jsonl").write_text(json.dumps(ROWS[0]) + "\n")
    with pytest.raises(TaskError, match="1 rows instead of 2"):
        data.check(FILE)


@pytest.mark.parametrize("gated", [False, True])
def test_missing_data_name_the_file_and_the_command(
    folder: Path, monkeypatch: pytest.MonkeyPatch, gated: bool
) -> None:
    hub(monkeypatch, ConnectionError("no route\nand a second line"))
    file = DataFile("sums", "me/sums", "0" * 40, "test", ("id",), 2, gated=gated)
    for ask in (data.read, data.check):
        with pytest.raises(TaskError) as error:
            ask(file)
        message = str(error.value)
        assert str(folder / "sums.jsonl") in message
        assert "harness data fetch sums" in message
        assert "\n" not in message
        assert ("accepting the terms" in message) == gated


def test_without_a_folder_the_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HARNESS_DATA", raising=False)
    hub(monkeypatch, ConnectionError("no route"))
    with pytest.raises(TaskError, match="HARNESS_DATA"):
        data.read(FILE)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"id": 2, "answer"', "not valid JSON"),
        ("[1, 2]", "must be a JSON object"),
        ('{"id": 2}', "no column 'answer'"),
        ("[" * 100_000, "not valid JSON"),
    ],
)
def test_a_broken_line_is_named(folder: Path, line: str, said: str) -> None:
    (folder / "sums.jsonl").write_text(json.dumps(ROWS[0]) + "\n" + line + "\n")
    with pytest.raises(TaskError) as error:
        data.read(FILE)
    assert "sums.jsonl, line 2" in str(error.value)
    assert said in str(error.value)


def test_a_file_that_is_no_text(folder: Path) -> None:
    (folder / "sums.jsonl").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(TaskError, match="cannot be read"):
        data.read(FILE)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("rows.jsonl", '{"id": 1, "answer": "ä"}\n\n{"id": 2, "answer": "4"}\n'),
        ("rows.json", json.dumps(ROWS)),
        ("rows.csv", 'id,answer\n1,"ä"\n2,4\n'),
        ("rows.tsv", "id\tanswer\n1\tä\n2\t4\n"),
    ],
)
def test_rows_in_files_that_the_hub_does_not_know(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, content: str
) -> None:
    asked = []

    def download(repo: str, path: str, *, repo_type: str, revision: str) -> str:
        asked.append((repo, path, repo_type, revision))
        there = tmp_path / "hub" / path
        there.parent.mkdir(exist_ok=True)
        there.write_text(content, encoding="utf-8")
        return str(there)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    file = replace(FILE, paths=(name, f"more-{name}"), count=4)
    data.fetch(file, folder)
    assert data.check(file) == 4
    found = [(row["id"], str(row["answer"])) for row in data.read(file)]
    assert found == 2 * [(1, "ä"), (2, "4")]
    assert asked == [("me/sums", path, "dataset", "0" * 40) for path in file.paths]
    assert name in file.source


def test_a_hub_set_without_rows(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub(monkeypatch, datasets.Dataset.from_list([]))
    with pytest.raises(TaskError, match="has no rows"):
        data.fetch(FILE, folder)
    assert not (folder / "sums.jsonl").exists()


def test_a_hub_set_without_the_columns(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub(monkeypatch, datasets.Dataset.from_list([{"id": 1}]))
    with pytest.raises(TaskError, match="no column 'answer'"):
        data.read(FILE)


def test_a_local_copy_has_the_hubs_address_where_it_was_fetched_and_not_once_it_was_edited(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub(monkeypatch, datasets.Dataset.from_list(ROWS))
    assert data.origin(FILE) == FILE.source
    path = data.fetch(FILE, folder)
    assert data.origin(FILE) == FILE.source
    path.write_text(path.read_text().replace('"4"', '"5"'))
    os.utime(path, ns=(1, 1))
    assert data.origin(FILE).startswith("sums.jsonl of HARNESS_DATA (")
    assert f"not known to be {FILE.source}" in data.origin(FILE)


def test_a_copy_from_elsewhere_is_known_by_its_rows(folder: Path) -> None:
    path = folder / "sums.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    assert data.origin(FILE) != FILE.source
    known = replace(FILE, digest=data.rows_digest(path, FILE.columns))
    more = [{"url": "", **dict(reversed(row.items()))} for row in ROWS]
    path.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in more))
    assert data.origin(known) == FILE.source
    path.write_text("".join(json.dumps(row) + "\n" for row in [ROWS[1], ROWS[0]]))
    assert data.origin(known) != FILE.source


@pytest.mark.parametrize("name", ["aime24", "math500", "gsm8k_train", "gsm8k_test", "humaneval", "mbpp"])
def test_the_authors_rows_are_known(data_folder: Path, tmp_path: Path, name: str) -> None:
    [file] = [each for task in registry.names() for each in registry.files(task) if each.name == name]
    assert data.origin(file) == file.source
    text = (data_folder / f"{name}.jsonl").read_text()
    (tmp_path / f"{name}.jsonl").write_text(text.replace("1", "2", 1))
    assert data.rows_digest(tmp_path / f"{name}.jsonl", file.columns) != file.digest


def test_a_rewritten_file_is_told_in_scores_and_gets_no_verdict(
    data_folder: Path, folder: Path, tmp_path: Path
) -> None:
    rows = [json.loads(line) for line in (data_folder / "aime24.jsonl").read_text().splitlines()]
    (folder / "aime24.jsonl").write_text("".join(json.dumps({**row, "answer": "7"}) + "\n" for row in rows))
    recorded = tmp_path / "recorded" / "DeepSeek-R1-Distill-Qwen-1.5B" / "aime24.jsonl"
    recorded.parent.mkdir(parents=True)
    answers = [{"id": row["id"], "response": "\\boxed{7}"} for row in rows]
    recorded.write_text("".join(json.dumps(row) + "\n" for row in answers))
    [scores] = score_file(recorded, "aime24")
    assert scores.pass_at_1().value == 1
    assert scores.source.startswith("aime24.jsonl of HARNESS_DATA (")
    done = from_recordings("table5", [recorded.parents[1]], tmp_path / "out", Progress(quiet=True))
    found = [cell for cell in done.cells if "aime24.jsonl of HARNESS_DATA" in cell.why]
    assert found
    assert {cell.verdict for cell in done.cells} == {"not run"}


def test_an_id_or_gold_that_tables_spoiled(folder: Path) -> None:
    row = {"id": 60.0, "problem": "1 + 1?", "answer": 2.0}
    path = folder / "aime24.jsonl"
    path.write_text(json.dumps(row) + "\n")
    [question] = registry.load_spec("aime24")[1]
    assert (question.id, question.gold) == ("60", "2")
    for gold in (float("nan"), None, ""):
        path.write_text(json.dumps({**row, "answer": gold}) + "\n")
        with pytest.raises(TaskError, match=r"aime24:test: question 1 \(id '60'\) has no right answer"):
            registry.load_spec("aime24")
    path.write_text(2 * (json.dumps(row) + "\n"))
    with pytest.raises(TaskError, match="questions 1 and 2 have the same id '60'"):
        registry.load_spec("aime24")


@pytest.mark.parametrize("packed", [bytes, gzip.compress])
def test_rows_are_found_again_by_their_place(folder: Path, packed: Callable[[bytes], bytes]) -> None:
    text = b"\xef\xbb\xbf" + "\n\n".join(json.dumps(row) for row in ROWS).encode()
    (folder / "sums.jsonl").write_bytes(packed(text))
    path = folder / "sums.jsonl"
    places = list(data.placed_rows(path))
    assert [row for _, row in places] == ROWS
    assert [data.row_at(path, place) for place, _ in places] == ROWS
