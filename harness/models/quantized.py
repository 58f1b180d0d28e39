"""Frozen weights in four bits under adapters (QLoRA, Dettmers et al. 2023), by bitsandbytes.

A linear layer keeps its weight as NF4 codes of blocks of 64 with a scale each; embeddings, norms and the
vocabulary projection stay in the policy's dtype. Every product multiplies by the dequantised weight, so the
policy in training is exactly the model of the dequantised weights with the adapter added: that is what
samples elsewhere, and what checkpoints hold (``lora.merged``).
"""

from __future__ import annotations

import importlib.util
from typing import Any

import torch

from evals.base.errors import UsageError
from harness.models.dist import world

BITS = 4 + 8 / 64 + 32 / (64 * 256)
"""Bits a weight takes: its code, its block's scale in eight bits, and the scale of 256 of those."""


def check_installed(key: str) -> None:
    """Refuses a setting, ``key``, that needs bitsandbytes where that is not there.

    Raises:
        UsageError: it is not installed.
    """
    if importlib.util.find_spec("bitsandbytes") is None:
        raise UsageError(f'{key}: bitsandbytes is not installed: pip install "grpo-harness[bitsandbytes]"')


def check(key: str, is_adapter: bool) -> None:
    """Refuses what cannot be quantised here; ``is_adapter``: the policy's name leads to an adapter.

    Raises:
        UsageError: bitsandbytes is not installed, there are several processes, or weights to be merged first.
    """
    check_installed(key)
    if world() > 1:
        raise UsageError(
            f"{key}: only for training in one process, because FSDP2 cannot shard 4-bit weights; leave it out"
        )
    if is_adapter:
        raise UsageError(
            f"{key}: policy.model is an adapter, which would have to be merged before quantization: use a "
            "merged model, such as a run's checkpoints/step-N"
        )


def config_of(dtype: torch.dtype) -> Any:
    """transformers' ``BitsAndBytesConfig`` for NF4 with products in ``dtype``."""
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(  # type: ignore[no-untyped-call]
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )


def settle(model: Any) -> None:
    """Makes a model that was loaded in four bits one that trains, and is saved and described as a plain one.

    Its merged weights have all their bits, and its configuration must not say otherwise.
    """
    for module in model.modules():
        # In evaluation mode some CPUs would pack the codes for a product that no gradient passes through.
        if is_quantized(getattr(module, "weight", None)):
            module.support_avx512bf16_for_cpu = False
    del model.config.quantization_config
    model.hf_quantizer = None
    model.is_quantized = False


def is_quantized(parameter: Any) -> bool:
    return getattr(parameter, "quant_state", None) is not None


def shape(parameter: Any) -> torch.Size:
    """The shape of the weight that a parameter stands for; that of its codes says nothing."""
    return torch.Size(parameter.quant_state.shape) if is_quantized(parameter) else torch.Size(parameter.shape)


def dequantized(parameter: Any) -> torch.Tensor:
    """The weight that a quantised parameter stands for, in the dtype that products have."""
    from bitsandbytes.functional import dequantize_4bit

    weight: torch.Tensor = dequantize_4bit(parameter.data, parameter.quant_state)
    return weight
