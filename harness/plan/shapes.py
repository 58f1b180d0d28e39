"""The architecture of a model without its weights: from its folder, the hub's cache, or the list below."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from tokenizers import Tokenizer
from tokenizers.models import BPE
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    LlamaConfig,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
)

from harness.config import Policy
from harness.errors import UsageError
from harness.flops import Shape, shape_of
from harness.tiny.build import SIZES
from harness.tiny.pretrain import new_model

# Facts from the models' own config.json: hidden size, feed-forward size, layers, heads, key-value heads,
# vocabulary, tied embeddings.
QWEN = {
    "Qwen2.5-0.5B": (896, 4864, 24, 14, 2, 151_936, True),
    "Qwen2.5-1.5B": (1536, 8960, 28, 12, 2, 151_936, True),
    "Qwen2.5-Math-1.5B": (1536, 8960, 28, 12, 2, 151_936, True),
    "Qwen2.5-3B": (2048, 11_008, 36, 16, 2, 151_936, True),
    "Qwen2.5-7B": (3584, 18_944, 28, 28, 4, 152_064, False),
    "Qwen2.5-Math-7B": (3584, 18_944, 28, 28, 4, 152_064, False),
    "Qwen2.5-14B": (5120, 13_824, 48, 40, 8, 152_064, False),
    "Qwen2.5-32B": (5120, 27_648, 64, 40, 8, 152_064, False),
    "DeepSeek-R1-Distill-Qwen-1.5B": (1536, 8960, 28, 12, 2, 151_936, False),
    "DeepSeek-R1-Distill-Qwen-7B": (3584, 18_944, 28, 28, 4, 152_064, False),
    "DeepSeek-R1-Distill-Qwen-14B": (5120, 13_824, 48, 40, 8, 152_064, False),
    "DeepSeek-R1-Distill-Qwen-32B": (5120, 27_648, 64, 40, 8, 152_064, False),
}
LLAMA = {
    "Llama-3.2-1B": (2048, 8192, 16, 32, 8, 128_256, True),
    "Llama-3.2-3B": (3072, 8192, 28, 24, 8, 128_256, True),
    "Llama-3.1-8B": (4096, 14_336, 32, 32, 8, 128_256, False),
    "DeepSeek-R1-Distill-Llama-8B": (4096, 14_336, 32, 32, 8, 128_256, False),
    "DeepSeek-R1-Distill-Llama-70B": (8192, 28_672, 80, 64, 8, 128_256, False),
}


@dataclass(frozen=True)
class Architecture:
    """What plans need of a model. ``parameters`` are all of them; ``cache`` is the bytes that keys and values
    of one token take at two bytes a number."""

    shape: Shape
    parameters: int
    hidden: int
    layers: int
    vocabulary: int
    cache: int


@cache
def architecture(policy: Policy) -> Architecture:
    """The architecture of ``policy``; nothing is downloaded.

    Raises:
        UsageError: the model is neither here nor known.
    """
    with torch.device("meta"), torch.random.fork_rng(devices=[]):
        model = _without_weights(policy)
    text = model.config.get_text_config()
    head = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    return Architecture(
        shape_of(model),
        sum(parameter.numel() for parameter in model.parameters()),
        text.hidden_size,
        text.num_hidden_layers,
        text.vocab_size,
        2 * 2 * text.num_hidden_layers * text.num_key_value_heads * int(head),
    )


def _without_weights(policy: Policy) -> PreTrainedModel:
    if policy.model in SIZES:
        nothing = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(BPE()))  # type: ignore[no-untyped-call]
        return new_model(SIZES[policy.model], nothing)
    model: PreTrainedModel = AutoModelForCausalLM.from_config(_config(policy))  # type: ignore[no-untyped-call]
    return model


def _config(policy: Policy) -> PretrainedConfig:
    name = policy.model.rpartition("/")[2].removesuffix("-Instruct")
    for known, kind in ((QWEN, Qwen2Config), (LLAMA, LlamaConfig)):
        if name in known and not Path(policy.model).is_dir():
            hidden, inner, layers, heads, shared, words, tied = known[name]
            return kind(
                hidden_size=hidden,
                intermediate_size=inner,
                num_hidden_layers=layers,
                num_attention_heads=heads,
                num_key_value_heads=shared,
                vocab_size=words,
                tie_word_embeddings=tied,
            )
    try:
        found: PretrainedConfig = AutoConfig.from_pretrained(
            policy.model, revision=policy.revision, local_files_only=True
        )
    except (OSError, ValueError):
        raise UsageError(
            f"policy.model: {policy.model} is no folder, not in the hub's cache, and not among the models "
            f"whose shape is known: {', '.join((*QWEN, *LLAMA))}"
        ) from None
    return found
