"""What a judge was paid for is kept and counted: it is asked again only where its replies hold no verdict."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from evals.base import io
from evals.graders.base import Response
from evals.graders.judge.arena_hard import ArenaHardGrader
from evals.graders.judge.base import JudgedGrader, judge_cost, keeping
from evals.graders.judge.client import Judge
from evals.graders.judge.reference import JudgeGrader
from evals.recorded import score_file
from evals.scores import read_scores
from evals.stats.tables import JudgeBill
from evals.task import Question
from tests.evals.judging import judge_server, says

QUESTION = Question("q", "Who?", "Ada")
USAGE = {"prompt_tokens": 100, "completion_tokens": 7}
QUICK = (0.01,)
Said = Callable[[dict[str, Any]], str]


class Asking:
    """A judge that says what it is told to, and what it was asked."""

    def __init__(self, said: Said, usage: dict[str, Any] | None = None) -> None:
        self.said, self.usage = said, USAGE if usage is None else usage
        self.asked: list[dict[str, Any]] = []

    def grade(
        self,
        path: Path,
        texts: Sequence[str],
        kind: type[JudgedGrader] = JudgeGrader,
        price: tuple[float, float] | None = (1000.0, 2000.0),
    ) -> tuple[list[str], JudgeBill | None]:
        """The verdicts' status, and what the file's replies took."""

        def reply(body: dict[str, Any]) -> dict[str, Any]:
            self.asked.append(body)
            return says(self.said(body))

        with judge_server(reply, self.usage) as url, kind(Judge(url, "j", price=price), QUICK) as grader:
            kept = keeping(grader, path)
            verdicts = grader.grade([(QUESTION, Response(text)) for text in texts])
            return [verdict.status for verdict in verdicts], judge_cost(grader, kept)


def right(_: dict[str, Any]) -> str:
    return "Yes.\nVERDICT: CORRECT"


def test_a_reply_that_is_kept_is_not_asked_for_again_and_is_counted_once(tmp_path: Path) -> None:
    judge, path = Asking(right), tmp_path / "judge.jsonl"
    bill = {
        "requests": 2,
        "prompt_tokens": 200,
        "response_tokens": 14,
        "uncounted": 0,
        "price_per_million": {"prompt": 1000.0, "response": 2000.0},
        "total": pytest.approx((200 * 1000 + 14 * 2000) / 1e6),
    }
    assert judge.grade(path, ["Ada", "Bob"]) == (["correct", "correct"], bill)
    assert judge.grade(path, ["Ada", "Bob"]) == (["correct", "correct"], bill)
    assert len(judge.asked) == 2
    with path.open("ab") as file:  # a kill in the middle of a line
        file.write(b'{"request": "x", "num')
    assert judge.grade(path, ["Bob", "Eve"])[0] == ["correct", "correct"]
    assert len(judge.asked) == 3
    assert len(list(io.read_lines(path))) == 3


def test_without_a_price_tokens_are_told_and_without_counts_that_they_are_not_known(tmp_path: Path) -> None:
    _, bill = Asking(right).grade(tmp_path / "a.jsonl", ["Ada"], price=None)
    assert bill == {"requests": 1, "prompt_tokens": 100, "response_tokens": 7, "uncounted": 0}
    _, bill = Asking(right, usage={"prompt_tokens": -3, "completion_tokens": "many"}).grade(
        tmp_path / "b.jsonl", ["Ada"], price=None
    )
    assert bill == {"requests": 1, "prompt_tokens": 0, "response_tokens": 0, "uncounted": 1}
    assert Asking(right).grade(tmp_path / "c.jsonl", [""]) == (["unparsed"], None)


def test_replies_without_a_verdict_are_paid_for_and_asked_for_again_by_the_next_call(tmp_path: Path) -> None:
    judge, path = Asking(lambda _: "Hm."), tmp_path / "judge.jsonl"
    assert judge.grade(path, ["Ada"])[0] == ["grader_error"]
    judge.said = right
    statuses, bill = judge.grade(path, ["Ada"])
    assert statuses == ["correct"]
    assert bill is not None
    assert (bill["requests"], len(judge.asked)) == (2, 2)
    assert judge.grade(path, ["Ada"]) == (statuses, bill)
    assert len(judge.asked) == 2


def test_of_two_orders_the_one_without_a_verdict_alone_is_asked_for_again(tmp_path: Path) -> None:
    def unsure(body: dict[str, Any]) -> str:
        baseline_first = body["messages"][1]["content"].index("Ada") < body["messages"][1]["content"].index(
            "mine"
        )
        return "[[B>A]]" if baseline_first else "?"

    judge, path = Asking(unsure), tmp_path / "judge.jsonl"
    assert judge.grade(path, ["mine"], ArenaHardGrader)[0] == ["grader_error"]
    assert len(judge.asked) == 3  # one order, the other, and once more for its verdict
    judge.said = lambda _: "[[A>B]]"
    assert judge.grade(path, ["mine"], ArenaHardGrader)[0] == ["correct"]
    assert len(judge.asked) == 4


def test_another_judge_is_asked_and_counted_apart(tmp_path: Path) -> None:
    path = tmp_path / "judge.jsonl"
    Asking(right).grade(path, ["Ada"])
    with (
        judge_server(lambda _: says(right({})), USAGE) as url,
        JudgeGrader(Judge(url, "other"), QUICK) as grader,
    ):
        kept = keeping(grader, path)
        grader.grade([(QUESTION, Response("Ada")), (QUESTION, Response("Bob"))])
        bill = judge_cost(grader, kept)
    assert bill is not None
    assert bill["requests"] == 2
    assert len(list(io.read_lines(path))) == 3


def test_recorded_responses_of_several_models_have_a_cost_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path))
    frames = [{"Prompt": f"Who {i}?", "Answer": "Ada"} for i in range(3)]
    (tmp_path / "frames.jsonl").write_text("".join(json.dumps(row) + "\n" for row in frames))
    rows = [
        {"id": str(i), "model": model, "response": "Ada" if i == 0 else f"{model} {i}"}
        for i in range(3)
        for model in ("one", "two")
    ]
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    asked: list[dict[str, Any]] = []

    def reply(body: dict[str, Any]) -> dict[str, Any]:
        asked.append(body)
        return says(right(body))

    def score(out: Path | None) -> dict[str, JudgeBill | None]:
        with judge_server(reply, USAGE) as url, JudgeGrader(Judge(url, "j", price=(0, 1e6)), QUICK) as grader:
            return {each.model: each.judge_cost for each in score_file(file, "frames", out, grader)}

    bills = score(tmp_path / "out")
    # "Ada" is judged once for both: the second model's costs nothing again.
    assert {model: bill and bill["requests"] for model, bill in bills.items()} == {"one": 3, "two": 2}
    assert len(asked) == 5
    assert read_scores(tmp_path / "out/two/frames/scores.json").judge_cost == bills["two"]
    assert bills["two"] is not None
    assert bills["two"]["total"] == 2 * 7
    assert score(tmp_path / "out") == bills
    assert len(asked) == 5
    assert score(None) == bills
    assert len(asked) == 10
