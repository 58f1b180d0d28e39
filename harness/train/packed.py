"""Rows one behind another without padding: attention that ends where a row does.

transformers' models run it unchanged: it is an attention implementation like "sdpa", which the model's own
keyword arguments tell where rows begin (``cu_seq_lens_q``, as its flash attention has them), and positions
start again with each row. On a GPU in half precision it is PyTorch's own varlen kernel; elsewhere one call of
``scaled_dot_product_attention`` a row, which computes what that kernel does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate
from typing import Any

import torch
import torch.nn.functional as F
from transformers import AttentionInterface

from harness.engines.hf_attention import BEYOND, unsupported
from harness.models.policy import Policy

NAME = "packed_rows"
HALVES = (torch.float16, torch.bfloat16)


def attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    scaling: float | None = None,
    cu_seq_lens_q: torch.Tensor | None = None,
    max_length_q: int = 0,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Causal attention inside each row, as transformers calls an attention implementation.

    Args:
        query: (1, query heads, tokens of all rows, head size); ``key`` and ``value`` may have fewer heads.
        cu_seq_lens_q: (rows + 1,) int32, where rows begin and the last one ends.
        max_length_q: tokens of the longest row.

    Returns:
        (1, tokens, query heads, head size), and no weights.

    Raises:
        NotImplementedError: the model asks for more than a softmax over keys, or hands nothing on.
    """
    if cu_seq_lens_q is None or attention_mask is not None:
        raise NotImplementedError("its layers do not pass arguments on to the attention implementation")
    if any(kwargs.get(name) is not None for name in BEYOND):
        raise NotImplementedError("its attention is more than a softmax over keys")
    if query.is_cuda:
        return _varlen(query, key, value, cu_seq_lens_q, max_length_q, scaling), None
    lengths = cu_seq_lens_q.diff().tolist()
    grouped = query.shape[1] != key.shape[1]
    mixed = [
        F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=scaling, enable_gqa=grouped)
        for q, k, v in zip(*(torch.split(tensor, lengths, 2) for tensor in (query, key, value)), strict=True)
    ]
    return torch.cat([row.transpose(1, 2) for row in mixed], dim=1), None


def _varlen(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    begins: torch.Tensor,
    longest: int,
    scaling: float | None,
) -> torch.Tensor:
    from torch.nn.attention.varlen import varlen_attn

    # Rotary embeddings leave queries and keys in float32 under autocast, which does not know this kernel.
    dtype = torch.get_autocast_dtype("cuda") if torch.is_autocast_enabled("cuda") else query.dtype
    q, k, v = (tensor[0].transpose(0, 1).to(dtype).contiguous() for tensor in (query, key, value))
    mixed = varlen_attn(
        q,
        k,
        v,
        begins,
        begins,
        longest,
        longest,
        scale=scaling,
        window_size=(-1, 0),
        enable_gqa=query.shape[1] != key.shape[1],
    )
    assert isinstance(mixed, torch.Tensor)
    return mixed[None]


def possible(model: Any, policy: Policy) -> bool:
    """Whether rows of ``model`` may be packed at all; a trial decides (``forward.Scorer``)."""
    config = model.config.get_text_config()
    if config._attn_implementation != "sdpa" or config.is_encoder_decoder or unsupported(model) is not None:
        return False
    return policy.device.type == "cpu" or policy.dtype in HALVES


def told(lengths: Sequence[int], device: torch.device) -> dict[str, Any]:
    """The keyword arguments of a forward pass over rows of these lengths, one behind another."""
    begins = torch.tensor([0, *accumulate(lengths)], dtype=torch.int32, device=device)
    places = torch.cat([torch.arange(length) for length in lengths])[None].to(device)
    return {
        "position_ids": places,
        "cu_seq_lens_q": begins,
        "cu_seq_lens_k": begins,
        "max_length_q": max(lengths),
        "max_length_k": max(lengths),
    }


@contextmanager
def attending(model: Any) -> Iterator[None]:
    """``model`` with this attention, in backward passes that compute activations again too."""
    config = model.config.get_text_config()
    usual = config._attn_implementation
    config._attn_implementation = NAME
    try:
        yield
    finally:
        config._attn_implementation = usual


AttentionInterface.register(NAME, attention)
