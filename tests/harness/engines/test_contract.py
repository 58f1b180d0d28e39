"""What every engine promises, tested on every engine that is installed."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
import scipy.stats
import torch

from evals.base.errors import UsageError
from evals.engine import Completion, Group, Request, Sampling, ScoringEngine, Underway, WatchedEngine
from evals.runner import BLOCK
from harness.engines.hf import TransformersEngine
from harness.engines.registry import RolloutEngine, block_size
from harness.models.policy import Policy, policy_hash, weights_hash

PROMPTS = ("Compute 17 + 4.", "<think>a", "What is the sum of the first ten odd numbers?", "x")
REQUESTS = [
    Request(prompt, n, 1000 * i) for i, (prompt, n) in enumerate(zip(PROMPTS, (3, 1, 5, 2), strict=True))
]
SAMPLING = Sampling(max_tokens=32)


def _logits(policy: Policy, prompt_ids: tuple[int, ...], token_ids: tuple[int, ...]) -> torch.Tensor:
    """The logits (tokens, vocabulary) that each token was drawn from, by one plain forward pass."""
    with torch.no_grad():
        logits = policy.model(torch.tensor([[*prompt_ids, *token_ids]])).logits[0]
    return logits[len(prompt_ids) - 1 : -1].double()


def _completions(groups: list[Group]) -> list[tuple[Group, Completion]]:
    return [(group, completion) for group in groups for completion in group.completions]


@pytest.mark.parametrize("temperature", [1.0, 0.7, 0.0])
def test_logprobs_are_the_models(engine: RolloutEngine, policy: Policy, temperature: float) -> None:
    groups = engine.generate(REQUESTS, Sampling(temperature=temperature, max_tokens=32))
    for group, completion in _completions(groups):
        logits = _logits(policy, group.prompt_ids, completion.token_ids) / (temperature or 1.0)
        expected = logits.log_softmax(-1).gather(1, torch.tensor(completion.token_ids)[:, None])[:, 0]
        assert completion.logprobs == pytest.approx(expected.tolist(), abs=1e-4)


def test_greedy_takes_the_likeliest_token_every_time(engine: RolloutEngine, policy: Policy) -> None:
    for group, completion in _completions(engine.generate(REQUESTS, Sampling(temperature=0, max_tokens=24))):
        logits = _logits(policy, group.prompt_ids, completion.token_ids)
        assert completion.token_ids == tuple(logits.argmax(-1).tolist())


def test_shapes_order_and_finish_reasons(engine: RolloutEngine, policy: Policy) -> None:
    groups = engine.generate(REQUESTS, SAMPLING)
    ends = set(policy.model.generation_config.eos_token_id)
    assert [len(group.completions) for group in groups] == [request.n for request in REQUESTS]
    reasons = set()
    for request, group in zip(REQUESTS, groups, strict=True):
        assert list(group.prompt_ids) == policy.tokenizer(request.prompt).input_ids
        for completion in group.completions:
            assert len(completion.token_ids) == len(completion.logprobs) <= SAMPLING.max_tokens
            assert not ends & set(completion.token_ids[:-1])
            if completion.finish_reason == "stop":
                assert completion.token_ids[-1] in ends
            else:
                assert len(completion.token_ids) == SAMPLING.max_tokens
                assert completion.token_ids[-1] not in ends
            reasons.add(completion.finish_reason)
    assert reasons == {"stop", "length"}


def test_text_keeps_tags_and_leaves_out_the_end(engine: RolloutEngine, policy: Policy) -> None:
    tokenizer = policy.tokenizer
    seen = ""
    for _, completion in _completions(engine.generate([Request("a", 100, 0)], SAMPLING)):
        body = completion.token_ids[:-1] if completion.finish_reason == "stop" else completion.token_ids
        assert completion.text == tokenizer.decode(body, skip_special_tokens=True)
        seen += completion.text
    assert any(tag in seen for tag in ("<think>", "</think>", "<answer>", "</answer>"))
    assert tokenizer.eos_token not in seen
    assert tokenizer.pad_token not in seen


def test_completion_i_is_drawn_with_seed_plus_i(engine: RolloutEngine) -> None:
    together = engine.generate([Request(PROMPTS[0], 6, 40)], SAMPLING)[0].completions
    alone = [engine.generate([Request(PROMPTS[0], 1, 40 + i)], SAMPLING)[0].completions[0] for i in range(6)]
    assert [c.token_ids for c in together] == [c.token_ids for c in alone]
    assert len({c.token_ids for c in together}) == 6


def test_the_same_requests_give_the_same_groups(engine: RolloutEngine) -> None:
    first = engine.generate(REQUESTS, SAMPLING)
    engine.generate([Request("something else", 7, 3)], SAMPLING)
    assert engine.generate(REQUESTS, SAMPLING) == first


def test_what_runs_beside_a_request_does_not_change_its_tokens(engine: RolloutEngine) -> None:
    first = engine.generate(REQUESTS, SAMPLING)
    backwards = engine.generate(REQUESTS[::-1], SAMPLING)[::-1]
    for (_, one), (_, other) in zip(_completions(first), _completions(backwards), strict=True):
        assert one.token_ids == other.token_ids
        assert one.logprobs == pytest.approx(other.logprobs, abs=1e-5)


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(max_tokens=1),
        Sampling(max_tokens=1, temperature=0.6),
        Sampling(max_tokens=1, top_k=5),
        Sampling(max_tokens=1, top_p=0.7),
        Sampling(max_tokens=1, temperature=1.3, top_k=20, top_p=0.5),
        Sampling(max_tokens=1, min_p=0.6),
        Sampling(max_tokens=1, repetition_penalty=1.7),
    ],
    ids=str,
)
def test_tokens_come_from_the_stated_distribution(
    engine: RolloutEngine, policy: Policy, sampling: Sampling
) -> None:
    group = engine.generate([Request("Compute", 3000, 7)], sampling)[0]
    drawn = np.bincount(
        [completion.token_ids[0] for completion in group.completions],
        minlength=policy.model.config.vocab_size,
    )
    logits = _logits(policy, group.prompt_ids, (0,))[0]
    for token in set(
        group.prompt_ids
    ):  # Keskar et al. 2019: a logit is divided, or multiplied where negative
        by = sampling.repetition_penalty
        logits[token] = logits[token] / by if logits[token] > 0 else logits[token] * by
    expected = _distribution(logits, sampling).numpy() * drawn.sum()
    assert drawn[expected == 0].sum() == 0
    common = expected >= 5
    observed = [*drawn[common], drawn[~common].sum()]
    stated = [*expected[common], expected[~common].sum()]
    if stated[-1] == 0:
        observed, stated = observed[:-1], stated[:-1]
    assert scipy.stats.chisquare(observed, stated).pvalue > 1e-3


def _distribution(logits: torch.Tensor, sampling: Sampling) -> torch.Tensor:
    """Temperature, then top-k, then the smallest set of tokens that holds top-p, in plain Python; of these
    what has min-p times the likeliest one's probability."""
    probabilities = (logits / sampling.temperature).softmax(-1).tolist()
    ranked = sorted(range(len(probabilities)), key=lambda i: -probabilities[i])
    if sampling.top_k:
        ranked = ranked[: sampling.top_k]
    total = sum(probabilities[i] for i in ranked)
    sums = itertools.accumulate(probabilities[i] for i in ranked)
    kept = ranked[: 1 + sum(so_far < sampling.top_p * total for so_far in sums)]
    kept = [i for i in kept if probabilities[i] >= sampling.min_p * probabilities[ranked[0]]]
    result = torch.zeros(len(probabilities), dtype=torch.float64)
    result[kept] = torch.tensor([probabilities[i] for i in kept], dtype=torch.float64)
    return result / result.sum()


@pytest.mark.parametrize("budget", [0, 5, 64])
def test_thinking_is_closed_at_the_budget(engine: RolloutEngine, policy: Policy, budget: int) -> None:
    closing = tuple(policy.tokenizer.encode("</think>", add_special_tokens=False))
    sampling = Sampling(max_tokens=32, thinking_budget=budget)
    asked = [Request("1 + 1. <think>\n", 6, 7), Request("no thought", 6, 90)]
    thought, plain = engine.generate(asked, sampling)
    free = engine.generate(asked, replace(sampling, thinking_budget=None))
    assert [each.token_ids for each in plain.completions] == [each.token_ids for each in free[1].completions]
    closed = 0
    for before, after in zip(free[0].completions, thought.completions, strict=True):
        assert after.token_ids[:budget] == before.token_ids[:budget]
        if closing[0] in before.token_ids[:budget]:  # it closed the tag by itself
            continue
        if len(before.token_ids) <= budget:  # it ended by itself
            assert after.token_ids == before.token_ids
            continue
        closed += 1
        assert after.token_ids[budget : budget + len(closing)] == closing
        assert after.logprobs[budget : budget + len(closing)] == (0.0,) * len(closing)
        assert len(after.token_ids) <= sampling.max_tokens
        rest = slice(budget + len(closing), None)
        logits = _logits(policy, thought.prompt_ids, after.token_ids)
        told = logits.log_softmax(-1).gather(1, torch.tensor(after.token_ids)[:, None])[:, 0]
        assert after.logprobs[rest] == pytest.approx(told.tolist()[rest], abs=1e-4)
    assert closed or budget > 32


def test_a_stop_string_ends_the_text_before_it(engine: RolloutEngine) -> None:
    free = engine.generate([Request("go", 12, 0)], SAMPLING)[0].completions
    long = next(completion for completion in free if len(completion.text) > 12)
    word = long.text[6:8]
    stopped = engine.generate([Request("go", 12, 0)], Sampling(max_tokens=32, stop=(word, "never drawn")))[0]
    for before, after in zip(free, stopped.completions, strict=True):
        assert after.text == before.text.partition(word)[0]
        assert after.token_ids == before.token_ids[: len(after.token_ids)]
        if word in before.text:
            assert after.finish_reason == "stop"
            assert len(after.token_ids) <= len(before.token_ids)
        else:
            assert (after.text, after.token_ids) == (before.text, before.token_ids)
            assert after.finish_reason == before.finish_reason
    assert any(word in completion.text for completion in free)
    assert len(stopped.completions[free.index(long)].token_ids) < len(long.token_ids)


def test_a_special_token_ends_the_text_as_a_stop_string(engine: RolloutEngine) -> None:
    special = "<|pad|>"
    number = engine.tokenizer.convert_tokens_to_ids(special)
    hot = Sampling(temperature=2.0, max_tokens=32)
    free = engine.generate([Request("go", 400, 0)], hot)[0].completions
    stopped = engine.generate([Request("go", 400, 0)], replace(hot, stop=(special,)))[0].completions
    assert any(number in completion.token_ids for completion in free)
    for before, after in zip(free, stopped, strict=True):
        if number in before.token_ids:
            end = before.token_ids.index(number)
            assert after.token_ids == before.token_ids[: end + 1]
            assert after.finish_reason == "stop"
            assert after.text == engine.tokenizer.decode(before.token_ids[:end])
        else:
            assert (after.text, after.finish_reason) == (before.text, before.finish_reason)


def test_logprobs_that_nobody_reads_change_no_token(engine: RolloutEngine) -> None:
    wanted = engine.generate(REQUESTS, SAMPLING)
    without = engine.generate([replace(request, logprobs=False) for request in REQUESTS], SAMPLING)
    for (_, one), (_, other) in zip(_completions(wanted), _completions(without), strict=True):
        assert (one.token_ids, one.text, one.finish_reason) == (
            other.token_ids,
            other.text,
            other.finish_reason,
        )


def test_an_evaluation_hands_vllm_more_at_once_but_no_more_tokens(engine: RolloutEngine) -> None:
    longer = 4 if engine.name == "vllm" else 1
    assert block_size(engine, 128) == longer * BLOCK
    assert block_size(engine, 32_768) == BLOCK


def test_likelihoods_of_continuations_are_the_models(engine: RolloutEngine, policy: Policy) -> None:
    assert isinstance(engine, ScoringEngine)
    greedy = engine.generate([Request("a", 1, 0)], Sampling(temperature=0, max_tokens=5))[0]
    pairs = [
        ([5, 6, 7], [8, 9]),
        ([5, 6, 7], [8, 10]),
        ([11], [12]),
        (list(greedy.prompt_ids), list(greedy.completions[0].token_ids)),
        ([7] * 300, [8, 9, 10]),  # more than there are positions: the left end goes
        ([5], []),
    ]
    found = engine.loglikelihoods(pairs)
    for (context, continuation), (value, likeliest) in zip(pairs, found, strict=True):
        if not continuation:
            assert (value, likeliest) == (0.0, True)
            continue
        kept = tuple(context[-(engine.positions + 1 - len(continuation)) :])
        logits = _logits(policy, kept, tuple(continuation))
        tokens = torch.tensor(continuation)
        expected = logits.log_softmax(-1).gather(1, tokens[:, None]).sum()
        assert value == pytest.approx(float(expected), abs=1e-3)
        assert likeliest == bool((logits.argmax(-1) == tokens).all())
    assert found[3][1]


def test_sync_samples_the_new_weights(engine: RolloutEngine, policy: Policy) -> None:
    assert engine.weights_hash == weights_hash(policy.model)
    assert engine.model_hash == policy_hash(policy.model, policy.tokenizer)
    before = engine.generate(REQUESTS, SAMPLING)
    old = engine.model_hash
    with torch.no_grad():
        for weight in policy.model.parameters():
            weight *= 1.05
    engine.sync(policy.model)
    after = engine.generate(REQUESTS, SAMPLING)
    assert after != before
    assert engine.weights_hash == weights_hash(policy.model)
    assert engine.model_hash == policy_hash(policy.model, policy.tokenizer) != old
    for group, completion in _completions(after):
        logits = _logits(policy, group.prompt_ids, completion.token_ids)
        expected = logits.log_softmax(-1).gather(1, torch.tensor(completion.token_ids)[:, None])[:, 0]
        assert completion.logprobs == pytest.approx(expected.tolist(), abs=1e-4)


def test_a_skipped_sync_shows(engine: RolloutEngine, policy: Policy) -> None:
    """Where the engine has weights of its own, its log-probabilities stay behind."""
    if isinstance(engine, TransformersEngine):
        pytest.skip("shares the trainer's weights: there is no sync to skip")
    with torch.no_grad():
        policy.model.get_input_embeddings().weight *= 1.2
    group = engine.generate([Request("a", 4, 0)], SAMPLING)[0]
    completion = group.completions[0]
    logits = _logits(policy, group.prompt_ids, completion.token_ids)
    current = logits.log_softmax(-1).gather(1, torch.tensor(completion.token_ids)[:, None])[:, 0]
    assert (current - torch.tensor(completion.logprobs)).abs().max() > 0.05


def test_release_and_resume_lose_nothing_after_a_sync(engine: RolloutEngine, policy: Policy) -> None:
    before = engine.generate(REQUESTS, SAMPLING)
    engine.release()
    engine.resume()
    engine.sync(policy.model)
    assert engine.generate(REQUESTS, SAMPLING) == before


def test_who_watches_is_told_of_every_completion(engine: RolloutEngine) -> None:
    if not isinstance(engine, WatchedEngine):
        pytest.skip("this engine cannot be watched")
    told: list[Underway] = []
    with engine.watch(told.append):
        groups = engine.generate(REQUESTS, Sampling(max_tokens=30))
    lengths = [len(one.token_ids) for group in groups for one in group.completions]
    assert [each.ended for each in told] == sorted(each.ended for each in told)
    assert told[-1].ended == len(lengths)
    assert told[-1].tokens in (0, sum(lengths))  # 0: an engine that does not count them
    told.clear()
    engine.generate(REQUESTS, Sampling(max_tokens=2))
    assert told == []


def test_nothing_asked_nothing_sampled(engine: RolloutEngine) -> None:
    assert engine.generate([], SAMPLING) == []


def test_too_long_names_prompt_and_positions(engine: RolloutEngine) -> None:
    with pytest.raises(UsageError, match=r"a prompt of 200 tokens and max_tokens 57 need 257 .* has 256"):
        engine.generate([Request("a", 1, 0), Request("b" * 200, 1, 0)], Sampling(max_tokens=57))
    at_the_edge = engine.generate([Request("b" * 200, 2, 0)], Sampling(max_tokens=56, temperature=0))
    assert len(at_the_edge[0].completions) == 2


@pytest.mark.parametrize(("prompt", "max_tokens", "said"), [("", 4, "prompt 0"), ("a", 0, "max_tokens is 0")])
def test_nothing_to_do_is_a_usage_error(
    engine: RolloutEngine, prompt: str, max_tokens: int, said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        engine.generate([Request(prompt, 1, 0)], Sampling(max_tokens=max_tokens))
