"""A served model's log-probabilities of continuations, against the engine over the same model here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from transformers import PreTrainedTokenizerFast

from evals.base.errors import UsageError
from harness import config
from harness.engines.hf import TransformersEngine
from harness.engines.served import ServedEngine
from harness.engines.served_scoring import ServedScoring
from harness.models.policy import Policy, save_policy
from tests.harness.engines.chat_server import Answer, Body, chat_server


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


def test_a_chat_tells_nothing_of_continuations() -> None:
    with pytest.raises(UsageError, match=r"which a chat does not tell; take --api completions"):
        scoring(
            config.Policy(model="served", server=config.Server(addresses=["http://127.0.0.1:9/v1"]))
        ).loglikelihoods([([1], [2])])


def test_a_server_that_does_not_say_its_length_is_told_so(
    byte_tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    byte_tokenizer.save_pretrained(tmp_path)
    with chat_server() as server:
        table = config.Server(addresses=[server.address], api="completions", timeout=20)
        engine = scoring(config.Policy(model=str(tmp_path), template="plain", server=table))
        with pytest.raises(UsageError, match=r"does not say how many tokens .* reads \(max_model_len"):
            _ = engine.positions
