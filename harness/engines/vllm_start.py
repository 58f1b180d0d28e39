"""Starts vLLM in this process, and leaves nothing else in it changed: random state, transformers' classes."""

from __future__ import annotations

import contextlib
import copy
import gc
import json
import os
import random
import tempfile
import weakref
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import ValidationError
from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig, PreTrainedModel

from evals.base.errors import UsageError, first_line
from harness import config
from harness.engines.vllm_settings import VllmSettings, check_copies
from harness.models import dist, head, sharding
from harness.models.damage import check_folder
from harness.models.policy import NO_LIMIT, Policy, load_tokenizer, positions
from harness.models.sources import full_name

# Blocks of 128, vLLM's default on CPUs, would share no prompt shorter than that; small policies run wide.
CPU_SCHEDULE = {"block_size": 32, "max_num_seqs": 1024}
BESIDE_TRAINING = 0.45
"""The share of a GPU's memory that vLLM takes by default where a policy is trained on it, too."""
ALONE = 0.92
"""The most that it takes by default of a GPU where nothing is trained; of what is free, if that is less."""
HEAD = {"head_dtype": "float32"}
"""In a model's configuration: what vLLM computes logits in."""
TO_FIT = -1
"""vLLM's word for the longest context, up to the model's, that the memory has room for."""


@dataclass(frozen=True)
class Subject:
    """What vLLM samples, described: its weights are vLLM's own affair."""

    name: str
    dtype: torch.dtype
    config: Any
    generation_config: Any
    tokenizer: Any
    folder: Path | None = None
    """Where vLLM reads the weights; None: they are given to it afterwards."""
    trust: bool = False
    """Whether the folder's own Python code may run."""
    overrides: Mapping[str, str] = field(default_factory=dict)
    """What vLLM is to read otherwise than the folder's configuration has it."""
    model: torch.nn.Module | None = None
    """A model in this process whose classes vLLM must leave as they are."""

    @property
    def positions(self) -> int:
        return positions(self.config) or NO_LIMIT


def subject_of(policy: Policy) -> Subject:
    """A policy that is loaded here, and gives vLLM its weights."""
    model = policy.model
    known = copy.deepcopy(model.config)
    known.architectures = [
        sharding.plain_class(model).__name__
    ]  # vLLM goes by it; models made in code lack it
    if head.is_float32(model):
        known.head_dtype = HEAD["head_dtype"]
    return Subject(policy.name, policy.dtype, known, model.generation_config, policy.tokenizer, model=model)


def subject_in(folder: Path, settings: config.Policy) -> Subject:
    """The policy that lies in ``folder``, of which only configuration and tokenizer are read here.

    Raises:
        UsageError: the folder holds no whole causal model.
    """
    check_folder(folder, settings.trust_remote_code)
    try:
        found = AutoConfig.from_pretrained(
            folder, local_files_only=True, trust_remote_code=settings.trust_remote_code
        )
        if (folder / "generation_config.json").is_file():
            generation = GenerationConfig.from_pretrained(folder, local_files_only=True)
        else:
            generation = GenerationConfig.from_model_config(found)
    except Exception as error:  # transformers lets many classes through for a damaged folder
        raise UsageError(
            f"{folder}: cannot be loaded as a causal language model: {first_line(error)}"
        ) from error
    return Subject(
        full_name(settings),
        getattr(torch, settings.dtype),
        found,
        generation,
        load_tokenizer(folder),
        folder,
        settings.trust_remote_code,
        HEAD if settings.head_dtype == "float32" and settings.dtype != "float32" else {},
    )


def without_weights(subject: Subject) -> PreTrainedModel:
    """The model on the meta device.

    Raises:
        UsageError: the configuration is of no causal model.
    """
    try:
        with torch.device("meta"):
            model: PreTrainedModel = AutoModelForCausalLM.from_config(  # type: ignore[no-untyped-call]
                subject.config, trust_remote_code=subject.trust
            )
    except Exception as error:  # as in subject_in
        raise UsageError(f"{subject.name}: cannot be built: {first_line(error)}") from error
    return model


def start(subject: Subject, device: torch.device, settings: VllmSettings, share: float) -> Any:
    """A ``vllm.LLM`` of ``subject``; ``share`` is what it may take of a GPU.

    Raises:
        UsageError: vLLM cannot run this architecture, or not with this memory or these settings.
    """
    check_copies(settings.data_parallel)
    os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")
    from vllm import LLM

    gc.collect()  # an engine that nobody holds ends now, not while its successor sets up the same groups
    with tempfile.TemporaryDirectory() as folder, _random_state_kept():
        subject.tokenizer.save_pretrained(Path(folder))
        _drop_length(Path(folder) / "tokenizer_config.json")
        subject.config.save_pretrained(folder)  # beside a tokenizer vLLM looks for one
        before = {} if subject.model is None else _classes(subject.model)
        try:
            llm = LLM(
                model=folder if subject.folder is None else str(subject.folder),
                tokenizer=folder,
                trust_remote_code=subject.trust,
                load_format="dummy" if subject.folder is None else "safetensors",
                dtype=str(subject.dtype).removeprefix("torch."),
                logprobs_mode="processed_logprobs",
                generation_config="vllm",
                disable_log_stats=True,
                **_launched_here(),
                **arguments(subject, device, settings, share),
            )
        except Exception as error:  # vLLM's own, pydantic's and those of the architecture's code
            _put_back(before)
            raise UsageError(f"{subject.name} cannot be sampled by vLLM: {_said(error)}") from error
        _give_back_classes(llm, before)
    _share_groups(llm)
    return llm


def _said(error: Exception) -> str:
    """What vLLM says is wrong; of a setting that it refuses, which one and why."""
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        return f"{key}{key and ': '}{first['msg'].removeprefix('Value error, ')}"
    return first_line(error)


def _launched_here() -> dict[str, Any]:
    """EngineArgs for a run's own processes: groups of tensor_parallel of them have a copy together."""
    return {"distributed_executor_backend": "external_launcher"} if dist.world() > 1 else {}


def arguments(subject: Subject, device: torch.device, settings: VllmSettings, share: float) -> dict[str, Any]:
    """EngineArgs for the memory that there is, with what ``settings`` ask for."""
    longest = settings.max_model_len
    found: dict[str, Any] = {
        "max_model_len": TO_FIT if longest is None else min(longest, subject.positions),
        "tensor_parallel_size": settings.tensor_parallel,
    }
    if device.type == "cuda":
        # Sleeping gives the weights' memory back too, and only what is synced has them again afterwards.
        found |= {"gpu_memory_utilization": share, "enable_sleep_mode": subject.folder is None}
    else:
        longest = min(longest or NO_LIMIT, subject.positions)
        found |= {
            "kv_cache_memory_bytes": int(settings.cache_gib * 2**30),
            "enforce_eager": True,
            # A prompt prefilled in pieces rewinds its seeded generator, which generators on CPUs cannot do.
            "enable_chunked_prefill": False,
            "max_num_batched_tokens": max(8192, longest if longest < NO_LIMIT else 0),
            **CPU_SCHEDULE,
        }
    if subject.overrides:
        found["hf_overrides"] = dict(subject.overrides)
    if settings.batch_size is not None:
        found["max_num_seqs"] = settings.batch_size
    return found | settings.passed_on


def memory_share(device: torch.device, alone: bool) -> float:
    """The share of the GPU that vLLM takes where no setting says it."""
    if not alone or device.type != "cuda":
        return BESIDE_TRAINING
    free, total = torch.cuda.mem_get_info(device)
    return max(0.05, min(ALONE, free / total - 0.02))


def _drop_length(file: Path) -> None:
    """Prompts are given as tokens: a tokenizer's own idea of the longest text must not shorten them."""
    if file.is_file():
        settings = json.loads(file.read_text(encoding="utf-8"))
        settings.pop("model_max_length", None)
        file.write_text(json.dumps(settings), encoding="utf-8")


_LIVE: weakref.WeakSet[Any] = weakref.WeakSet()
"""The engines of this process that somebody holds."""


def _share_groups(llm: Any) -> None:
    """Lets the process groups, which all engines of a process share, end with the last one.

    vLLM destroys them with the first that ends: one that measured a checkpoint, or a teacher's, and the
    engine of the policy in training could not sample any more.
    """
    from vllm.v1.engine import core

    _LIVE.add(llm.llm_engine.engine_core)
    destroy = core.cleanup_dist_env_and_memory
    if getattr(destroy, "ends_with_the_last", False):
        return

    def end() -> None:
        # Of several processes the groups are the run's own, too.
        if not list(_LIVE) and dist.world() == 1:
            destroy()
        elif torch.cuda.is_available():
            torch.cuda.empty_cache()

    end.ends_with_the_last = True  # type: ignore[attr-defined]
    core.cleanup_dist_env_and_memory = end


Classes = dict[type, tuple[tuple[type, ...], dict[str, Any]]]


def _classes(model: torch.nn.Module) -> Classes:
    """The classes of a model's modules, each with its bases and attributes."""
    return {kind: (kind.__bases__, dict(vars(kind))) for kind in {type(m) for m in model.modules()}}


def _put_back(before: Classes) -> dict[type, type]:
    """Gives classes back what they had; returns a subclass with what was changed, for each that was.

    Where vLLM runs an architecture by transformers' own classes, it puts a compiled ``__call__`` and another
    base into them, and a model that is trained in the same process could run no forward pass any more.
    """
    changed: dict[type, type] = {}
    for kind, (bases, attributes) in before.items():
        now = dict(vars(kind))
        others = {name: value for name, value in now.items() if attributes.get(name, before) is not value}
        added = tuple(base for base in kind.__bases__ if base not in bases)
        if not others and not added:
            continue
        for name in others:
            if name in attributes:
                setattr(kind, name, attributes[name])
            else:
                delattr(kind, name)
        kind.__bases__ = bases
        changed[kind] = type(kind.__name__, (kind, *added), {**others, "__module__": kind.__module__})
    return changed


def _give_back_classes(llm: Any, before: Classes) -> None:
    """Puts the classes back, and gives vLLM's own modules the ones that it made of them."""
    changed = _put_back(before)
    if not changed:
        return

    def take(model: torch.nn.Module) -> None:
        for module in model.modules():
            if type(module) in changed:
                module.__class__ = changed[type(module)]

    llm.apply_model(take)


@contextlib.contextmanager
def _random_state_kept() -> Iterator[None]:
    """vLLM in this process seeds every library's generator when it starts: they go on as if it had not."""
    python, legacy_numpy = random.getstate(), np.random.get_state()
    with torch.random.fork_rng():
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(legacy_numpy)
