"""Micro-batches and shared prompts: the same log-probabilities and gradients as one plain forward pass."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from evals.base.errors import UsageError
from harness.models.policy import Policy
from harness.train.batching import Block, Row, padded_tokens, plan
from harness.train.forward import Scorer, evaluation_mode


def make_rows(groups: int = 3, size: int = 4, longest: int = 9, seed: int = 0) -> list[Row]:
    rng = random.Random(seed)
    rows = []
    for group in range(groups):
        prompt = tuple(rng.randrange(250) for _ in range(rng.randint(1, 12)))
        for _ in range(size):
            completion = tuple(rng.randrange(250) for _ in range(rng.randint(1, longest)))
            rows.append(Row(len(rows), group, prompt, completion))
    return rows


def plain_logprobs(policy: Policy, row: Row, temperature: float) -> torch.Tensor:
    """One row at a time through the whole model."""
    ids = torch.tensor([row.prompt_ids + row.completion_ids])
    logits = policy.model(input_ids=ids, use_cache=False).logits[0] / temperature
    logs = torch.log_softmax(logits, dim=1)[len(row.prompt_ids) - 1 : -1]
    return logs[torch.arange(len(row.completion_ids)), torch.tensor(row.completion_ids)]


def gradients(policy: Policy) -> torch.Tensor:
    found = torch.cat([p.grad.flatten() for p in policy.model.parameters() if p.grad is not None])
    policy.model.zero_grad()
    return found


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("budget", [1, 40, 100, 10_000])
def test_equals_one_row_at_a_time(tiny_random_policy: Policy, shared: bool, budget: int) -> None:
    policy, rows = tiny_random_policy, make_rows()
    scorer = Scorer(policy.model, policy, temperature=0.8)
    assert scorer.may_share
    blocks = plan(rows, budget, may_share=shared)
    assert {block.shared for block in blocks} == {shared}
    for block in blocks:
        for scores in scorer.micro_batches(block):
            assert not scores.logprobs[~scores.mask].any()
            (scores.logprobs.square() + 0.1 * scores.entropy).sum().backward()
    mine = gradients(policy)
    found = scorer.score(blocks, len(rows))

    for row, values in zip(rows, found, strict=True):
        expected = plain_logprobs(policy, row, 0.8)
        torch.testing.assert_close(values, expected.detach(), rtol=0, atol=2e-5)
    total = torch.zeros(())
    for row in rows:
        ids = torch.tensor([row.prompt_ids + row.completion_ids])
        logs = torch.log_softmax(policy.model(input_ids=ids, use_cache=False).logits[0] / 0.8, dim=1)
        logs = logs[len(row.prompt_ids) - 1 : -1]
        picked = logs[torch.arange(len(row.completion_ids)), torch.tensor(row.completion_ids)]
        total = total + picked.square().sum() - 0.1 * (logs.exp() * logs).sum()
    total.backward()
    expected_gradients = gradients(policy)
    scale = expected_gradients.abs().max()
    torch.testing.assert_close(mine / scale, expected_gradients / scale, rtol=0, atol=1e-5)


def test_one_token_completions(tiny_random_policy: Policy) -> None:
    policy, rows = tiny_random_policy, make_rows(longest=1)
    scorer = Scorer(policy.model, policy, 1.0)
    found = scorer.score(plan(rows, 1000, may_share=True), len(rows))
    for row, values in zip(rows, found, strict=True):
        torch.testing.assert_close(values, plain_logprobs(policy, row, 1.0).detach(), rtol=0, atol=2e-5)


def test_autocast_runs_in_bfloat16_and_stays_close(tiny_random_policy: Policy) -> None:
    policy, rows = tiny_random_policy, make_rows()
    exact = Scorer(policy.model, policy, 1.0).score(plan(rows, 1000, True), len(rows))
    policy.dtype = torch.bfloat16
    scorer = Scorer(policy.model, policy, 1.0)
    for shared in (True, False):
        for block in plan(rows, 1000, shared):
            for scores in scorer.micro_batches(block):
                scores.logprobs.sum().backward()
                assert scores.logprobs.dtype == torch.float32
                for row, values in zip(scores.rows, scores.logprobs.detach(), strict=True):
                    mine = values[: len(row.completion_ids)]
                    assert not torch.equal(mine, exact[row.index])
                    torch.testing.assert_close(mine, exact[row.index], rtol=0, atol=0.3)
    assert gradients(policy).dtype == torch.float32


def test_dropout_is_off_for_the_while(make_random_policy: Callable[..., Policy]) -> None:
    model = make_random_policy(attention_dropout=0.5).model.train()
    with evaluation_mode(model):
        assert not model.training
    assert model.training


def test_sliding_window_models_do_not_share(make_random_policy: Callable[..., Policy]) -> None:
    policy = make_random_policy(use_sliding_window=True, sliding_window=4, max_window_layers=0)
    scorer, rows = Scorer(policy.model, policy, 1.0), make_rows()
    assert not scorer.may_share
    found = scorer.score(plan(rows, 200, scorer.may_share), len(rows))
    for row, values in zip(rows, found, strict=True):
        torch.testing.assert_close(values, plain_logprobs(policy, row, 1.0).detach(), rtol=0, atol=2e-5)


def test_a_head_with_a_soft_cap_is_refused(tiny_random_policy: Policy) -> None:
    head = tiny_random_policy.model.get_output_embeddings()
    head.register_forward_hook(lambda _module, _inputs, logits: 3 * torch.tanh(logits / 3))
    with pytest.raises(UsageError, match="random-0"):
        Scorer(tiny_random_policy.model, tiny_random_policy, 1.0)


@settings(deadline=None, max_examples=60)
@given(
    groups=st.integers(1, 6),
    size=st.integers(1, 6),
    longest=st.integers(1, 60),
    budget=st.integers(1, 600),
    share=st.booleans(),
    seed=st.integers(0, 99),
)
def test_every_row_is_in_one_micro_batch_within_the_budget(
    groups: int, size: int, longest: int, budget: int, share: bool, seed: int
) -> None:
    rows = make_rows(groups, size, longest, seed)
    blocks = plan(rows, budget, share)
    placed = [row for block in blocks for batch in block.micro_batches for row in batch]
    assert sorted(row.index for row in placed) == list(range(len(rows)))
    for block in blocks:
        for batch in block.micro_batches:
            alone = Block((batch,), block.shared)
            assert len(batch) == 1 or block.shared or padded_tokens([alone]) <= budget
    if share and any(block.shared for block in blocks):
        homes = {row.group: number for number, block in enumerate(blocks) for row in block.micro_batches[0]}
        for number, block in enumerate(blocks):
            assert all(homes.get(group, number) == number for group in block.prompts)


def test_similar_lengths_go_together() -> None:
    rows = [Row(i, i, (1,), (1,) * (10 if i % 2 else 900)) for i in range(64)]
    (block,) = plan(rows, 10**6, may_share=False)
    assert [len(batch) for batch in block.micro_batches] == [32, 32]
    assert padded_tokens([block]) == sum(row.tokens for row in rows)
