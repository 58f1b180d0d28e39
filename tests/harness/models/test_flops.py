"""Model FLOPs against PyTorch's own counter of the operations that a real model runs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoModelForCausalLM, OlmoeConfig, PreTrainedTokenizerFast, Qwen2Config

from evals.base.errors import UsageError
from harness.config import Policy
from harness.models.architecture import architecture
from harness.models.flops import Shape, shape_of
from harness.models.policy import Policy as Loaded
from tests.harness.models.architectures import save


@pytest.mark.parametrize("tied", [True, False])
def test_it_counts_what_pytorch_counts(make_random_policy: Callable[..., Loaded], tied: bool) -> None:
    model, length = make_random_policy(tie_word_embeddings=tied).model, 40
    shape = shape_of(model)
    model.set_attn_implementation("eager")  # the counter does not know the fused kernel of CPUs
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        model(torch.ones(1, length, dtype=torch.long), use_cache=False)
    # The counter takes attention for square; a causal one needs the lower triangle with the diagonal.
    upper = 4 * shape.attention * (length * length - length * (length + 1) / 2)
    # The rotation of positions is a product of 24 x 40 numbers.
    assert counter.get_total_flops() - upper == pytest.approx(shape.forward(length), rel=1e-3)


def test_a_model_without_weights_has_the_same_shape(make_random_policy: Callable[..., Loaded]) -> None:
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


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("gpt2", {}),
        ("opt", {"ffn_dim": 96, "word_embed_proj_dim": 64}),
        ("gpt_neox", {}),
        ("phi3", {}),
    ],
)
def test_whatever_a_configuration_calls_its_sizes(
    kind: str, settings: dict[str, Any], byte_tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    folder = save(kind, settings, byte_tokenizer, tmp_path / kind)
    model, length = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager"), 40
    shape = shape_of(model)
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        model(torch.ones(1, length, dtype=torch.long), use_cache=False)
    upper = 4 * shape.attention * (length * length - length * (length + 1) / 2)
    assert shape.attention == 2 * 64
    assert counter.get_total_flops() - upper == pytest.approx(shape.forward(length), rel=5e-3)


def test_of_a_mixture_the_chosen_experts_count() -> None:
    """OLMoE 1B-7B: 1.3B of 6.9B parameters at work (its paper), 0.1B of them the embedding table."""
    settings = OlmoeConfig(
        vocab_size=50_304,
        hidden_size=2048,
        intermediate_size=1024,
        num_hidden_layers=16,
        num_attention_heads=16,
        num_key_value_heads=16,
        num_experts=64,
        num_experts_per_tok=8,
    )
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(settings)
    assert sum(p.numel() for p in model.parameters()) == pytest.approx(6.9e9, rel=0.01)
    assert shape_of(model).parameters == pytest.approx(1.18e9, rel=0.01)


@pytest.mark.parametrize(
    ("kind", "cache"), [("gpt2", 2 * 2 * 2 * 64), ("llama", 2 * 2 * 2 * 32), ("mamba", 1)]
)
def test_an_architecture_is_read_off_its_folder(
    kind: str, cache: int, byte_tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    found = architecture(Policy(model=str(save(kind, {}, byte_tokenizer, tmp_path / kind))))
    assert (found.hidden, found.layers, found.vocabulary, found.cache) == (64, 2, 264, cache)


def test_sizes_that_do_not_fit_each_other_are_refused(
    byte_tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    folder = save("llama", {}, byte_tokenizer, tmp_path / "llama")
    settings = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**settings, "hidden_size": "wide"}))
    with pytest.raises(UsageError, match=r"policy\.model: "):
        architecture(Policy(model=str(folder)))
