"""Model FLOPs against PyTorch's own counter of the operations that a real model runs."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoModelForCausalLM, Qwen2Config

from harness.flops import Shape, shape_of
from harness.policy import Policy


@pytest.mark.parametrize("tied", [True, False])
def test_it_counts_what_pytorch_counts(make_random_policy: Callable[..., Policy], tied: bool) -> None:
    model, length = make_random_policy(tie_word_embeddings=tied).model, 40
    shape = shape_of(model)
    model.set_attn_implementation("eager")  # the counter does not know the fused kernel of CPUs
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        model(torch.ones(1, length, dtype=torch.long), use_cache=False)
    # The counter takes attention for square; a causal one needs the lower triangle with the diagonal.
    upper = 4 * shape.attention * (length * length - length * (length + 1) / 2)
    # The rotation of positions is a product of 24 x 40 numbers.
    assert counter.get_total_flops() - upper == pytest.approx(shape.forward(length), rel=1e-3)


def test_a_model_without_weights_has_the_same_shape(make_random_policy: Callable[..., Policy]) -> None:
    model = make_random_policy().model
    with torch.device("meta"):
        empty = AutoModelForCausalLM.from_config(model.config)
    assert shape_of(empty) == shape_of(model)


def test_qwen2_5_1_5b_has_its_published_size() -> None:
    """1.54B parameters, 1.31B without embeddings (model card); the output layer of 151,936 x 1,536 counts."""
    config = Qwen2Config(
        vocab_size=151_936,
        hidden_size=1536,
        intermediate_size=8960,
        num_hidden_layers=28,
        num_attention_heads=12,
        num_key_value_heads=2,
        tie_word_embeddings=True,
    )
    with torch.device("meta"):
        shape = shape_of(AutoModelForCausalLM.from_config(config))
    assert shape.parameters == pytest.approx(1.54e9, rel=0.01)
    assert shape.attention == 28 * 1536


@given(st.integers(0, 50), st.lists(st.integers(1, 50), min_size=1, max_size=5))
def test_a_shared_prompt_counts_once(prompt: int, completions: list[int]) -> None:
    shape = Shape(1000, 64)
    apart = sum(shape.forward(prompt, [length]) for length in completions)
    together = shape.forward(prompt, completions)
    assert together == pytest.approx(apart - (len(completions) - 1) * shape.forward(prompt))
    assert shape.forward(prompt, [completions[0]]) == pytest.approx(shape.forward(prompt + completions[0]))
