"""Evaluations written as other programs' files: these programs read them, and so does ``compare``."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from evals import formats
from evals.base import io
from evals.comparison.compare import compare
from evals.export import export
from evals.task import TaskError

QUESTIONS = [
    {"id": "a/1", "question": "2 + 2?", "gold": "4"},
    {"id": "b", "question": "1 + 2?", "gold": "3"},
    {"id": "c", "question": "1 + 1?", "gold": "2"},
]
HALF = "\ud83d"
"""Half a character, as a model whose tokens are bytes may write."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An evaluation with two samples a question: one question always right, one half the time, one never."""
    answers = {"a/1": ("4", "4"), "b": ("3", "7"), "c": ("5", "6")}
    rows = [
        {
            **question,
            "sample": number,
            "response": f"<think>hm {HALF}</think>It is \\boxed{{{text}}}.",
            "finish_reason": "stop" if number else "length",
            "tokens": 5,
        }
        for question in QUESTIONS
        for number, text in enumerate(answers[question["id"]])
    ]
    file = tmp_path / "responses.jsonl"
    io.write_lines(file, rows)
    from evals.recorded import score_file

    score_file(file, "math", tmp_path / "run")
    return tmp_path / "run"


def same(folder: Path, file: Path) -> None:
    """``compare`` of the two finds no question that differs, of all that there are."""
    [found] = compare([folder, file])
    assert (found.questions, found.value_a, found.value_b) == (3, 0.5, 0.5)
    assert not found.flips
    read = formats.recognise(file)
    assert read is not None
    samples = [(row["id"], row["sample"], row["correct"]) for row in formats.rows(read)]
    assert [row[2] for row in sorted(samples)] == [True, True, True, False, False, False]


def test_a_parquet_table_has_a_row_for_each_sample(folder: Path, tmp_path: Path) -> None:
    [file] = export(folder, "parquet")
    assert file == folder / "export" / "math.parquet"
    same(folder, file)
    rows = pq.read_table(file).to_pylist()
    first = next(row for row in rows if row["id"] == "a/1")
    assert first["response"] == "<think>hm ?</think>It is \\boxed{4}."
    told = [first[key] for key in ("benchmark", "answer", "finish_reason", "tokens", "won")]
    assert told == ["math", "4", "length", 5, None]


def test_lm_eval_shows_the_results_and_compare_reads_the_samples(folder: Path, tmp_path: Path) -> None:
    results, samples = export(folder, "lm-eval", tmp_path / "out")
    same(folder, samples)
    utils = pytest.importorskip("lm_eval.utils")
    assert utils.get_results_filenames([str(results)]) == [str(results)]
    assert utils.get_file_task_name(samples.stem.removesuffix(".jsonl")) == "math"
    table = utils.make_table(json.loads(results.read_text()))
    assert "|math |N/A    |none  |     0|exact_match|↑  |  0.5|±  |0.2887|" in table.splitlines()


def test_inspect_reads_the_log(folder: Path, tmp_path: Path) -> None:
    log = pytest.importorskip("inspect_ai.log")
    [file] = export(folder, "inspect", tmp_path / "out")
    same(folder, file)
    read = log.read_eval_log(str(file))
    assert (read.status, read.eval.task, read.eval.config.epochs) == ("success", "math", 2)
    assert read.results.scores[0].metrics["accuracy"].value == 0.5
    [sample] = [one for one in read.samples if (one.id, one.epoch) == ("a/1", 1)]
    assert (sample.scores["correct"].value, sample.output.stop_reason) == ("C", "max_tokens")
    assert sample.output.completion == "<think>hm ?</think>It is \\boxed{4}."


def test_without_inspect_the_extra_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "inspect_ai.log", None)
    with pytest.raises(TaskError, match=r"pip install 'grpo-harness\[inspect\]'"):
        export(folder, "inspect")


def test_the_policies_of_a_sweep_go_into_folders_of_their_own(folder: Path, tmp_path: Path) -> None:
    for name in ("base", "winner-seed-1"):
        (tmp_path / "sweep" / "evals" / name).mkdir(parents=True)
        (folder / "math").rename(tmp_path / "sweep" / "evals" / name / "math") if name == "base" else None
    other = tmp_path / "sweep" / "evals" / "winner-seed-1" / "math"
    other.mkdir()
    for file in ("scores.json", "samples.jsonl"):
        (other / file).write_bytes((other.parents[1] / "base" / "math" / file).read_bytes())
    written = export(tmp_path / "sweep", "parquet")
    assert [str(path.relative_to(tmp_path / "sweep")) for path in written] == [
        "export/base/math.parquet",
        "export/winner-seed-1/math.parquet",
    ]


def test_samples_that_are_not_those_scored_are_refused(folder: Path) -> None:
    path = folder / "math" / "samples.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-1]))
    with pytest.raises(TaskError, match=r"samples\.jsonl: has other samples of 'c' than scores\.json counts"):
        export(folder, "parquet")


def test_what_cannot_be_exported_is_said(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match="contains no evaluation to export"):
        export(tmp_path, "parquet")
    with pytest.raises(TaskError, match="did you mean 'inspect'"):
        export(tmp_path, "inspct")
