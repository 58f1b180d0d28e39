"""Model FLOPs: what the mathematics of a transformer needs, whatever an implementation makes of it.

A token costs 2 FLOPs per parameter that multiplies it, and attention 4 FLOPs per head dimension, layer and
token attended to; a backward pass costs twice its forward pass (Kaplan et al. 2020, appendix B; PaLM,
appendix B). Padding, recomputation and kernels' own overhead are left out, so that the figure compares
settings and machines. A prompt counts once per group: its completions can share it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from harness.models import quantized

BACKWARD = 2
"""The cost of a backward pass, in forward passes."""
FROZEN_BACKWARD = 1
"""The same where the weights are frozen and adapters learn: gradients pass through, none are taken."""


def update_cost(lora: object | None) -> int:
    """What a forward and a backward pass cost, in forward passes; ``lora`` None: all weights learn."""
    return 1 + (BACKWARD if lora is None else FROZEN_BACKWARD)


@dataclass(frozen=True)
class Shape:
    """What of a model FLOPs depend on.

    ``parameters`` are those in matrix products, the output layer included and the embedding table, which is
    only looked up, left out. ``attention`` is layers x heads x head dimension.
    """

    parameters: int
    attention: int

    def forward(self, prompt: int, completions: Sequence[int] = ()) -> float:
        """FLOPs of a forward pass over a prompt and its completions, lengths in tokens."""
        tokens = prompt + sum(completions)
        attended = _triangle(prompt) + sum(length * prompt + _triangle(length) for length in completions)
        return 2.0 * self.parameters * tokens + 4.0 * self.attention * attended


def shape_of(model: torch.nn.Module) -> Shape:
    """The shape of a transformers causal language model; one on the meta device will do.

    Of a mixture's experts count those that a token is sent to. Layers without attention (recurrent ones)
    count by their matrices.
    """
    settings: Any = model.config.get_text_config()  # type: ignore[union-attr, operator]
    tables = {id(module.weight) for module in model.modules() if isinstance(module, torch.nn.Embedding)}
    head = model.get_output_embeddings()  # type: ignore[operator]
    tables.discard(id(getattr(head, "weight", None)))  # tied: looked up, and multiplied
    chosen = _stated(settings, *CHOSEN_EXPERTS)
    parameters = 0.0
    for name, parameter in model.named_parameters():
        if parameter.ndim < 2 or id(parameter) in tables or "bias" in name.rpartition(".")[2]:
            continue
        size = quantized.shape(parameter).numel()
        stacked = parameter.ndim == 3 and "experts" in name.split(".")
        share = min(1.0, chosen / parameter.shape[0]) if stacked and chosen else 1.0
        parameters += share * size
    return Shape(round(parameters), attending_layers(settings) * query_heads(settings) * head_size(settings))


CHOSEN_EXPERTS = (
    "num_experts_per_tok",
    "num_experts_per_token",
    "experts_per_token",
    "moe_topk",
    "moe_top_k",
    "moe_k",
    "top_k_experts",
)
"""What configurations call the number of experts that a token is sent to."""


def attending_layers(settings: Any) -> int:
    """How many layers of a text configuration have attention proper, whose cost grows with the context."""
    kinds = getattr(settings, "layer_types", None)
    if kinds is None:
        return _stated(settings, "num_hidden_layers", "n_layer", "num_layers")
    recurrent = ("linear", "conv", "mamba", "recurrent", "moe", "mlp")
    return sum(not any(word in kind for word in recurrent) for kind in kinds)


def query_heads(settings: Any) -> int:
    """Attention heads; 0 of a model without any."""
    return _stated(settings, "num_attention_heads", "n_head", "num_heads")


def key_value_heads(settings: Any) -> int:
    """Heads whose keys and values are kept: the query heads where a configuration knows no others."""
    if getattr(settings, "multi_query", False) and not getattr(settings, "new_decoder_architecture", False):
        return 1
    return _stated(settings, "num_key_value_heads", "num_kv_heads") or query_heads(settings)


def head_size(settings: Any) -> int:
    """Numbers in a head; the mean of keys' and values' where they differ; 0 without attention."""
    sizes = [_stated(settings, name) for name in ("qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim")]
    if all(sizes):
        return sum(sizes) // 2
    heads = query_heads(settings)
    return _stated(settings, "head_dim") or (_stated(settings, "hidden_size", "n_embd") // max(heads, 1))


def _stated(settings: Any, *names: str) -> int:
    """The first whole number stated under one of the names (of a list, its largest), or 0."""
    for name in names:
        found = getattr(settings, name, None)
        if isinstance(found, (list, tuple)) and all(isinstance(each, int) for each in found):
            found = max(found, default=None)
        if isinstance(found, int):
            return found
    return 0


def _triangle(length: int) -> int:
    """Pairs of a token and one that it attends to, itself included."""
    return length * (length + 1) // 2
