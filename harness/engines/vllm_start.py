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
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from evals.base.errors import UsageError, first_line
from harness.models import head
from harness.models.policy import NO_LIMIT, Policy

# Blocks of 128, vLLM's default on CPUs, would share no prompt shorter than that; small policies run wide.
CPU_SCHEDULE = {"block_size": 32, "max_num_seqs": 1024}
BESIDE_TRAINING = 0.45
"""The share of a GPU's memory that vLLM takes by default where a policy is trained on it, too."""
ALONE = 0.92
"""The most that it takes by default of a GPU where nothing is trained; of what is free, if that is less."""
TO_FIT = -1
"""vLLM's word for the longest context, up to the model's, that the memory has room for."""


def start(
    policy: Policy,
    device: torch.device,
    room: int | None,
    cache_gib: float,
    memory_share: float,
    batch_size: int | None = None,
) -> Any:
    """A ``vllm.LLM`` of the policy's architecture, weights not yet given.

    ``room``: positions that the longest prompt and its completion need; None: as many as fit.
    ``batch_size``: completions that run at once at most; None: vLLM's own choice.

    Raises:
        UsageError: vLLM cannot run this architecture, or not with this memory.
    """
    os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")
    from vllm import LLM

    gc.collect()  # an engine that nobody holds ends now, not while its successor sets up the same groups
    config = copy.deepcopy(policy.model.config)
    config.architectures = [type(policy.model).__name__]  # vLLM goes by it; models made in code lack it
    if head.is_float32(policy.model):
        config.head_dtype = "float32"  # read off the configuration by vLLM's logits
    with tempfile.TemporaryDirectory() as folder, _random_state_kept():
        config.save_pretrained(folder)
        policy.tokenizer.save_pretrained(Path(folder))
        _drop_length(Path(folder) / "tokenizer_config.json")
        before = _classes(policy.model)
        limits = {} if batch_size is None else {"max_num_seqs": batch_size}
        try:
            llm = LLM(
                model=folder,
                load_format="dummy",
                dtype=str(policy.dtype).removeprefix("torch."),
                logprobs_mode="processed_logprobs",
                generation_config="vllm",
                disable_log_stats=True,
                max_model_len=TO_FIT if room is None else min(room, policy.positions),
                **(_room(policy, device, room, cache_gib, memory_share) | limits),
            )
        except Exception as error:  # vLLM's own, pydantic's and those of the architecture's code
            _put_back(before)
            raise UsageError(f"{policy.name} cannot be sampled by vLLM: {first_line(error)}") from error
        _give_back_classes(llm, before)
    _share_groups(llm)
    return llm


def _room(
    policy: Policy, device: torch.device, room: int | None, cache_gib: float, memory_share: float
) -> dict[str, Any]:
    if device.type == "cuda":
        return {"gpu_memory_utilization": memory_share, "enable_sleep_mode": True}
    longest = min(room or NO_LIMIT, policy.positions)
    return {
        "kv_cache_memory_bytes": int(cache_gib * 2**30),
        "enforce_eager": True,
        # A prompt prefilled in pieces rewinds its seeded generator, which generators on CPUs cannot do.
        "enable_chunked_prefill": False,
        "max_num_batched_tokens": max(8192, longest if longest < NO_LIMIT else 0),
        **CPU_SCHEDULE,
    }


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
        if not list(_LIVE):
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
