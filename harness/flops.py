"""Model FLOPs: what the mathematics of a transformer needs, whatever an implementation makes of it.

A token costs 2 FLOPs per parameter that multiplies it, and attention 4 FLOPs per head dimension, layer and
token attended to; a backward pass costs twice its forward pass (Kaplan et al. 2020, appendix B; PaLM,
appendix B). Padding, recomputation and kernels' own overhead are left out, so that the figure compares
settings and machines. A prompt counts once per group: its completions can share it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

BACKWARD = 2
"""The cost of a backward pass, in forward passes."""
FROZEN_BACKWARD = 1
"""The same where the weights are frozen and adapters learn: gradients pass through, none are taken."""


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
    """The shape of a transformers causal language model; one on the meta device will do."""
    settings = model.config.get_text_config()  # type: ignore[union-attr, operator]
    linear = {
        id(module.weight): module.weight.numel()
        for module in model.modules()
        if isinstance(module, torch.nn.Linear)
    }
    head = getattr(settings, "head_dim", None) or settings.hidden_size // settings.num_attention_heads
    return Shape(sum(linear.values()), settings.num_hidden_layers * settings.num_attention_heads * int(head))


def _triangle(length: int) -> int:
    """Pairs of a token and one that it attends to, itself included."""
    return length * (length + 1) // 2
