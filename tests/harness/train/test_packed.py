"""Packed rows: the same loss and gradients as rows that run alone, whatever the lengths."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from evals.base import io
from harness import config
from harness.config import GRPO, Data, Experiment
from harness.engines.hf import TransformersEngine
from harness.models.policy import Policy, load_policy, save_policy
from harness.train.batching import Row, padded_tokens, plan
from harness.train.forward import Scorer
from harness.train.learners import train_stage
from harness.train.loop import StageRun
from harness.train.run_dir import Run
from tests.harness.train.grpo.test_stage import PAIRS, stage
from tests.harness.train.test_forward import gradients, make_rows, plain_logprobs


def learned(policy: Policy, scorer: Scorer, blocks: Any) -> tuple[list[torch.Tensor], torch.Tensor]:
    """Log-probabilities, and the gradients of a loss of them and of the entropy."""
    policy.model.zero_grad()
    for block in blocks:
        for scores in scorer.micro_batches(block):
            (scores.logprobs.square() + 0.1 * scores.entropy).sum().backward()  # type: ignore[no-untyped-call]
    found = gradients(policy)
    return scorer.score(blocks, sum(len(batch) for block in blocks for batch in block.micro_batches)), found


@pytest.mark.parametrize("budget", [1, 40, 10_000])
def test_equals_rows_and_one_row_at_a_time(tiny_random_policy: Policy, budget: int) -> None:
    policy, rows = tiny_random_policy, make_rows(longest=40)
    usual = Scorer(policy.model, policy, 0.8)
    scorer = Scorer(policy.model, policy, 0.8, "always")
    assert (scorer.may_pack, usual.may_pack) == (True, False)
    assert all(parameter.grad is None for parameter in policy.model.parameters())
    blocks = plan(rows, budget, may_share=False, may_pack=True)
    assert all(block.packed for block in blocks)
    ours, mine = learned(policy, scorer, blocks)
    theirs, other = learned(policy, usual, plan(rows, budget, may_share=False))
    for row, values, unpacked in zip(rows, ours, theirs, strict=True):
        torch.testing.assert_close(values, unpacked, rtol=0, atol=1e-5)
        alone = plain_logprobs(policy, row, 0.8).detach()
        torch.testing.assert_close(values, alone, rtol=0, atol=1e-5)
    scale = other.abs().max()
    torch.testing.assert_close(mine / scale, other / scale, rtol=0, atol=1e-5)
    assert policy.model.config._attn_implementation == "sdpa"


def test_with_checkpointed_activations_and_adapters(tiny_random_policy: Policy, tmp_path: Path) -> None:
    """Activations that are computed again see the same rows."""
    save_policy(tiny_random_policy, tmp_path / "base")
    rows, found = make_rows(longest=30), []
    for checkpointing in (False, True):
        chosen = config.Policy(
            model=str(tmp_path / "base"), gradient_checkpointing=checkpointing, lora=config.LoRA(rank=2)
        )
        policy = load_policy(chosen, trainable=True)
        scorer = Scorer(policy.model, policy, 1.0, "always")
        assert scorer.may_pack
        found.append(learned(policy, scorer, plan(rows, 200, False, True))[1])
    torch.testing.assert_close(found[0], found[1], rtol=0, atol=1e-5 * float(found[0].abs().max()))
    assert found[0].any()


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(1, 60), min_size=1, max_size=30), st.integers(1, 150))
def test_every_row_is_there_once_within_the_budget(lengths: list[int], budget: int) -> None:
    rows = [Row(i, i, (1,), (2,) * length) for i, length in enumerate(lengths)]
    (block,) = plan(rows, budget, may_share=False, may_pack=True)
    assert sorted(row.index for batch in block.micro_batches for row in batch) == list(range(len(rows)))
    assert all(len(batch) == 1 or sum(row.tokens for row in batch) <= budget for batch in block.micro_batches)
    assert padded_tokens([block]) == sum(row.tokens for row in rows)  # no padding at all
    # No two could be one: their number is at most twice the fewest possible.
    fill = [sum(row.tokens for row in batch) for batch in block.micro_batches]
    assert all(a + b > budget for k, a in enumerate(fill) for b in fill[k + 1 :])


def test_prompts_that_pay_are_shared_all_the_same(tiny_random_policy: Policy) -> None:
    rows = make_rows(longest=3)
    assert all(block.shared for block in plan(rows, 100, may_share=True, may_pack=True))


def test_what_cannot_be_packed_is_not(make_random_policy: Callable[..., Policy]) -> None:
    windowed = make_random_policy(use_sliding_window=True, sliding_window=4, max_window_layers=0)
    assert not Scorer(windowed.model, windowed, 1.0, "always").may_pack
    eager = make_random_policy()
    eager.model.set_attn_implementation("eager")
    assert not Scorer(eager.model, eager, 1.0, "always").may_pack
    plain = make_random_policy()
    assert not Scorer(plain.model, plain, 1.0, "auto").may_pack  # on a CPU rows are padded


def test_a_run_gives_the_same_numbers(make_random_policy: Callable[..., Policy], tmp_path: Path) -> None:
    found = []
    for packing in ("never", "always"):
        of = GRPO(**{**stage(beta=0.1, epochs=2).model_dump(), "packing": packing, "max_tokens": 60})
        experiment = Experiment(
            name="x", policy=config.Policy(model="tiny", template="plain"), data=Data(train="s"), stages=[of]
        )
        policy = make_random_policy()
        run = Run(tmp_path / packing, experiment)
        train_stage(of, StageRun(run, policy, TransformersEngine(policy), PAIRS))
        run.close()
        found.append(list(io.read_lines(tmp_path / packing / "metrics.jsonl")))
    for one, other in zip(*found, strict=True):
        for name in ("reward", "loss", "kl", "entropy", "drift", "grad_norm"):
            assert one[name] == pytest.approx(other[name], abs=1e-5, rel=1e-4)
