"""A served model's log-probabilities of continuations, against the engine over the same model here."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from transformers import PreTrainedTokenizerFast

from evals import lm_eval
from evals.base import io
from evals.base.errors import UsageError
from evals.base.progress import Progress
from evals.task import TaskError
from harness import config
from harness.cli import main
from harness.engines.hf import TransformersEngine
from harness.engines.served import ServedEngine, ServerUnansweredError
from harness.engines.served_scoring import ServedScoring
from harness.models.policy import Policy, save_policy
from harness.train import benchmarks
from tests.harness.engines.chat_server import Answer, Body, ChatServer, chat_server, completion
from tests.harness.engines.killing import killed_when


def scoring(settings: config.Policy) -> ServedScoring:
    return ServedScoring(ServedEngine(settings, pauses=(0.01,)), settings)


@pytest.fixture
def echoing(
    make_random_policy: Callable[..., Policy], tmp_path: Path
) -> Iterator[tuple[Policy, ServedScoring]]:
    """A random policy, and what asks a server of it that repeats prompts with their log-probabilities."""
    policy = make_random_policy()
    save_policy(policy, tmp_path / "model")

    def echo(body: Body, _turn: int) -> Answer:
        assert (body["max_tokens"], body["echo"], body["logprobs"]) == (1, True, 1)
        ids = torch.tensor([body["prompt"]])
        with torch.no_grad():
            scores = policy.model(input_ids=ids).logits[0].log_softmax(-1)
        drawn = int(scores[-1].argmax())
        told = [float(scores[at, token]) for at, token in enumerate([*body["prompt"][1:], drawn])]
        tops = [{"x": float(each.max())} for each in scores]
        logprobs = {"token_logprobs": [None, *told], "top_logprobs": [None, *tops]}
        return Answer({"choices": [{"text": "", "finish_reason": "length", "logprobs": logprobs}]})

    with chat_server() as state:
        state.answer = echo
        state.models = {"data": [{"id": "other", "max_model_len": 9}, {"id": "served", "max_model_len": 64}]}
        table = config.Server(addresses=[state.address], api="completions", model="served", timeout=20)
        yield policy, scoring(config.Policy(model=str(tmp_path / "model"), server=table))


def test_continuations_are_scored_as_by_the_engine_here(echoing: tuple[Policy, ServedScoring]) -> None:
    policy, engine = echoing
    assert engine.positions == 62
    ids = policy.tokenizer("Three and four make seven, and five more make twelve.").input_ids
    pairs = [(ids[:20], ids[20:30]), (ids[:1], ids[1:2]), (ids[:40], ids[40:])]
    with torch.no_grad():
        likeliest = int(policy.model(input_ids=torch.tensor([ids[:7]])).logits[0, -1].argmax())
    pairs.append((ids[:7], [likeliest]))
    found = engine.loglikelihoods(pairs)
    for mine, here in zip(found, TransformersEngine(policy).loglikelihoods(pairs), strict=True):
        assert mine == (pytest.approx(here[0], abs=1e-4), here[1])
    assert found[-1][1]
    # What is too long is cut at the left: as if it had never been there.
    [cut], [short] = (
        engine.loglikelihoods([(ids * 3, ids[:5])]),
        engine.loglikelihoods([((ids * 3)[-58:], ids[:5])]),
    )
    assert cut == short


def test_a_server_that_does_not_say_its_length_is_told_so(
    byte_tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    byte_tokenizer.save_pretrained(tmp_path)
    with chat_server() as server:
        table = config.Server(addresses=[server.address], api="completions", timeout=20)
        engine = scoring(config.Policy(model=str(tmp_path), template="plain", server=table))
        with pytest.raises(UsageError, match=r"does not say how many tokens .* reads \(max_model_len"):
            _ = engine.positions


@pytest.fixture
def suite(tmp_path: Path) -> Callable[[str], Path]:
    """A task of lm-eval over a few sums, by its kind of output."""
    pytest.importorskip("lm_eval", reason="lm-eval is not installed")
    rows = [{"q": f"{a} + 2?", "options": [str(a + 2), "none"], "label": 0} for a in range(4)]
    data = tmp_path / "rows.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    common = {
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(data)}},
        "test_split": "test",
        "doc_to_text": "{{q}}",
    }
    kinds = {
        "generate_until": {
            "doc_to_target": "{{options[0]}}",
            "generation_kwargs": {"until": ["END"], "max_gen_toks": 12, "do_sample": False},
            "metric_list": [{"metric": "exact_match"}],
        },
        "multiple_choice": {
            "doc_to_choice": "{{options}}",
            "doc_to_target": "label",
            "metric_list": [{"metric": "acc"}],
        },
        "loglikelihood_rolling": {"doc_to_target": "{{q}}", "metric_list": [{"metric": "word_perplexity"}]},
    }

    def write(kind: str) -> Path:
        path = tmp_path / f"{kind}.yaml"  # JSON is YAML too
        path.write_text(json.dumps({"task": f"sums_{kind}", "output_type": kind, **common, **kinds[kind]}))
        return path

    return write


def measured(policy: config.Policy, suite: Path, folder: Path) -> dict[str, float]:
    found = benchmarks.evaluate(policy, [], folder, Progress(quiet=True), suites=[str(suite)])
    return found.suites[0].figures[f"sums_{suite.stem}"]


def test_lm_evals_tasks_are_asked_of_a_chat(
    suite: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """By messages, with the key in no file, thinking taken away before the filters, and none asked twice."""
    monkeypatch.setenv("KEY_OF_MINE", "sk-very-secret")

    def think(body: Body, _turn: int) -> Answer:
        asked = body["messages"][-1]["content"]
        number = int(asked.partition(" ")[0])
        right = number + (2 if number else 3)  # one is wrong
        return Answer(completion(str(right), reasoning_content=f"Is it {number}? END"))

    with chat_server() as server:
        server.answer = think
        table = config.Server(addresses=[server.address], key_env="KEY_OF_MINE", timeout=20)
        policy = config.Policy(model="served", server=table)
        figures = measured(policy, suite("generate_until"), tmp_path / "out")
        assert figures["exact_match,none"] == 0.75
        assert server.keys == {"Bearer sk-very-secret"}
        assert {(body["max_tokens"], tuple(body["stop"])) for body in server.asked} == {(12, ("END",))}
        again = measured(policy, suite("generate_until"), tmp_path / "out")
        assert (again, len(server.asked)) == (figures, 4)
        with pytest.raises(TaskError, match=r"a chat does not tell.*--api completions"):
            measured(policy, suite("multiple_choice"), tmp_path / "out")
        with pytest.raises(UsageError, match="'plain' makes a text to be continued"):
            measured(policy.model_copy(update={"template": "plain"}), suite("generate_until"), tmp_path / "x")
    kept = [path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert not any(b"sk-very-secret" in content for content in kept)


def test_the_commands_max_tokens_is_that_of_lm_evals_tasks_too(
    suite: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Their own 12 would end a model that reasons before it answers."""
    with chat_server() as server:
        words = ("eval", "served", "--server", server.address, "--max-tokens", "4096", "--quiet")
        asked = ("--benchmarks", f"lm_eval:{suite('generate_until')}", "--out", str(tmp_path / "out"))
        monkeypatch.setattr("sys.argv", ["harness", *words, *asked])
        with pytest.raises(SystemExit) as ended:
            main()
        assert not ended.value.code
        assert {body["max_tokens"] for body in server.asked} == {4096}


def test_lm_evals_tasks_lose_no_answer_of_a_server_and_are_priced(
    suite: Callable[[str], Path], tmp_path: Path
) -> None:
    """One request of four fails: the others' answers are kept, and the same call asks for that one alone."""

    def answer(body: Body, _turn: int) -> Answer:
        said = Answer(completion("2"))
        return Answer(status=400, raw=b"no") if body["messages"][-1]["content"].startswith("3") else said

    with chat_server() as server:
        server.answer = answer
        table = config.Server(addresses=[server.address], timeout=20, price_in=1000, price_out=2000)
        policy = config.Policy(model="served", server=table)
        path, out = suite("generate_until"), tmp_path / "out"
        with pytest.raises(ServerUnansweredError, match="1 of 4 requests got no answer"):
            measured(policy, path, out)
        assert len(server.asked) == 4
        server.answer = lambda _body, _turn: Answer(completion("2"))
        assert measured(policy, path, out)["exact_match,none"] == 0.25
        assert len(server.asked) == 5
    [scores] = out.rglob("scores.json")
    cost = io.read_json(scores)["cost"]
    assert (cost["prompt_tokens"], cost["response_tokens"], cost["uncounted"]) == (4 * 10, 4 * 5, 0)
    assert cost["total"] == pytest.approx(4 * (10 * 1000 + 5 * 2000) / 1e6)
    assert io.read_json(scores.parent / "lm_eval.json")["cost"] == cost
    assert {row["tokens"] for row in io.read_lines(scores.parent / "samples.jsonl")} == {5}


def test_lm_evals_choices_are_scored_as_here(
    suite: Callable[[str], Path], echoing: tuple[Policy, ServedScoring], tmp_path: Path
) -> None:
    _, engine = echoing
    path = suite("multiple_choice")
    here = measured(config.Policy(model=str(tmp_path / "model"), template="plain"), path, tmp_path / "here")
    there = lm_eval.evaluate(engine, str(path), tmp_path / "there").figures[f"sums_{path.stem}"]
    assert there == here
    rows = [list(io.read_lines(file)) for file in sorted(tmp_path.glob("*here/**/samples.jsonl"))]
    assert len(rows) == 2


def likely(body: Body) -> Answer:
    """An echo in which every token is as likely as the next one."""
    count = len(body["prompt"])
    logprobs = {"token_logprobs": [None, *[-1.0] * count], "top_logprobs": [None, *[{"x": -0.5}] * count]}
    return Answer({"choices": [{"text": "", "finish_reason": "length", "logprobs": logprobs}]})


def scored(server: ChatServer, model: Path, suite: Path, out: Path) -> list[str]:
    asked = ["--benchmarks", f"lm_eval:{suite}", "--out", str(out), "--template", "plain", "--quiet"]
    at = ["--server", server.address, "--api", "completions", "--concurrency", "2"]
    return [sys.executable, "-m", "harness.cli", "eval", str(model), *at, *asked]


@pytest.mark.parametrize("kind", ["multiple_choice", "loglikelihood_rolling"])
def test_likelihoods_are_kept_as_they_come(
    suite: Callable[[str], Path], make_random_policy: Callable[..., Policy], tmp_path: Path, kind: str
) -> None:
    """One request fails: the others' answers are there, and the same call asks for that one alone."""
    save_policy(make_random_policy(), tmp_path / "model")
    whole = 8 if kind == "multiple_choice" else 4
    with chat_server() as server:
        server.models = {"data": [{"id": "served", "max_model_len": 64}]}
        server.answer = lambda body, turn: Answer(status=400, raw=b"no") if turn == 1 else likely(body)
        table = config.Server(addresses=[server.address], api="completions", model="served", timeout=20)
        policy = config.Policy(model=str(tmp_path / "model"), server=table, template="plain")
        path, out = suite(kind), tmp_path / "out"
        with pytest.raises(ServerUnansweredError, match=f"1 of {whole} requests got no answer"):
            measured(policy, path, out)
        assert len(server.asked) == whole
        measured(policy, path, out)
        assert len(server.asked) == whole + 1


@pytest.mark.slow
def test_killed_among_likelihoods_it_asks_for_the_rest(
    suite: Callable[[str], Path], make_random_policy: Callable[..., Policy], tmp_path: Path
) -> None:
    save_policy(make_random_policy(), tmp_path / "model")
    with chat_server() as server:
        server.models = {"data": [{"id": str(tmp_path / "model"), "max_model_len": 64}]}

        def answer(body: Body, turn: int) -> Answer:
            return Answer(hang=True) if turn >= 5 else likely(body)

        server.answer = answer
        words = scored(server, tmp_path / "model", suite("multiple_choice"), tmp_path / "out")

        def kept() -> int:
            return sum(path.read_bytes().count(b"\n") for path in tmp_path.glob("out/*/replies.jsonl"))

        killed_when(lambda: kept() >= 5, words, tmp_path)
        asked = len(server.asked)
        assert asked <= 7  # five answers, two requests in flight
        server.answer = lambda body, _turn: likely(body)
        assert subprocess.run(words, check=False, stdout=subprocess.DEVNULL, cwd=tmp_path).returncode == 0
        assert len(server.asked) - asked == 3
    [replies] = tmp_path.glob("out/*/replies.jsonl")
    assert len({row["request"] for row in io.read_lines(replies)}) == 8
