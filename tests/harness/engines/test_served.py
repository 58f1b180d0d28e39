"""A chat that is asked at servers which share the questions, refuse, break off, hang and talk nonsense."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from evals.base import io
from evals.base.errors import JobError, UsageError
from evals.engine import Completion, Request, Sampling, StreamingEngine
from evals.graders.registry import make_grader
from evals.protocols import Protocol
from evals.runner import sample_benchmark
from evals.scores import Scores
from evals.task import Question, Task
from evals.templates import Template
from harness import config
from harness.engines.served import ServedEngine
from tests.harness.engines.chat_server import Answer, Body, ChatServer, chat_server, completion, total
from tests.harness.engines.killing import killed_when

KEY = "sk-very-secret"
QUICK = (0.01,) * 8
CHAT = '{"messages": [{"role": "user", "content": "%s"}]}'


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with chat_server() as state:
        yield state


def engine_of(*servers: ChatServer, pauses: tuple[float, ...] = QUICK, **settings: Any) -> ServedEngine:
    table = config.Server(addresses=[each.address for each in servers], **{"timeout": 20, **settings})
    return ServedEngine(config.Policy(model="served", server=table), pauses=pauses)


def sums(count: int) -> Task:
    questions = [Question(f"q{i}", f"{i} + {i + 1}?", str(2 * i + 1)) for i in range(count)]
    return Task("sums-here", "Sums", "integer", ("test",), "test", lambda _: questions, "made up")


def sample(engine: ServedEngine, folder: Path, count: int = 12, samples: int = 2, **protocol: Any) -> Scores:
    task = sums(count)
    chosen = Protocol("p", Sampling(max_tokens=64), "chat-boxed", samples, **protocol)
    with make_grader("integer") as grader:
        return sample_benchmark(engine, task, task.questions("test"), chosen, folder, grader)


def places(folder: Path) -> list[tuple[str, int]]:
    return [(row["id"], row["sample"]) for row in io.read_lines(folder / "samples.jsonl")]


def test_a_chat_is_asked_by_messages_and_counted_by_usage(server: ChatServer, tmp_path: Path) -> None:
    template = Template(system="Add.", chat_template_kwargs={"enable_thinking": False})
    task = sums(3)
    with make_grader("integer") as grader:
        scores = sample_benchmark(
            engine_of(server),
            task,
            task.questions("test"),
            Protocol("p", Sampling(0.6, 0.95, 20, 64, ("END",)), template, 2),
            tmp_path,
            grader,
        )
    assert scores.pass_at_1().value == 1.0
    assert scores.to_json()["tokens"]["total"] == 6 * 5
    assert server.paths == {"/v1/chat/completions"}
    assert server.keys == {None}
    body = server.asked[0]
    assert body["messages"][0] == {"role": "system", "content": "Add."}
    assert body["messages"][1]["role"] == "user"
    assert body["chat_template_kwargs"] == {"enable_thinking": False}
    assert (body["temperature"], body["top_p"], body["top_k"], body["max_tokens"]) == (0.6, 0.95, 20, 64)
    assert (body["model"], body["stop"], body["n"]) == ("served", ["END"], 1)
    assert len({body["seed"] for body in server.asked}) == 6
    [row, *_] = io.read_lines(tmp_path / "samples.jsonl")
    assert (row["tokens"], row["prompt_tokens"]) == (5, 10)
    assert json.loads(row["prompt"])["messages"][0]["content"] == "Add."


def test_completions_stand_in_the_order_of_their_requests_each_with_its_own_seed(server: ChatServer) -> None:
    engine = engine_of(server)
    assert isinstance(engine, StreamingEngine)
    groups = engine.generate([Request(CHAT % "1 + 2", 3, 40), Request(CHAT % "5 + 6", 1, 7)], Sampling())
    assert [[c.text for c in g.completions] for g in groups] == [
        ["It is \\boxed{3}."] * 3,
        ["It is \\boxed{11}."],
    ]
    assert sorted(body["seed"] for body in server.asked) == [7, 40, 41, 42]
    assert engine.generate([], Sampling()) == []


@pytest.mark.parametrize(
    ("said", "text", "finish"),
    [
        (completion("4", reasoning_content="2+2"), "<think>2+2</think>4", "stop"),
        (completion("4", reasoning="2+2"), "<think>2+2</think>4", "stop"),
        (completion(None, "length", reasoning_content="2+"), "<think>2+", "length"),
        (completion("<think>2+2</think>4", reasoning="2+2"), "<think>2+2</think>4", "stop"),
        (completion("2+2</think>4"), "2+2</think>4", "stop"),
        (completion("4", reasoning_content=None), "4", "stop"),
        (completion(None, "length"), "", "length"),
        (completion("no", "content_filter"), "no", "stop"),
    ],
)
def test_reasoning_is_joined_in_tags(server: ChatServer, said: Body, text: str, finish: str) -> None:
    server.answer = lambda _body, _turn: Answer(said)
    [group] = engine_of(server).generate([Request(CHAT % "2 + 2", 1, 0)], Sampling())
    assert (group.completions[0].text, group.completions[0].finish_reason) == (text, finish)


@pytest.mark.parametrize("usage", [None, [], {"completion_tokens": -1}, {"completion_tokens": "5"}, "many"])
@pytest.mark.parametrize("key", ["prompt_tokens", "completion_tokens"])
def test_a_wrong_usage_is_not_known(server: ChatServer, tmp_path: Path, usage: Any, key: str) -> None:
    told = {**usage, key: 2**40} if isinstance(usage, dict) else usage
    server.answer = lambda body, _turn: Answer({**total(body).content, "usage": told})
    scores = sample(engine_of(server), tmp_path, count=2, samples=1)
    assert scores.pass_at_1().value == 1.0
    assert scores.to_json()["tokens"] is None


BAD = {
    "too many": Answer(status=429, raw=b"slow down", headers={"Retry-After": "0"}),
    "busy": Answer(status=503, raw=b""),
    "broken": Answer(status=500, raw=b"Traceback"),
    "half an answer": Answer(completion("half"), cut=True),
    "aborted": Answer(completion("ha", "abort")),
    "unfinished": Answer(completion("ha", None)),
    "junk": Answer(raw=b"<html>"),
    "junk JSON": Answer({"choices": [{"message": {"content": 7}, "finish_reason": "stop"}]}),
    "deep JSON": Answer(raw=b"[" * 100_000),
    "nothing chosen": Answer({"choices": []}),
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_what_may_pass_is_asked_for_again_and_loses_nothing(
    server: ChatServer, tmp_path: Path, bad: Answer
) -> None:
    server.answer = lambda body, turn: bad if turn % 3 == 0 else total(body)
    scores = sample(engine_of(server), tmp_path)
    assert scores.pass_at_1().value == 1.0
    assert len(places(tmp_path)) == len(set(places(tmp_path))) == 24


def lasting(kind: str, other: ChatServer) -> Answer:
    return {
        "hang": Answer(hang=True),
        "redirect": Answer(
            status=307, raw=b"", headers={"Location": f"{other.address}/chat/completions?k={KEY}"}
        ),
        "too long": Answer(status=400, raw=f"prompt too long; you sent Bearer {KEY}\x1b[31m".encode()),
        "broken": Answer(status=500, raw=KEY.encode()),
    }[kind]


@pytest.mark.parametrize("kind", ["hang", "redirect", "too long", "broken"])
def test_what_lasts_costs_its_own_samples_and_the_same_command_goes_on(
    server: ChatServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Two questions get no answer; those of the others are kept, nothing leaks, and a mended server is asked
    for what is missing alone."""
    monkeypatch.setenv("MY_KEY", KEY)
    with chat_server() as other:
        bad = lasting(kind, other)
        server.answer = lambda body, _turn: (
            bad if body["messages"][-1]["content"].startswith(("3 +", "7 +")) else total(body)
        )
        engine = engine_of(server, pauses=(0.01,), key_env="MY_KEY", timeout=1.5 if kind == "hang" else 20)
        with pytest.raises(
            JobError, match=r"\(4 of 24 requests got no answer\); completed samples"
        ) as raised:
            sample(engine, tmp_path)
        assert not other.asked
    assert KEY not in str(raised.value)
    assert "\x1b" not in str(raised.value)
    kept = places(tmp_path)
    assert len(kept) == len(set(kept)) == 20
    assert server.keys == {f"Bearer {KEY}"}
    before = len(server.asked)
    server.answer = lambda body, _turn: total(body)
    assert sample(engine, tmp_path).pass_at_1().value == 1.0
    assert len(server.asked) == before + 4
    assert len(places(tmp_path)) == len(set(places(tmp_path))) == 24
    for file in tmp_path.iterdir():
        assert KEY.encode() not in file.read_bytes()


def test_a_key_that_the_model_repeats_is_masked(
    server: ChatServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_KEY", KEY)
    server.answer = lambda _body, _turn: Answer(completion(f"Bearer {KEY}", reasoning_content=KEY))
    sample(engine_of(server, key_env="MY_KEY"), tmp_path, count=1, samples=1)
    assert KEY not in (tmp_path / "samples.jsonl").read_text()


def test_a_server_that_bears_few_requests_gets_few_and_all_are_answered(
    server: ChatServer, tmp_path: Path
) -> None:
    bears = 3

    def answer(body: Body, _turn: int) -> Answer:
        time.sleep(0.01)
        if server.in_flight > bears:
            return Answer(status=429, raw=b"", headers={"Retry-After": "0"})
        return total(body)

    server.answer = answer
    scores = sample(engine_of(server, pauses=(0.05,) * 30), tmp_path, count=60)
    assert scores.pass_at_1().value == 1.0
    assert len(server.asked) < 5 * 120  # 64 at once, all tried again, would be refused far more often


def test_concurrency_is_a_limit(server: ChatServer, tmp_path: Path) -> None:
    def answer(body: Body, _turn: int) -> Answer:
        time.sleep(0.005)
        return total(body)

    server.answer = answer
    sample(engine_of(server, concurrency=4), tmp_path, count=20)
    assert server.most_in_flight <= 4


def test_several_addresses_share_the_questions(server: ChatServer, tmp_path: Path) -> None:
    with chat_server() as other:
        assert sample(engine_of(server, other), tmp_path).pass_at_1().value == 1.0
        seeds = [{body["seed"] for body in each.asked} for each in (server, other)]
        assert all(len(each) >= 6 for each in seeds)
        assert not seeds[0] & seeds[1]
        assert len(seeds[0] | seeds[1]) == 24


@pytest.mark.parametrize("bad", [Answer(status=500, raw=b""), Answer(status=401, raw=b"who are you")])
def test_the_others_take_over_from_a_server_that_is_down(
    server: ChatServer, tmp_path: Path, bad: Answer
) -> None:
    with chat_server() as broken:
        broken.answer = lambda _body, _turn: bad
        engine = engine_of(broken, server, pauses=(0.01,))
        assert sample(engine, tmp_path, count=40).pass_at_1().value == 1.0
    assert len(places(tmp_path)) == len(set(places(tmp_path))) == 80


def test_what_one_server_refuses_another_is_asked(server: ChatServer, tmp_path: Path) -> None:
    """Never the same one again: it would refuse once more."""
    with chat_server() as picky:
        picky.answer = lambda body, turn: total(body) if turn % 2 else Answer(status=400, raw=b"no")
        scores = sample(engine_of(picky, server), tmp_path, count=40, samples=1)
        asked = [body["messages"][-1]["content"] for body in picky.asked]
    assert scores.pass_at_1().value == 1.0
    assert len(asked) == len(set(asked)) > 1
    assert len(asked) + len(server.asked) == 40 + -(-len(asked) // 2)


def test_nobody_there_is_one_sentence(tmp_path: Path) -> None:
    with chat_server() as gone:
        pass
    with pytest.raises(JobError, match=r"does not answer \(ConnectError\).*\(24 of 24 requests"):
        sample(engine_of(gone, pauses=(0.01,)), tmp_path)


def test_answers_are_written_as_they_come(server: ChatServer, tmp_path: Path) -> None:
    """What came before the last answer is on disk while that one is still awaited."""
    on_disk: list[int] = []

    def answer(body: Body, _turn: int) -> Answer:
        if body["messages"][-1]["content"].startswith("11 +"):
            for _ in range(1000):
                found = len(places(tmp_path)) if (tmp_path / "samples.jsonl").exists() else 0
                if found == 11:
                    break
                time.sleep(0.01)
            on_disk.append(found)
        return total(body)

    server.answer = answer
    sample(engine_of(server), tmp_path, samples=1)
    assert on_disk == [11]


@pytest.mark.slow
def test_killed_at_any_moment_it_loses_and_repeats_no_sample(server: ChatServer, tmp_path: Path) -> None:
    def answer(body: Body, _turn: int) -> Answer:
        time.sleep(0.02)
        return total(body)

    server.answer = answer
    out = tmp_path / "out"
    command = [
        *(
            sys.executable,
            "-m",
            "harness.cli",
            "eval",
            "served",
            "--server",
            server.address,
            "--samples",
            "8",
        ),
        *(
            "--benchmarks",
            "tiny-aime",
            "--max-tokens",
            "64",
            "--concurrency",
            "3",
            "--out",
            str(out),
            "--quiet",
        ),
    ]
    folder = out / "tiny-aime"
    whole = 30 * 8
    for least in (20, 90):

        def sampled(least: int = least) -> bool:
            return (folder / "samples.jsonl").exists() and len(places(folder)) >= least

        killed_when(sampled, command, tmp_path)
        kept = places(folder)
        assert least <= len(kept) < whole
    asked = len(server.asked)
    assert subprocess.run(command, check=False, cwd=tmp_path, stdout=subprocess.DEVNULL).returncode == 0
    assert len(places(folder)) == len(set(places(folder))) == whole
    assert len(server.asked) - asked <= whole - len(kept)
    assert io.read_json(folder / "scores.json")["samples_per_question"] == {"min": 8, "max": 8}


def test_texts_are_continued_without_a_tokenizer(tmp_path: Path) -> None:
    with chat_server() as server:
        server.answer = lambda _body, _turn: Answer(
            {"choices": [{"text": " \\boxed{1}", "finish_reason": "stop"}], "usage": {"completion_tokens": 3}}
        )
        table = config.Server(addresses=[server.address], api="completions")
        policy = config.Policy(model="./nowhere", server=table, template="plain")
        engine = ServedEngine(policy)
        [group] = engine.generate([Request("0 + 1?", 1, 0)], Sampling())
        assert group.completions[0] == Completion(" \\boxed{1}", (), (), "stop", group.completions[0].usage)
        assert group.completions[0].tokens == 3
        assert server.asked[0]["prompt"] == "0 + 1?"
        with pytest.raises(UsageError, match="prompts need the tokenizer of "):
            ServedEngine(policy.model_copy(update={"template": "auto"}))


def test_what_cannot_be_asked_is_refused(server: ChatServer) -> None:
    engine = engine_of(server)
    with pytest.raises(UsageError, match="thinking_budget: a server"):
        engine.generate([Request(CHAT % "1", 1, 0)], Sampling(thinking_budget=3))
    with pytest.raises(UsageError, match="the template makes a text to be continued"):
        engine.generate([Request("User: 1", 1, 0)], Sampling())
    with pytest.raises(UsageError, match="max_tokens is 0"):
        engine.generate([Request(CHAT % "1", 1, 0)], Sampling(max_tokens=0))
    assert not server.asked


def test_a_key_that_is_named_must_be_there(server: ChatServer, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="the environment variable NO_SUCH_KEY is not set"):
        engine_of(server, key_env="NO_SUCH_KEY")
    monkeypatch.setenv("MY_KEY", "sk-\nné")
    with pytest.raises(UsageError, match="MY_KEY contains invalid characters") as raised:
        engine_of(server, key_env="MY_KEY")
    assert "sk-" not in str(raised.value)
