"""A policy: a causal language model and its tokenizer, loaded from where its name leads (sources.py)."""

from __future__ import annotations

import contextlib
import copy
import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import init_empty_weights
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    GenerationConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from evals.base.errors import JobError, UsageError, first_line
from harness import config
from harness.models import blocks, dist, head, lora, pieces, quantized, sharding, shards
from harness.models.damage import check_complete, check_folder, check_pointer
from harness.models.digest import tensors_hash
from harness.models.sources import find, full_name

ADAPTER = "adapter"
NO_LIMIT = 2**31 - 1
"""Positions of a model whose configuration states no limit (a recurrent one, say)."""
POSITIONS = (
    "max_position_embeddings",
    "n_positions",
    "max_seq_len",
    "max_sequence_length",
    "max_seq_length",
    "seq_length",
    "seq_len",
    "context_length",
)
"""What configurations call the number of their positions."""


@dataclass
class Policy:
    """A loaded model, its tokenizer, and the name it was asked for by.

    ``dtype`` is the forward pass's; where the weights have another one (float32 master weights of a
    policy in training) the forward runs inside ``autocast()``. With ``lora`` the model carries adapters.
    Where it is sharded over processes, ``whole`` is this one's copy of all of it (models/sharding.py).
    """

    model: PreTrainedModel
    tokenizer: Any
    name: str
    dtype: torch.dtype = torch.float32
    lora: config.LoRA | None = None
    whole: PreTrainedModel | None = None

    @property
    def device(self) -> torch.device:
        return self.model.device

    @property
    def positions(self) -> int:
        """Tokens that a prompt and its completion may have together."""
        return positions(self.model.config) or NO_LIMIT

    def autocast(self) -> contextlib.AbstractContextManager[object]:
        """The context of every forward pass: autocast to ``dtype`` where the weights are kept in another."""
        if self.model.dtype == self.dtype:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, dtype=self.dtype)


def load_policy(
    settings: config.Policy, *, trainable: bool = False, seed: int = 0, in_shards: bool = False
) -> Policy:
    """Loads what ``[policy]`` names; ``trainable`` keeps float32 master weights whatever the dtype.

    An adapter of peft's (a run's own ``adapter``, say) is its base with the adapter added.

    With ``policy.lora`` what is trained are float32 adapters, initialised by ``seed``; the frozen weights
    then have the forward pass's dtype, or four bits (``policy.quantization``). ``in_shards``: what is trained
    is sharded over the run's processes, and each reads its own part (but see ``lora.adds_products``).

    Raises:
        UsageError: no such model, revision, folder or device; or the folder holds no whole causal model.
        JobError: the hub cannot be reached and the model is not in its cache.
    """
    device = device_of(settings.device)
    name, source = full_name(settings), find(settings)
    folder, adapter = source.folder, source.adapter
    dtype = getattr(torch, settings.dtype)
    adapters = settings.lora if trainable else None
    kept = torch.float32 if trainable and adapters is None else dtype
    quantize = device if trainable and settings.quantization is not None else None
    if quantize is not None:
        quantized.check("policy.quantization", is_adapter=adapter is not None)
    sharded = in_shards and trainable and dist.world() > 1
    sharded = sharded and (adapter is None or lora.adds_products(adapter))
    if sharded:
        model = _empty_model(folder, kept, settings.trust_remote_code)
    else:
        model = _whole_model(folder, adapter, kept, settings.trust_remote_code, quantize)
    if adapters is not None:
        lora.check(adapters, model, name)
        lora.attach(model, adapters)
    if sharded:
        model = sharding.shard_empty(model, device)
        blocks.load(model, folder, adapter)
    if adapters is not None:
        lora.initialise(model, seed)
    if settings.head_dtype == "float32" and dtype != torch.float32:
        head.to_float32(model)
    if trainable and settings.gradient_checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    if not sharded:
        # By the base class: transformers' own decorators hide its signature.
        torch.nn.Module.to(model, device)
    policy = Policy(
        model=model.train(trainable),
        tokenizer=load_tokenizer(folder),
        name=name,
        dtype=dtype,
        lora=adapters,
    )
    if adapters is not None:
        with policy.autocast():
            lora.check_used(model, name)
    return policy


def positions(model_config: Any) -> int | None:
    """How many tokens a model reads at most; None where its configuration states no limit.

    LongRoPE (Ding et al. 2024) turns all the earlier tokens otherwise as soon as a sequence, or one beside it
    in a batch, exceeds the length that the model was first trained on. What was sampled below that length and
    scored above it would be two models' numbers, so that length is the limit.
    """
    text = model_config.get_text_config()
    stated = [getattr(text, name, None) for name in POSITIONS]
    limits = [int(found) for found in stated if isinstance(found, int)][:1]
    for rope in _rope_tables(getattr(text, "rope_parameters", None)):
        if rope.get("rope_type") == "longrope":
            original = rope.get("original_max_position_embeddings")
            original = original or getattr(text, "original_max_position_embeddings", None)
            limits += [int(original)] if original else []
    return min(limits, default=None)


def _rope_tables(parameters: Any) -> list[dict[str, Any]]:
    """The rotary embedding's parameters: one table, or one for each kind of layer."""
    if not isinstance(parameters, dict):
        return []
    inner = [table for table in parameters.values() if isinstance(table, dict) and "rope_type" in table]
    return inner or [parameters]


def save_policy(policy: Policy, folder: Path | None) -> None:
    """Writes model (safetensors), configuration and tokenizer as a Hugging Face folder.

    An adapted policy's weights are written merged, and the adapter alone besides, in ``folder``/adapter.
    A sharded policy is written by all processes together: one has the ``folder``, the others have None.

    Raises:
        JobError: the folder cannot be written.
    """
    try:
        if sharding.is_sharded(policy.model):
            outline = pieces.described(policy.model)
            shards.write(folder, "model", outline, pieces.pieces(policy.model))
            if folder is not None:
                _save_configs(policy.model, folder)
        elif folder is not None:
            weights = policy.model.state_dict()
            policy.model.save_pretrained(folder, state_dict=dict(lora.merged(policy.model, weights.items())))
        if policy.lora is not None:
            lora.save(policy.model, policy.name, None if folder is None else folder / ADAPTER)
        if folder is not None:
            policy.tokenizer.save_pretrained(folder)
    except Exception as error:  # safetensors and tokenizers wrap a full disk in classes of their own
        raise JobError(f"{folder}: the policy could not be saved: {first_line(error)}") from error


def _save_configs(model: PreTrainedModel, folder: Path) -> None:
    """What ``save_pretrained`` writes beside the weights."""
    known = copy.deepcopy(model.config)
    known.architectures = [sharding.plain_class(model).__name__]
    known.dtype = str(model.dtype).removeprefix("torch.")
    known.save_pretrained(folder)
    if model.can_generate():
        model.generation_config.save_pretrained(folder)


def weights_hash(model: torch.nn.Module) -> str:
    """A digest of every parameter and saved buffer: name, dtype, shape and bits (tied weights once).

    Adapters count as merged. The same weights give the same digest on every device, where the sums below
    are taken in place: hashing a large model's bytes on the host would cost more than sending it to the
    sampler. Any change of one weight shows; it is no defence against someone who looks for collisions.
    """
    tensors: dict[str, torch.Tensor] = dict(model.named_parameters())
    saved = model.state_dict().keys()
    tensors.update((name, tensor) for name, tensor in model.named_buffers() if name in saved)
    merged = lora.merged(model, tensors.items())
    return tensors_hash((name, sharding.whole(tensor.detach())) for name, tensor in merged)


def policy_hash(model: torch.nn.Module, tokenizer: Any) -> str:
    """A digest of the weights and of the tokenizer's rules: what a sample's text depends on."""
    return joint_hash(weights_hash(model), tokenizer)


def joint_hash(weights: str, tokenizer: Any) -> str:
    """``policy_hash`` from a ``weights_hash`` taken earlier."""
    rules = json.loads(tokenizer.backend_tokenizer.to_str())
    for of_the_last_call in ("padding", "truncation"):
        rules.pop(of_the_last_call, None)
    both = f"{weights}/{json.dumps(rules, sort_keys=True)}"
    return hashlib.blake2b(both.encode(), digest_size=16).hexdigest()


def device_of(name: str, key: str = "policy") -> torch.device:
    """The device that ``device`` of the table ``key`` names.

    Raises:
        UsageError: a GPU where PyTorch finds none.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name == "cuda" and not torch.cuda.is_available():
        raise UsageError(f'{key}.device is "cuda", but PyTorch finds no GPU; use "cpu" or "auto"')
    return torch.device(name)


def _empty_model(folder: Path, dtype: torch.dtype, trust: bool) -> PreTrainedModel:
    """The folder's model without weights: its parameters lie on the meta device."""
    check_folder(folder, trust)
    try:
        known = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=trust)
        with init_empty_weights(include_buffers=False):
            model: Any = AutoModelForCausalLM.from_config(  # type: ignore[no-untyped-call]
                known, dtype=dtype, trust_remote_code=trust
            )
        model.tie_weights()
        if (folder / "generation_config.json").is_file():
            model.generation_config = GenerationConfig.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # as for a model that is loaded whole
        raise UsageError(
            f"{folder}: cannot be loaded as a causal language model: {first_line(error)}"
        ) from error
    _mend_generation_config(model, folder)
    if _caps_attention(known):
        model.set_attn_implementation("eager")
    made: PreTrainedModel = sharding.keep_float32(model, dtype)
    return made


def _whole_model(
    folder: Path, adapter: Path | None, dtype: torch.dtype, trust: bool, quantize: torch.device | None
) -> PreTrainedModel:
    """The folder's model with an adapter added: in float32, as where it was sampled and saved."""
    if adapter is None:
        return _load_model(folder, dtype, trust, quantize)
    model = _load_model(folder, torch.float32, trust, quantize)
    lora.merge_from(adapter, model)
    return torch.nn.Module.to(model, dtype)


def _load_model(
    folder: Path, dtype: torch.dtype, trust: bool, quantize: torch.device | None = None
) -> PreTrainedModel:
    """``quantize``: the device where linear layers' weights become NF4 codes; None: they stay as they are."""
    check_folder(folder, trust)
    four_bits: dict[str, Any] = {}
    if quantize is not None:
        four_bits = {"quantization_config": quantized.config_of(dtype), "device_map": {"": quantize}}
    try:
        # Any: with output_loading_info it returns a pair, which its annotation does not say.
        pair: Any = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=dtype,
            local_files_only=True,
            use_safetensors=True,
            output_loading_info=True,
            trust_remote_code=trust,
            **four_bits,
        )
    except Exception as error:  # transformers lets many classes through for a damaged folder
        raise UsageError(
            f"{folder}: cannot be loaded as a causal language model: {first_line(error)}"
        ) from error
    model: PreTrainedModel = pair[0]
    if quantize is not None:
        quantized.settle(model)
    _mend_generation_config(model, folder)
    if _caps_attention(model.config):  # which PyTorch's fused attention leaves out without a word
        model.set_attn_implementation("eager")
    check_complete(folder, pair[1]["missing_keys"])
    return model


def _mend_generation_config(model: PreTrainedModel, folder: Path) -> None:
    """Makes the folder's generation_config.json one that can be saved again, with the first checkpoint.

    The usual fault is a temperature or top-p that nothing samples by. Only its end tokens matter here.
    """
    found = getattr(model, "generation_config", None)
    if found is None:
        return
    try:
        found.validate(strict=True)
    except ValueError:
        found.do_sample = True  # what a temperature means
        try:
            found.validate(strict=True)
        except ValueError as error:
            raise UsageError(
                f"{folder}/generation_config.json: invalid, so no checkpoint could be saved with it: "
                f"{first_line(error)}"
            ) from None


def _caps_attention(model_config: Any) -> bool:
    """Whether attention scores pass through a soft cap."""
    text = model_config.get_text_config()
    return any(value and re.search("att.*(soft_?cap|logit_?cap)", name) for name, value in vars(text).items())


def load_tokenizer(folder: Path) -> Any:
    """The fast tokenizer of a model's folder.

    Raises:
        UsageError: it has none, or one that cannot be read.
    """
    # Not AutoTokenizer: for a Qwen2 configuration it puts Qwen2's own splitting rules in the place of those
    # in tokenizer.json, and samples a policy on other tokens than it was trained on.
    if not (folder / "tokenizer.json").is_file():
        older = [name for name in ("vocab.json", "tokenizer.model", "vocab.txt") if (folder / name).is_file()]
        remedy = ", only {}: AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER) writes one"
        raise UsageError(
            f"{folder}: no tokenizer.json (a fast tokenizer){remedy.format(older[0]) if older else ''}"
        )
    check_pointer(folder / "tokenizer.json")
    try:
        tokenizer = PreTrainedTokenizerFast.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # as for the model
        raise UsageError(f"{folder}: its tokenizer cannot be loaded: {first_line(error)}") from error
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer
