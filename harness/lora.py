"""Low-rank adapters (Hu et al. 2021) by peft: the base is frozen, two small matrices beside it learn.

peft puts its layers into the model in place, so the model keeps its class and its methods. What samples or
loads the policy elsewhere sees plain weights: ``merged`` adds each adapter's product to its matrix. An
adapter that was not trained yet adds exactly nothing, since its second matrix begins at zero.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import peft
import torch
from peft.tuners.lora import LoraLayer
from safetensors.torch import load_file, save_file

from harness import config, distributed
from harness.errors import UsageError

NAME = "default"
WEIGHTS = "adapter_model.safetensors"
PREFIX = "base_model.model."
"""What peft puts before the names in its files."""


def check(settings: config.LoRA, model: torch.nn.Module, name: str) -> None:
    """Refuses targets and ranks that do not fit ``model``, which may lie on the meta device.

    Raises:
        UsageError: a target that names no matrix, or a rank above a matrix's smaller side.
    """
    found = _projections(model)
    if settings.targets != "all-linear":
        for target in settings.targets:
            if not any(_is_at(place, target) for place in found):
                there = ", ".join(dict.fromkeys(place.rpartition(".")[2] for place in found))
                raise UsageError(
                    f"policy.lora.targets: {name} has no {target!r} to adapt; "
                    f'accepted: {there}, or "all-linear"'
                )
        targets = settings.targets
        found = {k: v for k, v in found.items() if any(_is_at(k, target) for target in targets)}
    for place, layer in found.items():
        smaller = min(layer.in_features, layer.out_features)
        if settings.rank > smaller:
            raise UsageError(
                f"policy.lora.rank: {settings.rank} is above {smaller}, the smaller side of {place} in {name}"
            )


def attach(model: torch.nn.Module, settings: config.LoRA, seed: int) -> None:
    """Freezes ``model`` and puts float32 adapters into it, in place, initialised as ``seed`` says."""
    wanted = peft.LoraConfig(
        r=settings.rank, lora_alpha=settings.alpha, target_modules=settings.targets, task_type="CAUSAL_LM"
    )
    model.requires_grad_(False)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        peft.inject_adapter_in_model(wanted, model, NAME)
    for parameter in adapter(model).values():
        parameter.data = parameter.data.float()


def is_adapted(model: torch.nn.Module) -> bool:
    return any(isinstance(module, LoraLayer) for module in model.modules())


def adapter(model: torch.nn.Module) -> dict[str, torch.nn.Parameter]:
    """The adapters' own parameters by name: all that is trained."""
    return {name: parameter for name, parameter in model.named_parameters() if ".lora_" in name}


def merged(
    model: torch.nn.Module, tensors: Iterable[tuple[str, torch.Tensor]]
) -> Iterator[tuple[str, torch.Tensor]]:
    """``tensors`` of ``model``, one after another, as a model without adapters names and has them.

    A matrix W with an adapter becomes W + (alpha / rank) B A, in float32. Without adapters nothing changes.
    """
    layers = {name: module for name, module in model.named_modules() if isinstance(module, LoraLayer)}
    for name, tensor in tensors:
        owner, below, leaf = name.rpartition(".base_layer.")
        if ".lora_" in name:
            continue
        if not below:
            yield name, tensor
        elif leaf == "weight":
            layer: Any = layers[owner]
            with torch.no_grad():
                yield f"{owner}.{leaf}", tensor.float() + layer.get_delta_weight(NAME)
        else:
            yield f"{owner}.{leaf}", tensor


def save(model: torch.nn.Module, name: str, folder: Path) -> None:
    """Writes the adapter as peft does; ``PeftModel.from_pretrained(base, folder)`` loads it."""
    settings: peft.LoraConfig = model.peft_config[NAME]  # type: ignore[index, assignment]
    settings.base_model_name_or_path = name
    settings.save_pretrained(str(folder))
    values = {
        PREFIX + key.replace(f".{NAME}.", "."): value.detach().contiguous()
        for key, value in adapter(model).items()
    }
    save_file(values, folder / WEIGHTS, metadata={"format": "pt"})


def load(model: torch.nn.Module, folder: Path) -> None:
    """Reads back, in place, what ``save`` wrote.

    Raises:
        OSError, KeyError, ValueError: the file is not there, or is another model's.
    """
    saved = load_file(folder / WEIGHTS)
    put(model, {k: saved[PREFIX + k.replace(f".{NAME}.", ".")] for k in adapter(model)})


def put(model: torch.nn.Module, values: Mapping[str, torch.Tensor]) -> None:
    """Copies ``values`` into the adapter, by name."""
    with torch.no_grad():
        for name, parameter in adapter(model).items():
            parameter.copy_(distributed.like(values[name], parameter))


@contextmanager
def instead(model: torch.nn.Module, values: Mapping[str, torch.Tensor] | None) -> Iterator[None]:
    """The model with another adapter, or with none (``values`` None): the base's very own numbers."""
    layers = [module for module in model.modules() if isinstance(module, LoraLayer)]
    own = {name: parameter.detach().clone() for name, parameter in adapter(model).items()}
    if values is not None:
        put(model, values)
    else:
        for layer in layers:
            layer.enable_adapters(False)
    try:
        yield
    finally:
        if values is not None:
            put(model, own)
        else:
            for layer in layers:
                layer.enable_adapters(True)


def _projections(model: torch.nn.Module) -> dict[str, torch.nn.Linear]:
    """What can be adapted: every linear layer but the vocabulary projection."""
    head = model.get_output_embeddings()  # type: ignore[operator]
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and module is not head
    }


def _is_at(place: str, target: str) -> bool:
    """peft's rule: the whole name, or the end of it after a dot."""
    return place == target or place.endswith(f".{target}")
