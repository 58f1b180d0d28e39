"""Pairwise graders against a judge behind a real HTTP server."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from evals.duel import Duel
from evals.graders import registry
from evals.graders.base import Response, Verdict
from evals.graders.judge.alpaca_eval import AlpacaEvalGrader
from evals.graders.judge.arena_hard import ArenaHardGrader
from evals.graders.judge.client import Judge
from evals.recorded import score_file
from evals.task import Question, TaskError
from evals.tasks import registry as tasks
from tests.evals.judging import Choice, judge_server, says

pytestmark = pytest.mark.skipif(find_spec("alpaca_eval") is None, reason="needs the extra judge")
QUICK = (0.01, 0.01)
QUESTION = Question("7", "Say {output_1} hello.", "a baseline")
Body = dict[str, Any]


def alpaca(reply: Callable[[Body], Choice | int], *texts: str) -> list[Verdict]:
    with judge_server(reply) as url, AlpacaEvalGrader(Judge(url, "j"), QUICK) as grader:
        return grader.grade([(QUESTION, Response(text)) for text in texts])


def arena(reply: Callable[[Body], Choice | int], *texts: str, truncated: bool = False) -> list[Verdict]:
    with judge_server(reply) as url, ArenaHardGrader(Judge(url, "j"), QUICK) as grader:
        return grader.grade([(QUESTION, Response(text, truncated)) for text in texts])


def answers_of(body: Body) -> list[str]:
    """The answers under the names m and M, as AlpacaEval's judge is shown them."""
    shown = body["messages"][-1]["content"]
    parts = shown.split('"output": """')[1:]
    return [part.split('"""')[0] for part in parts]


def test_alpaca_eval_takes_the_probability_that_the_judge_gives_the_response() -> None:
    places = set()

    def reply(body: Body) -> Choice:
        assert body["max_tokens"] == 1
        assert body["temperature"] == 0
        answers = answers_of(body)
        mine = next(i for i, answer in enumerate(answers) if answer.startswith("mine"))
        assert answers[1 - mine] == "a baseline"
        places.add(mine)
        # 3 to 1 for the response, wherever it stands; another token has most of the probability.
        logs = {name: math.log(0.3 if i == mine else 0.1) for i, name in enumerate(("m", "M"))}
        return says("x", x=math.log(0.6), **logs)

    verdicts = alpaca(reply, *(f"mine {i} <{{output_2}}>" for i in range(12)))
    assert places == {0, 1}
    assert [verdict.status for verdict in verdicts] == ["correct"] * 12
    for i, verdict in enumerate(verdicts):
        assert verdict.duel is not None
        assert verdict.duel.share == pytest.approx(0.75)
        assert verdict.duel.length == len(f"mine {i} <{{output_2}}>")


def test_alpaca_eval_does_without_probabilities_and_knows_a_reply_that_is_no_verdict() -> None:
    def first(body: Body) -> Choice:
        return says("m" if answers_of(body)[0] == "mine" else "M")

    [verdict] = alpaca(first, "<think>which?</think>mine")
    assert verdict.duel == Duel(1.0, 1.0, 4)
    [verdict] = alpaca(lambda _: says("Both are fine."), "mine")
    assert (verdict.status, verdict.duel) == ("grader_error", None)
    assert "named neither" in verdict.detail
    [verdict] = alpaca(lambda _: says("x", x=-0.1), "mine")
    assert verdict.status == "grader_error"


def test_saying_nothing_loses_without_a_judge() -> None:
    def never(_: Body) -> int:
        raise AssertionError

    assert alpaca(never, "", "<think>on and on")[1].duel == Duel(0, 1, 0)
    [verdict] = arena(never, "<think>on and on", truncated=True)
    assert (verdict.status, verdict.duel) == ("unparsed", Duel(0, 6, 0))


def shown_to_arena(body: Body) -> tuple[str, str]:
    shown = body["messages"][1]["content"]
    a = shown.split("Assistant A's Answer|>\n")[1].split("\n<|The End")[0]
    b = shown.split("Assistant B's Answer|>\n")[1].split("\n<|The End")[0]
    return a, b


@pytest.mark.parametrize(
    ("as_b", "as_a", "won", "weight", "status"),
    [
        ("[[B>>A]]", "[[A>>B]]", 6, 6, "correct"),
        ("[[B>A]]", "[[A>B]]", 2, 2, "correct"),
        ("[[A=B]]", "[[B=A]]", 1, 2, "wrong"),
        ("[[A>>B]]", "[[A>B]]", 1, 4, "wrong"),  # it likes whatever stands first
        ("[[B>>A]]", "[[B>A]]", 3, 4, "correct"),
        ("[[A<B]]", "[[A=B]]", 1.5, 2, "correct"),
        ("[[A>>B]]", "[[B>>A]]", 0, 6, "wrong"),
    ],
)
def test_arena_hard_asks_in_both_orders(as_b: str, as_a: str, won: float, weight: float, status: str) -> None:
    def reply(body: Body) -> Choice:
        orders = {("a baseline", "mine"): as_b, ("mine", "a baseline"): as_a}
        return says(f"Because. My verdict: {orders[shown_to_arena(body)]}")

    [verdict] = arena(reply, "mine")
    assert verdict.status == status
    assert verdict.duel == Duel(won, weight, 4)
    assert "Because" in verdict.detail


def test_arena_hard_asks_once_more_for_a_verdict_and_takes_no_two() -> None:
    asked: list[int] = []

    def late(body: Body) -> Choice:
        asked.append(len(body["messages"]))
        return says("Hm." if len(body["messages"]) == 2 else "[[A=B]]")

    [verdict] = arena(late, "mine")
    assert verdict.duel == Duel(1, 2, 4)
    assert sorted(asked) == [2, 2, 4, 4]
    for nonsense in ("No idea.", "[[A>B]] or rather [[B>A]]", "[[A>>>B]]", "[[]]"):
        [verdict] = arena(lambda _, nonsense=nonsense: says(nonsense), "mine")
        assert (verdict.status, verdict.duel) == ("grader_error", None)


def test_a_request_that_is_refused_leaves_the_others_alone() -> None:
    def reply(body: Body) -> Choice | int:
        return 400 if "too long" in body["messages"][1]["content"] else says("[[A=B]]")

    statuses = [verdict.status for verdict in arena(reply, "mine", "too long", "yours")]
    assert statuses == ["wrong", "grader_error", "wrong"]


def write_arena(folder: Path, count: int) -> None:
    rows = [{"question_id": f"q{i}", "turns": [{"content": f"Do {i}."}]} for i in range(count)]
    golds = [
        {"question_id": f"q{i}", "choices": [{"turns": [{"content": f"Done {i}."}]}]} for i in range(count)
    ]
    for name, lines in (("arena_hard", rows), ("arena_hard_baseline", golds)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in lines))


def test_arena_hard_is_scored_and_what_is_not_judged_bounds_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path))
    write_arena(tmp_path, 4)
    file = tmp_path / "rows.jsonl"
    texts = ["much better", "much better", "unclear", "worse"]
    file.write_text("".join(json.dumps({"id": f"q{i}", "response": t}) + "\n" for i, t in enumerate(texts)))

    def reply(body: Body) -> Choice:
        a, b = shown_to_arena(body)
        for text, mark in (("much better", ">>"), ("worse", "<")):
            if text in (a, b):
                return says(f"[[{'A' if a == text else 'B'}{mark}{'B' if a == text else 'A'}]]")
        return says("?")

    with judge_server(reply) as url, ArenaHardGrader(Judge(url, "the-judge"), QUICK) as grader:
        [scores] = score_file(file, "arena_hard", tmp_path / "out", grader)
    told = scores.to_json()
    assert told["win_rate"]["value"] == pytest.approx(12 / 14)
    assert (told["win_rate"]["judged"], told["win_rate"]["ungraded"]) == (3, 1)
    assert told["pass@1"]["value"] == pytest.approx(2 / 4)
    assert told["pass@1"]["bounds"] == [pytest.approx(2 / 4), pytest.approx(3 / 4)]
    assert told["judge"]["model"] == "the-judge"
    assert "[[A>>B]]" in told["judge"]["prompt"]
    assert told["length_controlled"] is None
    rows = [json.loads(line) for line in (tmp_path / "out/arena_hard/samples.jsonl").open()]
    assert [row.get("duel") for row in rows] == [[6, 6, 11], [6, 6, 11], None, [0, 2, 5]]


def test_a_judge_that_is_down_leaves_nothing_graded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path))
    write_arena(tmp_path, 3)
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps({"id": f"q{i}", "response": "x"}) + "\n" for i in range(3)))
    with ArenaHardGrader(Judge("http://127.0.0.1:9/v1", "nobody"), QUICK) as grader:
        [scores] = score_file(file, "arena_hard", grader=grader)
    assert scores.to_json()["grader_errors"] == 1
    assert scores.bounds() == (0, 1)
    assert not scores.compared


def test_missing_files_and_answers_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path))
    with pytest.raises(TaskError, match=r"arena_hard\.jsonl is missing: it is data/arena-hard"):
        tasks.load_spec("arena_hard")
    write_arena(tmp_path, 2)
    baseline = tmp_path / "arena_hard_baseline.jsonl"
    baseline.write_text(baseline.read_text().splitlines()[0] + "\n")
    with pytest.raises(TaskError, match="no answer to question q1"):
        tasks.load_spec("arena_hard")


def test_the_graders_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_JUDGE_URL", "http://localhost:1/v1")
    monkeypatch.setenv("HARNESS_JUDGE_MODEL", "the-judge")
    with registry.make_grader("alpaca_eval") as grader:
        assert isinstance(grader, AlpacaEvalGrader)
        assert "{output_1}" in grader.description["prompt"]
    with registry.make_grader("arena_hard") as grader:
        assert isinstance(grader, ArenaHardGrader)


THOUGHT = "<think>Is it [[B>>A]]? Or m? No: M.</think>\n"


def test_a_judge_that_reasons_in_the_open_is_read_after_its_reasoning() -> None:
    def alpaca_reply(body: Body) -> Choice:
        if body["max_tokens"] == 1:  # its first token only opens the reasoning
            return says("<think>", **{"<think>": -0.01})
        name = "m" if answers_of(body)[0] == "mine" else "M"
        return says(f"{THOUGHT}**{name}**")

    [verdict] = alpaca(alpaca_reply, "mine")
    assert verdict.duel == Duel(1.0, 1.0, 4)
    [verdict] = alpaca(lambda body: says("" if body["max_tokens"] == 1 else THOUGHT + "neither"), "mine")
    assert (verdict.status, verdict.duel) == ("grader_error", None)

    verdicts = arena(lambda _: says(f"{THOUGHT}If brevity counted, [[A>>B]].\nSo: [[A=B]]"), "mine")
    assert verdicts[0].duel == Duel(1, 2, 4)
