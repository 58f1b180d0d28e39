"""The vocabulary projection in float32, where all else of a forward pass is bfloat16.

Two programs that agree on hidden states to bfloat16's rounding differ most in the product that follows: its
rounding is that of logits, whose differences are nats (MiniMax-M1, arXiv 2506.13585, section 3.2).
"""

from __future__ import annotations

import types
from typing import Any

import torch
import torch.nn.functional as F


def to_float32(model: torch.nn.Module) -> None:
    """Has ``model``'s head multiply in float32 whatever the autocast around it, in place.

    The weight stays what it is: float32 where the whole model is trained, else rounded to the model's dtype.
    """
    head: Any = model.get_output_embeddings()  # type: ignore[operator]
    head.computes_float32 = True
    head.forward = types.MethodType(_project, head)  # a method, so that a copy of the model has its own


def is_float32(model: torch.nn.Module) -> bool:
    """Whether ``to_float32`` was here."""
    head = model.get_output_embeddings()  # type: ignore[operator]
    return bool(getattr(head, "computes_float32", False))


def _project(head: Any, hidden: torch.Tensor) -> torch.Tensor:
    bias = None if getattr(head, "bias", None) is None else head.bias.float()
    with torch.autocast(hidden.device.type, enabled=False):
        return F.linear(hidden.float(), head.weight.float(), bias)
