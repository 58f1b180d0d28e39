"""Scores: what is counted, what is written, and that both agree."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import pytest

from evals.base.errors import UsageError
from evals.graders.base import Response, Status, Verdict
from evals.records import Sample
from evals.scores import Scores, read_scores, tally
from evals.stats.metrics import QuestionStats, Vote
from evals.task import Question, TaskError


class ByNumber:
    """Answers are the same where they are the same number: "4" and "4.0"."""

    isolation = "none needed"

    def grade(self, items: Sequence[tuple[Question, Response]]) -> list[Verdict]:
        raise AssertionError("samples come graded")

    def vote_classes(self, question: Question, answers: Sequence[str | None]) -> list[int | None]:
        seen: dict[float, int] = {}
        return [None if a is None else seen.setdefault(float(a), len(seen)) for a in answers]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None


def sample(
    name: str, number: int, answer: str | None, status: Status, text: str = "", tokens: int = 10
) -> Sample:
    finish = "length" if status == "unparsed" else "stop"
    return Sample(name, number, text or f"{name}{number}", answer, status, "", finish, tokens, 0.1)


QUESTIONS = [Question("a", "?", "4"), Question("b", "?", "5"), Question("c", "?", "6")]
SAMPLES = [
    sample("b", 0, None, "unparsed"),
    sample("a", 1, "4.0", "correct", "same"),
    sample("a", 0, "4", "correct", "same"),
    sample("a", 3, "7", "wrong", tokens=40),
    sample("b", 1, "5", "grader_error"),
    sample("a", 2, "7.0", "wrong", tokens=40),
    sample("b", 2, "5", "correct"),
    sample("b", 3, None, "unparsed"),
]


def scored(samples: Sequence[Sample] = SAMPLES) -> Scores:
    stats = tally(samples, QUESTIONS, ByNumber(), votes=True)
    return Scores("bench", stats, "none needed", missing=("c",))


def test_every_kind_of_sample_is_counted_once() -> None:
    first, second = scored().questions
    assert first == QuestionStats(
        "a", 4, 2, (Vote("4", 2, True), Vote("7.0", 2, False)), duplicates=1, tokens=100, tokens_correct=20
    )
    assert (second.unparsed, second.truncated, second.grader_errors, second.abstained) == (2, 2, 1, 2)


def test_timeouts_are_counted_by_what_the_verdict_says() -> None:
    details = ["timeout: input 1: not done within 6 s", "failed: timeout", "timeout: not done within 6 s", ""]
    samples = [
        replace(sample("a", number, None, "wrong"), detail=detail) for number, detail in enumerate(details)
    ]
    scores = scored([*samples, *SAMPLES[:1]])
    assert [question.timeouts for question in scores.questions] == [2, 0]
    assert scores.to_json()["timeouts"] == 2 / 5


def test_the_order_of_samples_does_not_matter() -> None:
    shuffled = list(SAMPLES)
    random.Random(1).shuffle(shuffled)
    assert scored(shuffled) == scored()


def test_the_json_is_the_public_contract() -> None:
    answer = scored().to_json()
    assert json.loads(json.dumps(answer)) == answer
    assert answer["benchmark"] == "bench"
    assert answer["questions"] == 2
    assert answer["samples_per_question"] == {"min": 4, "max": 4}
    one = answer["pass@1"]
    assert one["value"] == pytest.approx((2 / 4 + 1 / 4) / 2)
    assert one["stderr"] == pytest.approx(np.std([0.5, 0.25], ddof=1) / np.sqrt(2))
    assert one["ci95"][0] < one["value"] < one["ci95"][1]
    # c is missing and one sample of b could not be graded: 0.75/3 if all of that is wrong, 2/3 if right.
    assert one["bounds"] == pytest.approx([0.25, 2 / 3])
    assert set(answer["pass@k"]) == {"1", "2", "3", "4"}
    assert answer["pass@k"]["1"] == pytest.approx(one["value"])
    assert answer["pass@k"]["4"] == 1.0
    assert answer["pass^k"]["2"] == pytest.approx((1 / 6 + 0) / 2)
    # a: two classes of two tie; b: the grader error and the right answer are one class, seen half right.
    assert answer["cons@k"]["4"]["value"] == pytest.approx(0.25)
    assert (answer["unparsed"], answer["truncated"], answer["grader_errors"]) == (2 / 8, 2 / 8, 1 / 8)
    assert answer["duplicates"] == 1 / 8
    assert answer["isolation"] == "none needed"
    assert answer["missing"] == ["c"]
    assert answer["tokens"] == {
        "total": 140,
        "mean": 17.5,
        "mean_correct": 10.0,
        "mean_wrong": 22.0,
        "accuracy_per_1000": pytest.approx(0.375 / 0.0175),
    }


def test_scores_read_back_as_they_were(tmp_path: Path) -> None:
    scores = scored()
    scores.write(tmp_path)
    assert read_scores(tmp_path / "scores.json") == scores
    assert read_scores(tmp_path / "scores.json").to_json() == scores.to_json()


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"per_question": [3]}', "[" * 50_000])
def test_what_is_no_scores_file_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "scores.json").write_text(text)
    with pytest.raises(TaskError, match=r"scores\.json: is not a scores\.json of this program"):
        read_scores(tmp_path / "scores.json")
    with pytest.raises(TaskError, match="no such file"):
        read_scores(tmp_path / "other.json")


@pytest.mark.parametrize(
    "damage",
    [
        *({"benchmark": ["x"]}, {"model": None}, {"protocol": "x"}, {"per_question": []}),
        *({"id": [1]}, {"n": 0}, {"n": "4"}, {"correct": -1}, {"correct": 99}, {"tokens": 10**400}),
        *({"votes": [["4", "x", True]]}, {"duels": [[1.0, 0.0, 3]]}),
    ],
)
def test_scores_that_cannot_be_are_named(tmp_path: Path, damage: dict[str, Any]) -> None:
    raw = scored().to_json()
    inner = set(damage) <= set(raw["per_question"][0]) | {"duels"}
    (raw["per_question"][0] if inner else raw).update(damage)
    (tmp_path / "scores.json").write_text(json.dumps(raw))
    with pytest.raises(TaskError, match=r"scores\.json: is not a scores\.json of this program"):
        read_scores(tmp_path / "scores.json")


def test_scores_say_their_version_and_older_ones_are_read(tmp_path: Path) -> None:
    scores = scored()
    raw = scores.to_json()
    assert raw["version"] == 1
    del raw["version"]
    (tmp_path / "scores.json").write_text(json.dumps(raw))
    assert read_scores(tmp_path / "scores.json") == scores
    (tmp_path / "scores.json").write_text(json.dumps({**raw, "version": 2}))
    with pytest.raises(UsageError, match=r"scores\.json: has version 2, and this"):
        read_scores(tmp_path / "scores.json")


def test_programs_do_not_vote_and_their_texts_are_not_kept() -> None:
    stats = tally(SAMPLES, QUESTIONS, ByNumber(), votes=False)
    answer = Scores("code", stats, "bubblewrap", votes=False).to_json()
    assert answer["cons@k"] == {}
    assert all(question.votes == () for question in stats)


def test_unknown_lengths_are_not_guessed() -> None:
    stats = (QuestionStats("a", 1, 1, tokens=5, tokens_correct=5), QuestionStats("b", 1, 1))
    assert Scores("bench", stats, "none needed").to_json()["tokens"] is None


def test_many_samples_have_a_grid_of_k() -> None:
    stats = (QuestionStats("a", 300, 150, (Vote("1", 150, True), Vote("2", 120, False))),)
    scores = Scores("bench", stats, "none needed")
    assert scores.ks == (1, 2, 4, 8, 10, 16, 32, 64, 100, 128, 256, 300)
    answer = scores.to_json()
    assert answer["cons@k"]["300"] == {"value": 1.0, "ci95": answer["cons@k"]["300"]["ci95"]}
    assert 0 < answer["cons@k"]["16"]["monte_carlo_error"] < 0.01
