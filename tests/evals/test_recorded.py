"""Recorded responses: every row is graded once, or the line that cannot be is named."""

from __future__ import annotations

import gzip
import json
import math
import os
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from evals.recorded import score_file
from evals.records import read_samples
from evals.scores import read_scores
from evals.task import TaskError
from harness.cli.app import app

DATA = Path(os.environ.get("HARNESS_DATA", "not set"))
needs_data = pytest.mark.skipif(
    not (DATA / "recorded").is_dir(), reason="HARNESS_DATA names no folder with recorded/"
)


def write(path: Path, rows: Sequence[Any]) -> Path:
    path.write_text("".join(row if isinstance(row, str) else json.dumps(row) + "\n" for row in rows))
    return path


def boxed(name: object, answer: object, gold: object = "4", **more: object) -> dict[str, object]:
    return {"id": name, "response": f"So it is \\boxed{{{answer}}}.", "gold": gold, **more}


def test_golds_may_come_with_the_rows(tmp_path: Path) -> None:
    rows = [
        boxed("a", 4, sample=1),
        boxed("b", "C", "C"),
        boxed("a", 5, sample=0),
        {"id": "b", "response": "cut off", "gold": "C", "sample": 1, "finish_reason": "length"},
    ]
    rows[1]["sample"] = 0
    [scores] = score_file(write(tmp_path / "rows.jsonl", rows), "math", out=tmp_path / "out")
    assert [(question.id, question.n, question.correct) for question in scores.questions] == [
        ("a", 2, 1),
        ("b", 2, 1),
    ]
    assert scores.to_json()["truncated"] == 0.25
    folder = tmp_path / "out" / "math"
    assert read_scores(folder / "scores.json") == scores
    assert [(sample.id, sample.sample) for sample in read_samples(folder / "samples.jsonl")] == [
        ("a", 1),
        ("b", 0),
        ("a", 0),
        ("b", 1),
    ]


def test_the_order_of_rows_does_not_matter(tmp_path: Path) -> None:
    rows = [boxed(f"q{i % 5}", (i * 7) % 4, i % 5, sample=i // 5) for i in range(40)]
    [scores] = score_file(write(tmp_path / "rows.jsonl", rows), "math")
    random.Random(0).shuffle(rows)
    [again] = score_file(write(tmp_path / "rows.jsonl", rows), "math")
    assert {q.id: (q.n, q.correct) for q in scores.questions} == {
        q.id: (q.n, q.correct) for q in again.questions
    }
    assert scores.cons_at_k(5) == again.cons_at_k(5)


def test_each_model_is_scored_for_itself(tmp_path: Path) -> None:
    rows = [boxed("a", 4, model="org/one"), boxed("a", 5, model=".."), boxed("b", 4, model="org/one")]
    scores = score_file(write(tmp_path / "rows.jsonl", rows), "math", out=tmp_path / "out")
    assert [(one.model, one.pass_at_1().value) for one in scores] == [("org/one", 1.0), ("..", 0.0)]
    assert scores[1].missing == ("b",)
    assert scores[1].bounds() == (0.0, 0.5)
    folders = [path.parent.relative_to(tmp_path / "out") for path in (tmp_path / "out").rglob("scores.json")]
    assert sorted(map(str, folders)) == ["_./math", "org_one/math"]


def test_models_whose_names_look_alike_in_a_folder_keep_their_rows(tmp_path: Path) -> None:
    """ "a/b" and "a_b" shared one folder and destroyed each other's rows."""
    names = ["a/b", "a_b", "a:b", "A_b", "x" * 300, "x" * 301, ".."]
    rows = [boxed(f"q{i}", 4, model=name) for i, name in enumerate(names)]
    for _ in range(2):  # a second time, the same folders
        score_file(write(tmp_path / "rows.jsonl", rows), "math", out=tmp_path / "out")
        found = {}
        for path in (tmp_path / "out").glob("*/math"):
            [row] = [json.loads(line) for line in (path / "samples.jsonl").read_text().splitlines()]
            found[json.loads((path / "scores.json").read_text())["model"]] = row["id"]
        assert found == {name: f"q{i}" for i, name in enumerate(names)}


def test_a_later_file_does_not_destroy_another_models_rows(tmp_path: Path) -> None:
    for name in ("a/b", "a_b"):
        score_file(write(tmp_path / "rows.jsonl", [boxed("q", 4, model=name)]), "math", out=tmp_path / "out")
    assert len(list((tmp_path / "out").glob("*/math/scores.json"))) == 2
    assert (tmp_path / "out/a_b/math").is_dir()


def test_equal_samples_of_every_question_are_told(tmp_path: Path) -> None:
    rows = [boxed(name, 4, sample=i) for name in "ab" for i in range(8)]
    [scores] = score_file(write(tmp_path / "rows.jsonl", rows), "math", out=tmp_path / "out")
    [told] = scores.to_json()["warnings"]
    assert told.startswith("all samples of each question are the same response")
    assert scores.to_json()["pass@1"]["stderr_benchmark"] is None
    again = read_scores(tmp_path / "out/math/scores.json")
    assert again.to_json()["warnings"] == [told]
    rows[-1]["response"] += " indeed"
    [scores] = score_file(write(tmp_path / "rows.jsonl", rows), "math")
    assert scores.to_json()["warnings"] == []


def test_questions_of_the_benchmark_without_rows_are_named(tmp_path: Path) -> None:
    rows = [{"id": str(number), "response": "<answer>1</answer>"} for number in range(2)]
    from evals.tasks import registry

    _, questions = registry.load_spec("tiny-aime")
    for row, question in zip(rows, questions, strict=False):
        row["id"] = question.id
    [scores] = score_file(write(tmp_path / "rows.jsonl", rows), "tiny-aime")
    assert len(scores.questions) == 2
    assert scores.missing == tuple(question.id for question in questions[2:])
    assert scores.bounds()[1] >= 28 / 30


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        ("not json\n", "is not valid JSON"),
        ("[1]\n", "is not a JSON object"),
        ({"response": "x", "gold": "4"}, "lacks the key 'id'"),
        ({"id": "a", "gold": "4"}, "lacks the key 'response'"),
        ({"id": None, "response": "x", "gold": "4"}, "needs 'id'"),
        ({"id": "a", "response": 3, "gold": "4"}, "needs 'response'"),
        ({"id": "c", "response": "x"}, "needs 'gold'"),
        (boxed("a", 4), "repeats sample 0 of id 'a'"),
        (boxed("a", 4, "5", sample=1), "has the gold '5' where an earlier row"),
        (boxed("a", 4, sample=-1), "needs 'sample'"),
        (boxed("a", 4, sample=1, finish_reason="eos"), "needs .finish_reason. to be one of stop, length"),
        (boxed("a", 4, sample=1, tokens="3"), "needs 'tokens'"),
        (boxed("c", 4, float("nan")), "needs 'gold'"),
        (boxed("c", 4, " "), "needs 'gold'"),
        (boxed("c", 4, sample=0.5), "needs 'sample'"),
        (boxed("c", 4, id=float("nan")), "needs 'id'"),
        (boxed("c", 4, math.inf), "has an infinite number as 'gold'"),
        (boxed("c\ud83d", 4), "has half a character .a lone surrogate. in 'id'"),
        (boxed("c", 4, model="m\ud83d"), "has half a character .a lone surrogate. in 'model'"),
    ],
)
def test_a_bad_row_is_named_by_its_line_and_nothing_is_written(
    tmp_path: Path, bad: object, told: str
) -> None:
    path = write(tmp_path / "rows.jsonl", [boxed("a", 4), "\n", bad, boxed("b", 4)])
    with pytest.raises(TaskError, match=f"rows.jsonl, line 3 {told}"):
        score_file(path, "math", out=tmp_path / "out")
    assert list((tmp_path / "out").rglob("*.json*")) == []


@pytest.mark.parametrize("packed", [bytes, gzip.compress, lambda text: b"\xef\xbb\xbf" + text])
def test_a_table_s_floats_and_empty_cells_are_read(tmp_path: Path, packed: Callable[[bytes], bytes]) -> None:
    empty = float("nan")
    rows = [
        boxed(7.0, 5, 5.0, sample=0.0, tokens=12.0, finish_reason=empty, model=empty, question=empty),
        boxed(7, 4, 5, sample=1.0, tokens=8.0, finish_reason="length", model=None),
    ]
    path = write(tmp_path / "rows.jsonl", rows)
    path.write_bytes(packed(path.read_bytes()))
    [scores] = score_file(path, "math", out=tmp_path / "out")
    [question] = scores.questions
    assert (question.id, question.n, question.correct, question.tokens) == ("7", 2, 1, 20)
    assert (scores.model, scores.truncated) == ("", 0.5)


def test_half_a_character_in_an_answer_is_graded_kept_and_printed(tmp_path: Path) -> None:
    """Nobody sees it: beside an answer it changes nothing, alone it is none."""
    rows = [boxed("a", "4\ud83d", "4"), boxed("b", "\ud83d", "4")]
    path = write(tmp_path / "rows.jsonl", rows)
    score_file(path, "math", out=tmp_path / "out")
    kept = list(read_samples(tmp_path / "out" / "math" / "samples.jsonl"))
    assert [(each.answer, each.status) for each in kept] == [("4", "correct"), (None, "unparsed")]
    assert kept[0].response == rows[0]["response"]
    for more in ([], ["--json"]):
        found = CliRunner().invoke(app, ["score", str(path), "--benchmark", "math", *more])
        assert found.exit_code == 0, found.output


def test_a_model_of_a_long_name_has_a_folder(tmp_path: Path) -> None:
    rows = [boxed("a", 4, model=letter * 300) for letter in "mn"]
    score_file(write(tmp_path / "rows.jsonl", rows), "math", out=tmp_path / "out")
    assert len(list(tmp_path.glob("out/*/math/scores.json"))) == 2


def test_unknown_ids_and_benchmarks_are_named(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.jsonl", [{"id": "nobody", "response": "x"}])
    with pytest.raises(TaskError, match="line 1 has the unknown id 'nobody'"):
        score_file(path, "tiny-aime")
    with pytest.raises(TaskError, match="unknown task"):
        score_file(path, "tiny-aim")
    with pytest.raises(TaskError, match="no such file"):
        score_file(tmp_path / "missing.jsonl", "math")
    with pytest.raises(TaskError, match="contains no rows"):
        score_file(write(path, ["\n"]), "math")


def test_an_evaluation_that_was_sampled_is_not_overwritten(tmp_path: Path) -> None:
    folder = tmp_path / "out" / "math"
    folder.mkdir(parents=True)
    (folder / "key.json").write_text("{}")
    with pytest.raises(TaskError, match="name another --out"):
        score_file(write(tmp_path / "rows.jsonl", [boxed("a", 4)]), "math", out=tmp_path / "out")


@needs_data
@pytest.mark.slow
def test_recorded_math_responses(tmp_path: Path) -> None:
    """100 problems x 8 responses of a real model: pass@1 0.91 against the labels that came with them."""
    rows, labels = [], {}
    for line in (DATA / "recorded" / "math_cot_100x8.jsonl").read_text().splitlines():
        record = json.loads(line)
        for number, response in enumerate(record["code"]):
            name = str(record["idx"])
            labels[name, number] = record["score"][number]
            row = {"id": name, "sample": number, "response": response, "gold": record["gt"]}
            rows.append({**row, "question": record["question"]})
    [scores] = score_file(write(tmp_path / "rows.jsonl", rows), "math", out=tmp_path / "out")
    graded = read_samples(tmp_path / "out" / "math" / "samples.jsonl")
    agreeing = sum(sample.correct == labels[sample.id, sample.sample] for sample in graded)
    assert agreeing >= 790
    assert scores.pass_at_1().value == pytest.approx(0.91, abs=0.006)
    assert scores.cons_at_k(8).value >= scores.pass_at_1().value


@needs_data
@pytest.mark.slow
def test_recorded_gsm8k_solutions(tmp_path: Path) -> None:
    """Four real models; their accuracies agree with the labels on at least 99.5% of rows."""
    questions = [
        json.loads(line)["question"] for line in (DATA / "gsm8k_test.jsonl").read_text().splitlines()
    ]
    rows, labels = [], {}
    for line in (DATA / "recorded" / "gsm8k_model_solutions.jsonl").read_text().splitlines():
        record = json.loads(line)
        name = str(questions.index(record["question"]))
        for model, solution in record.items():
            if isinstance(solution, dict):
                labels[model, name] = solution["is_correct"]
                rows.append({"id": name, "model": model, "response": solution["solution"]})
    scores = score_file(write(tmp_path / "rows.jsonl", rows), "gsm8k")
    assert len(scores) == 4
    agreeing = [
        (question.correct == 1) == labels[one.model, question.id]
        for one in scores
        for question in one.questions
    ]
    assert len(agreeing) == 4 * 1319
    assert sum(agreeing) >= 0.995 * len(agreeing)


def test_rows_of_choices_may_bring_their_options(tmp_path: Path) -> None:
    texts = ["The answer is a photon.", "\\boxed{2}", "(E)-2-butene", "The answer is C."]
    rows = [
        {
            "id": "a",
            "sample": i,
            "response": text,
            "gold": "C",
            "choices": ["gluon", "W boson", "photon", "2"],
        }
        for i, text in enumerate(texts)
    ]
    score_file(write(tmp_path / "rows.jsonl", rows), "choice", out=tmp_path / "out")
    samples = list(read_samples(tmp_path / "out" / "choice" / "samples.jsonl"))
    assert [(sample.status, sample.answer) for sample in samples] == [
        ("correct", "photon"),
        ("wrong", "2"),
        ("unparsed", None),
        ("correct", "photon"),
    ]


@pytest.mark.parametrize(
    "choices", ["ABCD", ["one"], ["one", "one"], ["one", ""], [1, 2], [f"{i}" for i in range(11)]]
)
def test_choices_that_are_none_are_named(tmp_path: Path, choices: object) -> None:
    row = {"id": "a", "response": "A", "gold": "A", "choices": choices}
    with pytest.raises(TaskError, match="line 1 needs 'choices' as a list of 2 to 10 different texts"):
        score_file(write(tmp_path / "rows.jsonl", [row]), "choice")


def test_rows_of_one_question_have_the_same_choices(tmp_path: Path) -> None:
    rows = [
        {"id": "a", "sample": i, "response": "A", "gold": "A", "choices": ["one", f"two {i}"]}
        for i in range(2)
    ]
    with pytest.raises(TaskError, match="line 2 has other 'choices' than an earlier row of id 'a'"):
        score_file(write(tmp_path / "rows.jsonl", rows), "choice")


def test_an_answer_in_an_unclosed_block_counts_or_not(tmp_path: Path) -> None:
    path = write(
        tmp_path / "rows.jsonl", [{"id": "a", "response": "<think>2+2 <answer>4</answer>", "gold": "4"}]
    )
    assert [
        score_file(path, "math", unclosed_answers=on)[0].questions[0].correct for on in (True, False)
    ] == [1, 0]
