"""The user's own questions: files and tables as tasks, and one sentence for what is wrong with them."""

from __future__ import annotations

import gzip
import json
import os
import time
from pathlib import Path
from typing import Any

import datasets
import pyarrow
import pytest
from pyarrow import parquet

from evals.task import TaskError
from evals.tasks import own, registry, rows
from evals.tasks.alike import text_key
from evals.tasks.own import Described
from evals.tasks.reading import Questions

ROWS: list[dict[str, Any]] = [
    {"id": f"s{i}", "question": f"What is {i} + 1?", "answer": i + 1} for i in range(6)
]


def written(folder: Path, name: str, rows: list[dict[str, Any]] = ROWS) -> str:
    path = folder / name
    if name.endswith(".jsonl"):
        path.write_text("\ufeff" + "\n\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    elif name.endswith(".gz"):
        path.write_bytes(gzip.compress("\n".join(json.dumps(row) for row in rows).encode()))
    elif name.endswith(".json"):
        path.write_text(json.dumps(rows))
    elif name.endswith(".parquet"):
        parquet.write_table(pyarrow.Table.from_pylist(rows), path, row_group_size=4)
    else:
        mark = "\t" if name.endswith(".tsv") else ","
        lines = [list(rows[0]), *([f'"{value}"' for value in row.values()] for row in rows)]
        path.write_text("\n".join(mark.join(line) for line in lines) + "\n")
    return str(path)


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.json", "a.csv", "a.tsv", "a.parquet"])
def test_a_file_is_a_task_whatever_it_is_written_as(tmp_path: Path, name: str) -> None:
    task, found = registry.load_spec(f"{written(tmp_path, name)}[1:]")
    assert (task.grader, task.splits, len(found)) == ("math", ("all",), 5)
    assert [(each.id, each.text, each.gold) for each in found] == [
        (row["id"], row["question"], str(row["answer"])) for row in ROWS[1:]
    ]
    assert [found[i] for i in range(5)] == list(found)
    assert list(found[::-2]) == [found[4], found[2], found[0]]
    assert found[0].info["row"]["question"] == ROWS[1]["question"]


def test_a_field_of_several_lines_is_one_field(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('problem;gold\n"one\ntwo; three";3\nfour;4\n')
    found = registry.load_spec(f"{tmp_path}/a.csv")[1]
    assert [(each.text, each.gold) for each in found] == [("one\ntwo; three", "3"), ("four", "4")]
    assert found[1].text == "four"


def test_without_ids_a_question_goes_by_what_it_says(tmp_path: Path) -> None:
    rows = [{"prompt": text, "solution": "1"} for text in ("a", "b", "a", "a")]
    first = [each.id for each in registry.load_spec(written(tmp_path, "a.jsonl", rows))[1]]
    assert first[2:] == [f"{first[0]}#2", f"{first[0]}#3"]
    moved = [each.id for each in registry.load_spec(written(tmp_path, "b.jsonl", rows[::-1]))[1]]
    assert sorted(moved) == sorted(first)


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("a.jsonl", '{"question": "?", "answer": 1}\n{"question": ', "a.jsonl, line 2: not valid JSON"),
        (
            "a.jsonl",
            '{"question": "?", "answer": 1}\n\n{"question": "?"}',
            "line 3: column 'answer' must",
        ),
        (
            "a.jsonl",
            '{"question": " ", "answer": 1}',
            "line 1: column 'question' must hold",
        ),
        (
            "a.jsonl",
            '{"q": "?", "answer": 1}',
            "which column holds the question? It has q, answer; say so in your experiment file",
        ),
        ("a.jsonl", '{"question": "?", "a": 1}', "which column holds the answer? It has question, a;"),
        ("a.jsonl", '{"id": 1, "question": "?", "answer": 1}\n' * 2, "line 2: has the id '1' of line 1"),
        ("a.jsonl", '{"question": "\\ud800", "answer": 1}', "line 1: holds half a character"),
        ("a.jsonl", "", "contains no rows"),
        ("a.csv", "question,answer\na,1\nb,2,3\n", "a.csv, line 3: has 3 fields, and the first line names 2"),
        ("a.csv", 'question,answer\na,1\n"b,2\n', "a.csv, line 3: not valid CSV"),
        ("a.csv", 'question,answer\n"a,1\nb,2\n', "line 2: not valid CSV: a quotation mark that opens here"),
        ("a.csv", "question,answer,answer\na,1,2\n", "line 1: names the column 'answer' twice"),
        ("a.jsonl", '{"question": "?", "answer": 1},\n', "it ends with a comma"),
        ("a.jsonl", '[\n{"question": "?", "answer": 1}\n]', "name the file .json"),
        ("a.xlsx", "PK", "save it as .csv"),
        ("a.jsonl", '{"question": ["?", "!"], "answer": 1}', "(or as one message of a user), got ['?', '!']"),
        ("a.json", "{}", "must be a JSON list of objects"),
        ("a.parquet", "no", "is not a Parquet file"),
        ("a.jsonl", '{"question": "?", "answer": "A", "options": ["1", "2"]}', "its column 'options'"),
    ],
)
def test_what_is_wrong_is_one_sentence(tmp_path: Path, name: str, text: str, told: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(TaskError) as error:
        registry.load_spec(str(tmp_path / name))
    assert told in str(error.value)
    assert "\n" not in str(error.value)


def test_what_is_nested_in_a_column_is_named_with_a_dot(tmp_path: Path) -> None:
    """As verl's data sets have it: messages for a prompt, the answer inside a column."""
    rows = [
        {
            "prompt": [{"role": "user", "content": f"What is {i} + 1?"}],
            "reward_model": {"ground_truth": str(i + 1), "style": "rule"},
            "extra": {"index": i},
        }
        for i in range(3)
    ]
    path = written(tmp_path, "a.parquet", rows)
    with pytest.raises(TaskError, match=r"which column holds the answer\? .*reward_model\.ground_truth"):
        registry.load_spec(path)
    described = Described(path, {"answer": "reward_model.ground_truth", "id": "extra.index"})
    found = own.task("nested", described).questions("all")
    assert [(each.id, each.text, each.gold) for each in found] == [
        (str(i), f"What is {i} + 1?", str(i + 1)) for i in range(3)
    ]
    rows[1]["prompt"] = [{"role": "system", "content": "?"}]
    path = written(tmp_path, "b.parquet", rows)
    with pytest.raises(TaskError, match="row 2: column 'prompt' must hold the question as text"):
        own.task("nested", Described(path, described.columns)).questions("all")


def test_a_file_is_gone_through_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[Path] = []
    scan = rows.JsonRows._scan

    def counted(self: rows.JsonRows) -> Any:
        begun.append(tmp_path)
        yield from scan(self)

    monkeypatch.setattr(rows.JsonRows, "_scan", counted)
    _, found = registry.load_spec(written(tmp_path, "a.jsonl"))
    assert len(begun) == 2  # the first row tells the columns, then all are looked at
    assert isinstance(found, Questions)
    assert found.text_keys.tolist() == [text_key(row["question"]) for row in ROWS]
    assert found[::-2].text_bytes.tolist() == [len(row["question"]) for row in ROWS[::-2]]
    assert found[3].id == "s3"
    assert len(begun) == 2


def test_a_file_that_changes_is_read_again_and_never_mixed(tmp_path: Path) -> None:
    path = written(tmp_path, "a.jsonl")
    before = registry.load_spec(path)[1]
    written(tmp_path, "a.jsonl", ROWS[:2])
    os.utime(path, ns=(time.time_ns(), time.time_ns() + 1))
    assert len(registry.load_spec(path)[1]) == 2
    with pytest.raises(TaskError, match="has changed since it was read"):
        before[0]


def test_a_table_says_how_a_file_is_read(tmp_path: Path) -> None:
    rows = [{"q": f"Is {i} even?", "a": "AB"[i % 2], "o": ["yes", "no"]} for i in range(8)]
    described = Described(
        source=written(tmp_path, "a.jsonl", rows),
        columns={"question": "q", "answer": "a", "options": "o"},
        grader="choice",
        splits={"train": "[:6]", "test": "[6:]"},
    )
    tasks = registry.Tasks({"even": own.task("even", described)})
    task, found = tasks.load_spec("even")
    assert (task.benchmark, len(found), found[0].gold) == ("test", 2, "A")
    assert found[0].text == "Is 6 even?\n\n(A) yes\n(B) no"
    assert found[0].info["options"] == ("yes", "no")
    assert len(tasks.load_spec("even:train[-2:]")[1]) == 2
    with pytest.raises(TaskError, match="has no split 'dev'; it has train, test"):
        tasks.get("even:dev")
    with pytest.raises(TaskError, match="did you mean 'even'"):
        tasks.get("evn")


def test_programs_are_graded_by_the_tests_of_a_row(tmp_path: Path) -> None:
    rows = [{"prompt": "Double x.", "tests": ["assert f(2) == 4"], "entry_point": "f"}]
    described = Described(source=written(tmp_path, "a.jsonl", rows), grader="code")
    [question] = own.task("code", described).questions("all")
    assert question.info["tests"] == "assert f(2) == 4"
    assert question.tests


def test_a_set_of_the_hub_is_read_by_its_address(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def load_dataset(repo: str, config: str | None, *, split: str, revision: str | None) -> Any:
        asked.append((repo, config, split, revision))
        if split == "dev":
            raise ValueError('Unknown split "dev". Should be one of [train].\nmore')
        return datasets.Dataset.from_list(ROWS)

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    task, found = registry.load_spec("hf:me/hub-sums/main@abc:train[:2]")
    assert asked == [("me/hub-sums", "main", "train", "abc")]
    assert [each.gold for each in found] == ["1", "2"]
    assert task.source == "hf:me/hub-sums/main@abc"
    with pytest.raises(TaskError, match=r'hf:me/other:dev cannot be loaded: Unknown split "dev"[^\n]*$'):
        registry.load_spec("hf:me/other:dev")
    with pytest.raises(TaskError, match="hf:OWNER/NAME@REVISION:split"):
        registry.get("hf:me")


def test_python_makes_tasks_with_settings_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "from pydantic import BaseModel\n"
        "from evals.task import Question, Task\n"
        "class Settings(BaseModel):\n    count: int = 2\n"
        "def made(settings):\n"
        "    load = lambda split: [Question(str(i), 'q', '1') for i in range(settings.count)]\n"
        "    return Task('x', 'x', 'math', ('all',), 'all', load, 'mine')\n"
        "made.Settings = Settings\n"
    )
    task, found = registry.load_spec(f"{tmp_path}/mine.py:made?count=3[:2]")
    assert (task.name, len(found)) == (f"{tmp_path}/mine.py:made?count=3", 2)
    with pytest.raises(TaskError, match="unknown key 'cuont'; did you mean 'count'"):
        registry.get(f"{tmp_path}/mine.py:made?cuont=3")
    with pytest.raises(TaskError, match="has no 'make'; did you mean 'made'"):
        registry.get(f"{tmp_path}/mine.py:make")
