"""The architecture of a model without its weights: from its folder, the hub's cache, or the list below."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

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
from transformers.pytorch_utils import Conv1D

from evals.base.errors import UsageError, first_line
from harness.config import Policy
from harness.models import lora, sources
from harness.models.damage import check_code
from harness.models.flops import Shape, attending_layers, head_size, key_value_heads, shape_of
from harness.models.tiny.build import SIZES
from harness.models.tiny.pretrain import new_model

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
    """What plans need of a model. ``parameters`` are all of them, without the ``adapters`` that are trained
    in their stead where the policy has some; ``shape`` counts both. ``linear`` are those in linear layers but
    the output, which can be quantised. ``cache`` is the bytes that keys and
    values of one token take at two bytes a number."""

    shape: Shape
    parameters: int
    linear: int
    adapters: int
    hidden: int
    layers: int
    vocabulary: int
    cache: int


def architecture(policy: Policy) -> Architecture:
    """The architecture of ``policy``; nothing is downloaded.

    Raises:
        UsageError: the model is neither here nor known, its configuration does not say its sizes, or its
            adapters do not fit it.
    """
    wanted = {"model", "revision", "trust_remote_code", "lora"}
    return _architecture(policy.model_dump_json(include=wanted))


@cache
def _architecture(settings: str) -> Architecture:
    """``settings``: of the policy, as JSON, which can be a key."""
    policy, adapters = Policy.model_validate_json(settings), 0
    try:
        with torch.device("meta"), torch.random.fork_rng(devices=[]):
            model = _without_weights(policy)
        if policy.lora is not None:
            lora.check(policy.lora, model, policy.model)
            adapters = lora.size(policy.lora, model)
        text, shape = model.config.get_text_config(), shape_of(model)
        return Architecture(
            replace(shape, parameters=shape.parameters + adapters),
            sum(parameter.numel() for parameter in model.parameters()),
            _linear(model),
            adapters,
            text.hidden_size,
            text.num_hidden_layers,
            text.vocab_size,
            max(1, 2 * attending_layers(text) * _cached(text)),
        )
    except UsageError:
        raise
    except Exception as error:  # an architecture's own code, on sizes that do not fit each other
        raise UsageError(
            f"policy.model: cannot determine the size of {policy.model} from its configuration: "
            f"{first_line(error)}"
        ) from error


def _linear(model: PreTrainedModel) -> int:
    head = model.get_output_embeddings()  # type: ignore[no-untyped-call]
    layers = (module for module in model.modules() if isinstance(module, torch.nn.Linear | Conv1D))
    return sum(layer.weight.numel() for layer in layers if layer is not head)


def _cached(text: Any) -> int:
    """Numbers that a token leaves in a layer's cache: keys and values, or the latent that stands for both."""
    latent = getattr(text, "kv_lora_rank", None)
    if latent:
        return int(latent) + int(getattr(text, "qk_rope_head_dim", 0))
    return 2 * key_value_heads(text) * head_size(text)


def _without_weights(policy: Policy) -> PreTrainedModel:
    if policy.model in SIZES:
        nothing = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(BPE()))  # type: ignore[no-untyped-call]
        return new_model(SIZES[policy.model], nothing)
    model: PreTrainedModel = AutoModelForCausalLM.from_config(  # type: ignore[no-untyped-call]
        _config(policy), trust_remote_code=policy.trust_remote_code
    )
    return model


def _config(policy: Policy) -> PretrainedConfig:
    here = sources.is_here(policy.model)
    name = policy.model.rpartition("/")[2].removesuffix("-Instruct")
    for known, kind in ((QWEN, Qwen2Config), (LLAMA, LlamaConfig)):
        if name in known and not here:
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
    place = str(sources.config_folder(policy)) if here else policy.model
    if here:
        check_code(Path(place), policy.trust_remote_code)
    try:
        found: PretrainedConfig = AutoConfig.from_pretrained(
            place,
            revision=policy.revision,
            local_files_only=True,
            trust_remote_code=policy.trust_remote_code,
        )
    except (OSError, ValueError):
        raise UsageError(
            f"policy.model: {policy.model} is neither a folder, nor in the local hub cache, nor a model "
            f"whose shape is known: {', '.join((*QWEN, *LLAMA))}"
        ) from None
    return found
