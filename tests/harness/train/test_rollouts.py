"""The graders of a stage: what a judge among them takes is counted with the stage's costs."""

from __future__ import annotations

from pathlib import Path

import pytest

from evals.base import io
from evals.graders.base import Response
from evals.task import Question, Task
from harness.train.ledger import judge_file
from harness.train.rollouts import Graders
from tests.evals.judging import judge_server, says


def test_a_judge_that_grades_in_training_is_paid_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    questions = [Question("q", "Who?", "Ada")]
    task = Task("mine", "Mine", "judge", ("test",), "test", lambda _: questions, "made up")
    path = judge_file(tmp_path, "grpo")
    usage = {"prompt_tokens": 100, "completion_tokens": 10}
    with judge_server(lambda _: says("VERDICT: CORRECT"), usage) as url:
        for name, value in (("URL", url), ("MODEL", "j"), ("PRICE", "1000,5000")):
            monkeypatch.setenv(f"HARNESS_JUDGE_{name}", value)
        for texts in (["Ada", "Bob"], ["Eve"]):  # two launches share the file
            with Graders(path) as graders:
                graders.of(task).grade([(questions[0], Response(text)) for text in texts])
    told = io.read_json(path)
    assert (told["prompt_tokens"], told["reply_tokens"]) == (300, 30)
    assert told["price"] == pytest.approx((300 * 1000 + 30 * 5000) / 1e6)
