"""Which parameters decay, and what the learning rate is at each step."""

from __future__ import annotations

from typing import cast

import pytest
import torch
from transformers import GptOssConfig, GptOssForCausalLM

from harness.config import GRPO
from harness.train.optimizer import learning_rate_at, make_optimizer


def test_matrices_decay_and_biases_do_not_even_stacked_ones() -> None:
    settings = GptOssConfig(
        vocab_size=32,
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=8,
        num_local_experts=2,
        num_experts_per_tok=1,
        pad_token_id=0,
    )
    model = GptOssForCausalLM(settings)  # type: ignore[no-untyped-call]
    optimizer = make_optimizer(cast(torch.nn.Module, model), GRPO(weight_decay=0.1))
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    decayed, kept = ([names[id(p)] for p in group["params"]] for group in optimizer.param_groups)
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.1, 0.0]
    assert {"model.embed_tokens.weight", "model.layers.0.mlp.experts.gate_up_proj"} <= set(decayed)
    assert {"model.layers.0.mlp.experts.gate_up_proj_bias", "model.norm.weight"} <= set(kept)
    assert len(decayed) + len(kept) == len(names)
    assert not any("bias" in name for name in decayed)


def test_warm_up_begins_above_zero_and_reaches_the_peak_at_its_last_step() -> None:
    stage = GRPO(steps=8, learning_rate=1.0, warmup_steps=4, schedule="linear")
    rates = [learning_rate_at(stage, step) for step in range(1, 9)]
    assert rates == pytest.approx([0.25, 0.5, 0.75, 1, 1, 0.75, 0.5, 0.25])
