"""A head in float32, in a forward pass that is bfloat16 otherwise: trainer, sampler, copies, gradients."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from harness import config
from harness.engines.hf import TransformersEngine
from harness.models import head
from harness.models.policy import Policy, load_policy, save_policy
from harness.train.batching import Block, Row
from harness.train.forward import Scorer
from harness.train.probe import Probe

LoadPolicy = Callable[..., Policy]


@pytest.fixture
def load(make_random_policy: Callable[..., Policy], tmp_path: Path) -> LoadPolicy:
    save_policy(make_random_policy(vocab_size=4000), tmp_path / "model")

    def load(trainable: bool = True, lora: bool = False, **settings: str) -> Policy:
        adapters = config.LoRA(rank=2) if lora else None
        asked = {"dtype": "bfloat16", "device": "cpu", **settings}
        policy = config.Policy(model=str(tmp_path / "model"), lora=adapters, **asked)  # type: ignore[arg-type]
        return load_policy(policy, trainable=trainable)

    return load


@pytest.mark.parametrize("lora", [False, True], ids=["master weights", "frozen bfloat16 weights"])
def test_the_trainers_log_probabilities_are_those_of_its_hidden_states(load: LoadPolicy, lora: bool) -> None:
    off = []
    for settings in ({}, {"head_dtype": "float32"}):
        policy = load(lora=lora, **settings)
        prompt, completion = tuple(range(40)), tuple(range(100, 140))
        ids = torch.tensor([[*prompt, *completion]])
        with torch.no_grad(), policy.autocast():
            hidden = policy.model.model(input_ids=ids, use_cache=False).last_hidden_state[0, 39:-1]
        weight = policy.model.get_output_embeddings().weight.detach()
        logs = torch.log_softmax(hidden.double() @ weight.double().T, dim=1)
        exact = logs.gather(1, ids[0, 40:, None])[:, 0]
        block = Block(((Row(0, 0, prompt, completion),),), shared=False)
        (found,) = Scorer(policy.model, policy, 1.0).score([block], 1)
        off.append(float((found - exact).abs().mean()))
    assert off[1] < 1e-5
    assert off[0] > 1e-3


def test_logits_are_a_product_in_float32(load: LoadPolicy) -> None:
    policy = load(head_dtype="float32")
    ids = torch.arange(12)[None]
    with torch.no_grad(), policy.autocast():
        hidden = policy.model.model(input_ids=ids, use_cache=False).last_hidden_state
        logits = policy.model(input_ids=ids, use_cache=False).logits
    weight = policy.model.get_output_embeddings().weight
    assert (logits.dtype, weight.dtype) == (torch.float32, torch.float32)
    torch.testing.assert_close(logits, hidden.float() @ weight.T, rtol=0, atol=1e-4)


def test_a_copy_has_its_own_head(load: LoadPolicy) -> None:
    policy = load(head_dtype="float32")
    other = copy.deepcopy(policy.model)
    with torch.no_grad():
        policy.model.get_output_embeddings().weight.mul_(2)
    ids = torch.arange(6)[None]
    assert head.is_float32(other)
    assert not torch.equal(other(input_ids=ids).logits, policy.model(input_ids=ids).logits)
    engine = TransformersEngine(policy, own_weights=True)
    probe = Probe(engine, Scorer(policy.model, policy, 1.0), policy, 1.0, 0.05)
    assert probe.check()["probe/drift"] < 0.05


def test_gradients_reach_the_head(load: LoadPolicy) -> None:
    policy = load(head_dtype="float32")
    rows = (Row(0, 0, (1, 2, 3), (4, 5, 6)),)
    for scores in Scorer(policy.model, policy, 1.0).micro_batches(Block((rows,), shared=False)):
        scores.logprobs.sum().backward()
    grad = policy.model.get_output_embeddings().weight.grad
    assert grad is not None
    assert grad.dtype == torch.float32
    assert grad.isfinite().all()


def test_in_float32_nothing_changes(load: LoadPolicy) -> None:
    assert not head.is_float32(load(dtype="float32", head_dtype="float32").model)
