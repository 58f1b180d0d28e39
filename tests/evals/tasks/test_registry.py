"""Task specifications, the registry, and the real data sets where HARNESS_DATA has them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from evals.task import TaskError
from evals.tasks import gpqa, registry

needs_data = pytest.mark.skipif("HARNESS_DATA" not in os.environ, reason="HARNESS_DATA is not set")


def write_gsm8k(folder: Path, split: str, count: int) -> None:
    rows = (
        {"question": f"What is {i} + 1?", "answer": f"It is {i + 1}.\n#### {i + 1:,}"} for i in range(count)
    )
    (folder / f"gsm8k_{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path))
    write_gsm8k(tmp_path, "train", 30)
    write_gsm8k(tmp_path, "test", 5)
    return tmp_path


@pytest.mark.parametrize(
    ("spec", "ids"),
    [
        ("gsm8k", range(5)),
        ("gsm8k:test", range(5)),
        ("gsm8k[1:3]", range(1, 3)),
        ("gsm8k:train[-4:]", range(26, 30)),
        ("gsm8k:train[:-28]", range(2)),
        ("gsm8k:train[0:30:10]", range(0, 30, 10)),
        ("gsm8k:train[::-1]", range(29, -1, -1)),
        (" gsm8k : train [ 2 : 4 ] ", range(2, 4)),
    ],
)
def test_a_specification_selects_as_python_slices(data: Path, spec: str, ids: range) -> None:
    task, questions = registry.load_spec(spec)
    assert task.name == "gsm8k"
    assert [question.id for question in questions] == [str(i) for i in ids]


@pytest.mark.parametrize(
    ("spec", "named"),
    [
        ("gms8k", "gsm8k"),
        ("gsm8k:validation", "test, train"),
        ("gsm8k:train[5]", "[5]"),
        ("gsm8k:train[a:b]", "[a:b]"),
        ("gsm8k:train[::0]", "step"),
        ("gsm8k:train[9:3]", "no questions"),
        ("gsm8k:train:test", "task:split[a:b]"),
        ("gsm8k[1:2", "task:split[a:b]"),
        ("", "task:split[a:b]"),
    ],
)
def test_a_bad_specification_is_one_sentence_that_names_the_part(data: Path, spec: str, named: str) -> None:
    with pytest.raises(TaskError) as error:
        registry.load_spec(spec)
    assert named in str(error.value)
    assert "\n" not in str(error.value)


def test_gsm8k_gold_is_what_follows_the_hashes(data: Path) -> None:
    write_gsm8k(data, "train", 1200)
    assert registry.load_spec("gsm8k:train[1199:]")[1][0].gold == "1,200"
    (data / "gsm8k_train.jsonl").write_text('{"question": "?", "answer": "no hashes"}\n')
    with pytest.raises(TaskError, match="####"):
        registry.load_spec("gsm8k:train")


def test_amc_answers_are_integers_whatever_the_column_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path))
    rows = [{"id": i, "question": "?", "answer": answer} for i, answer in enumerate([27.0, -1.0, 3159, "45"])]
    (tmp_path / "amc.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert [question.gold for question in registry.load_spec("amc")[1]] == ["27", "-1", "3159", "45"]


def gpqa_row(key: str) -> dict[str, str]:
    wrong = {f"Incorrect Answer {i}": f"wrong {i}" for i in (1, 2, 3)}
    return {"Record ID": key, "Question": "Which?", "Correct Answer": "right", **wrong}


def test_gpqa_options_are_shuffled_reproducibly_and_the_gold_follows_the_right_one() -> None:
    questions = [gpqa.arrange(gpqa_row(f"rec{i}")) for i in range(400)]
    assert questions == [gpqa.arrange(gpqa_row(f"rec{i}")) for i in range(400)]
    for question in questions:
        assert question.info["options"]["ABCD".index(question.gold)] == "right"
        assert f"({question.gold}) right" in question.text
    counts = [sum(question.gold == letter for question in questions) for letter in "ABCD"]
    assert min(counts) > 60


def test_gpqa_shows_each_sample_an_order_of_its_own() -> None:
    question = gpqa.arrange(gpqa_row("rec0"))
    assert gpqa.reorder(question, 0) == question
    shown = [gpqa.reorder(question, sample) for sample in range(400)]
    for variant in shown:
        assert variant.id == question.id
        assert variant.info["options"]["ABCD".index(variant.gold)] == "right"
        assert f"({variant.gold}) right" in variant.text
        assert sorted(variant.info["options"]) == sorted(question.info["options"])
    assert min(sum(variant.gold == letter for variant in shown) for letter in "ABCD") > 60
    assert len({variant.info["options"] for variant in shown}) == 24


def test_every_task_can_be_looked_up() -> None:
    for name in registry.names():
        task = registry.get(name)
        assert task.name == name
        assert task.benchmark in task.splits
        for file in registry.files(name):
            assert len(file.revision) == 40 or (file.revision == "" and not file.checked)
            assert file.count > 0


@needs_data
@pytest.mark.parametrize(
    ("spec", "count", "first"),
    [
        ("aime24", 30, ("60", "204")),
        ("math500", 500, ("test/precalculus/807.json", r"\left( 3, \frac{\pi}{2} \right)")),
        ("gsm8k:train", 7473, ("0", "72")),
        ("gsm8k:test", 1319, ("0", "18")),
    ],
)
def test_the_real_data(spec: str, count: int, first: tuple[str, str]) -> None:
    _, questions = registry.load_spec(spec)
    assert len(questions) == count
    assert len({question.id for question in questions}) == count
    assert all(question.gold and question.text for question in questions)
    assert (questions[0].id, questions[0].gold) == first
