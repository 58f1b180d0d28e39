"""Questions that are in two of training, dev set and benchmarks."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from evals.base.errors import UsageError
from harness import config
from harness.config import GRPO, SFT, Data, Eval, Evaluate, Experiment, Reject
from harness.train.checks import check_experiment
from harness.train.overlap import Named, overlaps


def experiment(stages: list[Any] | None = None, benchmarks: tuple[str, ...] = (), **data: Any) -> Experiment:
    return Experiment(
        name="x",
        policy=config.Policy(model="tiny", template="tags"),
        data=Data(**{"train": "tiny-aime:train[:50]", "dev": "tiny-aime:dev[:5]", **data}),
        stages=stages or [GRPO()],
        eval=Eval(benchmarks=list(benchmarks)),
    )


def test_only_sets_of_different_roles_may_not_meet() -> None:
    train, more = Named("training", "a", ["q", "r"]), Named("training", "b", ["q"])
    dev, benchmark = Named("dev", "c", ["Q!", "s"]), Named("benchmark", "d", ["t", "R", "S"])
    assert list(overlaps([train, more])) == []
    found = list(overlaps([train, more, dev, benchmark]))
    assert found == [
        "c: 1 of its 2 questions are in a too, 'Q!' for one",
        "d: 1 of its 3 questions are in a too, 'R' for one",
        "c: 1 of its 2 questions are in b too, 'Q!' for one",
        "d: 1 of its 3 questions are in c too, 'S' for one",
    ]


@pytest.mark.parametrize(
    ("made", "sentence"),
    [
        (
            experiment(dev="tiny-aime:train[40:60]"),
            r"data\.dev \(tiny-aime:train\[40:60\]\): 10 of its 20 questions are in data\.train",
        ),
        (experiment(train="tiny-math:test[:9]", benchmarks=("tiny-math",)), "the benchmark tiny-math: 9 of"),
        (
            experiment(dev="tiny-aime:test[:3]", benchmarks=("tiny-aime",)),
            "tiny-aime: 3 of its 30 .* data.dev",
        ),
        (
            experiment([Evaluate(benchmarks=["tiny-aime"]), GRPO()], train="tiny-aime:test[:3]"),
            "the benchmark tiny-aime: 3 of",
        ),
        (
            experiment([Reject(data=["tiny-aime:dev[:2]"]), SFT(data="reject")]),
            r"data\.dev .*: 2 of its 5 questions are in reject\.data \(tiny-aime:dev\[:2\]\)",
        ),
    ],
)
def test_questions_that_are_learned_and_asked_again_are_refused(made: Experiment, sentence: str) -> None:
    with pytest.raises(UsageError, match=rf'{sentence}.*set data\.overlap = "allow"'):
        check_experiment(made)


def test_a_file_of_answers_is_training_too(tmp_path: Path) -> None:
    asked = check_experiment(experiment()).of(["tiny-aime:dev[:5]"])
    file = tmp_path / "answers.jsonl"
    rows = [{"task": "tiny-aime", "question": f" {asked[0][1].text}", "response": "4"}, {"prompt": "p"}, 3]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows) + "{broken\n")
    with pytest.raises(UsageError, match=r"data\.dev .*: 1 of its 5 questions are in sft\.data"):
        check_experiment(experiment([SFT(data=str(file))]))


def test_an_explicit_word_allows_it_and_it_is_told(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        check_experiment(experiment(dev="tiny-aime:train[40:60]", overlap="allow"))
    assert "10 of its 20 questions are in data.train" in caplog.text


def test_sets_apart_are_fine(caplog: pytest.LogCaptureFixture) -> None:
    check_experiment(experiment(dev="tiny-aime:train[50:60]", benchmarks=("tiny-aime", "tiny-math")))
    assert caplog.text == ""
