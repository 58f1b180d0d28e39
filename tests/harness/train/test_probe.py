"""The probe after a sync: what it finds in a stale head, in stale experts, and in an engine that is right."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from transformers import Qwen3MoeConfig, Qwen3MoeForCausalLM

from evals.base.errors import JobError
from harness.engines.hf import TransformersEngine
from harness.models.policy import Policy
from harness.train.forward import Scorer
from harness.train.probe import DRAWN, PROMPTS, Probe, prompts


class Forgetful(TransformersEngine):
    """An engine that takes all weights but those whose names hold ``kept``."""

    def __init__(self, policy: Policy, kept: str) -> None:
        super().__init__(policy, own_weights=True)
        self._kept = kept
        head = self._policy.model.get_output_embeddings()
        head.weight = torch.nn.Parameter(head.weight.detach().clone())  # type: ignore[union-attr]

    def sync(self, model: Any) -> None:
        new = {k: v for k, v in model.state_dict().items() if self._kept not in k}
        self._policy.model.load_state_dict(new, strict=False)


def probe(engine: Any, policy: Policy, limit: float | None = None) -> Probe:
    return Probe(engine, Scorer(policy.model, policy, 0.8), policy, 0.8, limit)


def learn(policy: Policy, factor: float = 1.01) -> None:
    with torch.no_grad():
        for parameter in policy.model.parameters():
            parameter.mul_(factor)


def test_an_engine_that_follows_is_left_alone(tiny_random_policy: Policy) -> None:
    engine = TransformersEngine(tiny_random_policy, own_weights=True)
    of = probe(engine, tiny_random_policy)
    assert of.check()["probe/drift"] < 1e-5
    learn(tiny_random_policy)
    with pytest.raises(JobError, match="LM head"):
        of.check()
    engine.sync(tiny_random_policy.model)
    first = of.check()["probe/drift"]
    assert first < 1e-5
    assert of.check()["probe/drift"] == first


def test_the_policys_own_module_is_probed_once(tiny_random_policy: Policy) -> None:
    engine = TransformersEngine(tiny_random_policy)
    of = probe(engine, tiny_random_policy)
    assert of.check()["probe/drift"] < 1e-5
    learn(tiny_random_policy)
    assert of.check() == {}
    copied = TransformersEngine(tiny_random_policy, own_weights=True)
    of = probe(copied, tiny_random_policy)
    assert all("probe/drift" in of.check() for _ in range(2))


def test_a_stale_tied_head_is_caught(tiny_random_policy: Policy) -> None:
    """Every weight but the head's own copy arrives; the embeddings that it was tied to do."""
    engine = Forgetful(tiny_random_policy, "lm_head")
    of = probe(engine, tiny_random_policy)
    engine.sync(tiny_random_policy.model)
    assert of.check()["probe/drift"] < 1e-5
    learn(tiny_random_policy)
    engine.sync(tiny_random_policy.model)
    with pytest.raises(JobError, match=r"transformers engine .* explains less than 0\.001 \(probe_limit\)"):
        of.check()


def test_stale_experts_are_caught(tiny_random_policy: Policy) -> None:
    config = Qwen3MoeConfig(
        vocab_size=len(tiny_random_policy.tokenizer), hidden_size=32, intermediate_size=48, head_dim=8,
        num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, num_experts=4,
        num_experts_per_tok=2, moe_intermediate_size=16, max_position_embeddings=256, initializer_range=0.2,
        eos_token_id=tiny_random_policy.tokenizer.eos_token_id,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        policy = replace(tiny_random_policy, model=Qwen3MoeForCausalLM(config).eval())
    engine = Forgetful(policy, ".experts.")
    of = probe(engine, policy)
    assert of.check()["probe/drift"] < 1e-5
    learn(policy, 1.05)
    engine.sync(policy.model)
    with pytest.raises(JobError, match="experts of a mixture"):
        of.check()


def test_the_limit_is_a_setting_and_follows_the_dtype(
    tiny_random_policy: Policy, make_random_policy: Callable[..., Policy]
) -> None:
    other = copy.deepcopy(tiny_random_policy.model)
    learn(tiny_random_policy, 1.002)
    engine = TransformersEngine(replace(tiny_random_policy, model=other))
    found = probe(engine, tiny_random_policy, limit=10.0).check()["probe/drift"]
    assert 0.001 < found < 0.2
    with pytest.raises(JobError, match=r"explains less than 0\.0001"):
        probe(engine, tiny_random_policy, limit=1e-4).check()
    wide = replace(tiny_random_policy, dtype=torch.bfloat16)
    assert probe(TransformersEngine(wide), wide).check()["probe/drift"] < 0.1


def test_logits_that_are_not_finite_are_caught(tiny_random_policy: Policy) -> None:
    engine = TransformersEngine(tiny_random_policy, own_weights=True)
    of = probe(engine, tiny_random_policy)
    with torch.no_grad():
        tiny_random_policy.model.model.norm.weight.fill_(torch.nan)
    with pytest.raises(JobError, match="inf nats"):
        of.check()


def test_prompts_fit_what_the_engine_has_room_for(make_random_policy: Callable[..., Policy]) -> None:
    assert len(set(prompts())) == PROMPTS
    small = make_random_policy(max_position_embeddings=24)
    of = probe(TransformersEngine(small), small)
    assert of.check()["probe/drift"] < 1e-5
    assert all(len(small.tokenizer(text).input_ids) + DRAWN < 24 for text in of._prompts)
    smaller = make_random_policy(max_position_embeddings=6)
    assert probe(TransformersEngine(smaller), smaller).check() == {}
