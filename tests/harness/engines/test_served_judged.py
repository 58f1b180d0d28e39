"""A served model graded by a served judge: nothing that either was paid for is asked for again or lost."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from evals.base import io
from harness.cli import main
from reports import costs
from reports.collect import collect
from tests.harness.engines.chat_server import Answer, Body, ChatServer, chat_server, completion
from tests.harness.engines.killing import killed_when

QUESTIONS = 12


@pytest.fixture
def servers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[ChatServer, ChatServer]]:
    """A model's and its judge's, and the benchmark's questions."""
    rows = [{"Prompt": f"Who {i}?", "Answer": "Ada"} for i in range(QUESTIONS)]
    (tmp_path / "frames.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with chat_server() as model, chat_server() as judge:
        model.answer = lambda _body, turn: Answer(completion(f"It was Ada, {turn}."))
        judge.answer = lambda _body, _turn: Answer(completion("Yes.\nVERDICT: CORRECT"))
        for name, value in (("URL", judge.address), ("MODEL", "the-judge"), ("PRICE", "1000,2000")):
            monkeypatch.setenv(f"HARNESS_JUDGE_{name}", value)
        monkeypatch.setenv("HARNESS_DATA", str(tmp_path))
        yield model, judge


def command(model: ChatServer, out: Path) -> list[str]:
    asked = ["--server", model.address, "--benchmarks", "frames", "--price", "10,20", "--out", str(out)]
    return ["harness", "eval", "served", "--quiet", *asked]


def run(words: list[str], monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr("sys.argv", words)
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def test_the_judges_cost_is_told_apart_from_the_models(
    servers: tuple[ChatServer, ChatServer],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    model, judge = servers
    assert run(command(model, tmp_path / "out"), monkeypatch) == 0
    told = io.read_json(tmp_path / "out/frames/scores.json")
    took = told["judge_cost"]
    assert (took["requests"], took["prompt_tokens"], took["response_tokens"]) == (12, 120, 60)
    assert took["total"] == pytest.approx(12 * (10 * 1000 + 5 * 2000) / 1e6)
    assert told["cost"]["total"] == pytest.approx(12 * (10 * 10 + 5 * 20) / 1e6)
    said = " ".join(capsys.readouterr().out.split())
    assert f"judge's cost {took['total']:,.4f} (12 requests, 120 tokens read, 60 written)" in said
    assert run(command(model, tmp_path / "out"), monkeypatch) == 0
    assert (len(model.asked), len(judge.asked)) == (12, 12)
    assert io.read_json(tmp_path / "out/frames/scores.json") == told
    parts = {cost.part: cost for cost in costs.costs(collect([tmp_path / "out"]))}
    assert [(name.split(" of ")[0], cost.price) for name, cost in parts.items()] == [
        ("evaluation", told["cost"]["total"]),
        ("judge", took["total"]),
    ]


def test_a_judge_that_fails_and_comes_back_is_paid_for_what_it_said(
    servers: tuple[ChatServer, ChatServer], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    model, judge = servers
    well = judge.answer
    judge.answer = lambda body, turn: Answer(status=400, raw=b"no") if turn % 3 == 0 else well(body, turn)
    assert run(command(model, tmp_path / "out"), monkeypatch) == 0
    told = io.read_json(tmp_path / "out/frames/scores.json")
    assert (told["grader_errors"], told["judge_cost"]["requests"]) == (4 / 12, 8)
    judge.answer = well
    assert run(command(model, tmp_path / "out"), monkeypatch) == 0
    told = io.read_json(tmp_path / "out/frames/scores.json")
    assert (told["grader_errors"], told["judge_cost"]["requests"]) == (0, 12)
    assert (len(model.asked), len(judge.asked)) == (12, 12 + 4)


@pytest.mark.slow
def test_killed_while_the_judge_is_asked_it_pays_nobody_twice(
    servers: tuple[ChatServer, ChatServer], tmp_path: Path
) -> None:
    """The model answers at once, the judge slowly: every answer is there when the process is killed."""
    model, judge = servers
    well, out = judge.answer, tmp_path / "out"

    def slow(body: Body, turn: int) -> Answer:
        if turn >= 5:
            judge.closing.wait(60)
        return well(body, turn)

    judge.answer = slow
    words = [sys.executable, "-m", "harness.cli", *command(model, out)[1:]]
    judged, arrived = out / "frames/judge.jsonl", out / "frames/arrived.jsonl"
    killed_when(lambda: lines(judged) >= 5 and lines(arrived) >= QUESTIONS, words, tmp_path)
    judge.answer, asked = well, len(judge.asked)
    assert subprocess.run(words, check=False, stdout=subprocess.DEVNULL, cwd=tmp_path).returncode == 0
    assert len(model.asked) == QUESTIONS
    assert len(judge.asked) - asked == QUESTIONS - 5
    told: dict[str, Any] = io.read_json(out / "frames/scores.json")
    assert (told["judge_cost"]["requests"], told["pass@1"]["value"]) == (QUESTIONS, 1.0)
    assert told["cost"]["response_tokens"] == 5 * QUESTIONS
    assert not (out / "frames/arrived.jsonl").exists()


def lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0
