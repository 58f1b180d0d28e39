"""Low-rank adapters (Hu et al. 2021) by peft: the base is frozen, two small matrices beside it learn.

peft puts its layers into the model in place, so the model keeps its class and its methods. What samples or
loads the policy elsewhere sees plain weights: ``merged`` adds each adapter's product to its matrix. An
adapter that was not trained yet adds exactly nothing, since its second matrix begins at zero.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import peft
import torch
from peft.tuners.lora import LoraLayer
from safetensors.torch import load_file, save_file
from transformers.pytorch_utils import Conv1D

from evals.base.errors import UsageError, first_line
from harness import config
from harness.models import quantized, sharding
from harness.models.stored import places

NAME = "default"
WEIGHTS = "adapter_model.safetensors"
SETTINGS = "adapter_config.json"
PREFIX = "base_model.model."
"""What peft puts before the names in its files."""


def check(settings: config.LoRA, model: torch.nn.Module, name: str) -> None:
    """Refuses targets and ranks that do not fit ``model``, which may lie on the meta device.

    Raises:
        UsageError: a target that names no matrix, or a rank above a matrix's smaller side.
    """
    found = _projections(model)
    if not found:
        raise UsageError(f"policy.lora: {name} has no linear layer to adapt")
    if settings.targets != "all-linear":
        for target in settings.targets:
            if not any(_is_at(place, target) for place in found):
                there = ", ".join(dict.fromkeys(place.rpartition(".")[2] for place in found))
                raise UsageError(
                    f"policy.lora.targets: {name} has no {target!r} to adapt; "
                    f'accepted: {there}, or "all-linear"'
                )
    for place in _places(settings, model):
        smaller = min(quantized.shape(found[place].weight))
        if settings.rank > smaller:
            raise UsageError(
                f"policy.lora.rank: {settings.rank} is larger than {smaller}, the smaller dimension of "
                f"{place} in {name}"
            )


def size(settings: config.LoRA, model: torch.nn.Module) -> int:
    """How many parameters adapters for ``model``, which may lie on the meta device, have."""
    found = _projections(model)
    adapted = (found[place] for place in _places(settings, model))
    return sum(settings.rank * sum(layer.weight.shape) for layer in adapted)  # GPT-2's layers name no sides


def attach(model: torch.nn.Module, settings: config.LoRA) -> None:
    """Freezes ``model``, which may lie on the meta device, and puts float32 adapters into it, in place.

    In a mixture of experts, the experts' stacked weights and the routers stay as they are: peft would take
    "all-linear" for them too, and its adapters on stacked weights cannot be merged weight by weight.

    Raises:
        UsageError: peft cannot adapt these layers, or what it made cannot be merged into the model again.
    """
    before = [name for name, _ in merged(model, model.state_dict().items())]
    mixture = _experts(model)
    wanted = peft.LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        target_modules=sorted(_places(settings, model)) if mixture else settings.targets,
        task_type="CAUSAL_LM",
        fan_in_fan_out=all(isinstance(layer, Conv1D) for layer in _projections(model).values()),
    )
    model.requires_grad_(False)
    # Inside a module without a configuration, peft leaves the targets as they are named: for a mixture that
    # it knows, it would rewrite "gate_proj" and the like to the experts' stacked weights.
    holder: Any = torch.nn.ModuleDict({"held": model}) if mixture else model
    with torch.random.fork_rng(devices=[]):  # which peft draws from
        try:
            peft.inject_adapter_in_model(wanted, holder, NAME)
        except ValueError as error:
            raise UsageError(f"policy.lora.targets: {first_line(error)}") from None
    model.peft_config = holder.peft_config
    if sorted(name for name, _ in merged(model, model.state_dict().items())) != sorted(before):
        raise UsageError("policy.lora.targets: peft cannot merge adapters on these layers; choose others")
    for parameter in adapter(model).values():
        parameter.data = parameter.data.float()


def initialise(model: torch.nn.Module, seed: int) -> None:
    """Sets adapters to their initial values, as Hu et al. do: A uniform (He et al. 2015), B zero.

    ``model`` may be sharded: the values depend on ``seed`` alone.
    """
    source = torch.Generator().manual_seed(seed)
    values = {name: torch.zeros(parameter.shape) for name, parameter in adapter(model).items()}
    for name, value in values.items():
        if ".lora_A." in name:
            torch.nn.init.kaiming_uniform_(value, a=math.sqrt(5), generator=source)
    put(model, values)


def check_used(model: torch.nn.Module, name: str) -> None:
    """Refuses adapters that do nothing: some layers' weights are used without the layer being called.

    The merged model would have them all the same, and would be another than the one that was trained. Runs a
    forward pass; experts that no token is sent to are not looked at.

    Raises:
        UsageError: names the layers.
    """
    waiting: dict[str, Any] = {
        place: module for place, module in model.named_modules() if isinstance(module, LoraLayer)
    }
    ids = torch.arange(8, device=next(model.parameters()).device)[None]
    called: set[str] = set()
    handles = [
        module.register_forward_hook(lambda *_args, place=place: called.add(place))
        for place, module in waiting.items()
    ]
    try:
        with torch.no_grad():
            model(input_ids=ids, use_cache=False)
    finally:
        for handle in handles:
            handle.remove()
    unused = {place.rpartition(".")[2] for place in waiting if "experts" not in place.split(".")} - {
        place.rpartition(".")[2] for place in called
    }
    if unused:
        others = sorted({place.rpartition(".")[2] for place in called})
        raise UsageError(
            f"policy.lora.targets: {name} uses the weights of {', '.join(sorted(unused))} without calling "
            f"these layers, so adapters on them would have no effect; accepted: {', '.join(others)}"
        )


def is_adapted(model: torch.nn.Module) -> bool:
    return any(isinstance(module, LoraLayer) for module in model.modules())


def adapter(model: torch.nn.Module) -> dict[str, torch.nn.Parameter]:
    """The adapters' own parameters by name: all that is trained."""
    return {name: parameter for name, parameter in model.named_parameters() if ".lora_" in name}


def merged(
    model: torch.nn.Module, tensors: Iterable[tuple[str, torch.Tensor]]
) -> Iterator[tuple[str, torch.Tensor]]:
    """``tensors`` of ``model``, one after another, as a model without adapters names and has them.

    A matrix W with an adapter becomes W + (alpha / rank) B A, in float32; a quantised one is dequantised
    first. Without adapters and quantised weights nothing changes.
    """
    layers = {name: module for name, module in model.named_modules() if isinstance(module, LoraLayer)}
    codes = {name: p for name, p in model.named_parameters() if quantized.is_quantized(p)}
    for name, tensor in tensors:
        owner, below, leaf = name.rpartition(".base_layer.")
        if ".lora_" in name or name.rpartition(".weight.")[0] + ".weight" in codes:
            continue  # an adapter's, or the scales of a quantised weight
        if name in codes:
            tensor = quantized.dequantized(codes[name])
        if not below:
            yield name, tensor
        elif leaf == "weight":
            layer: Any = layers[owner]
            with torch.no_grad():
                yield f"{owner}.{leaf}", tensor.float() + layer.get_delta_weight(NAME)
        else:
            yield f"{owner}.{leaf}", tensor


def plain_name(name: str) -> str:
    """What a model without adapters calls the weight ``name`` of one that may have some."""
    return name.replace(".base_layer.", ".")


def named_as_merged(
    model: torch.nn.Module, tensors: Iterable[tuple[str, torch.Tensor]]
) -> Iterator[tuple[str, torch.Tensor]]:
    """Names, shapes and dtypes of what ``merged`` yields, without adding anything."""
    for name, tensor in tensors:
        owner, below, leaf = name.rpartition(".base_layer.")
        if ".lora_" in name:
            continue
        yield (f"{owner}.{leaf}", tensor.float() if leaf == "weight" else tensor) if below else (name, tensor)


def save(model: torch.nn.Module, name: str, folder: Path | None) -> None:
    """Writes the adapter as peft does; ``PeftModel.from_pretrained(base, folder)`` loads it.

    ``name`` is the base's, with @REVISION where it is not the newest on the hub. ``folder`` None: another
    process of the run writes, and this one takes part in gathering.
    """
    values = {
        PREFIX + key.replace(f".{NAME}.", "."): sharding.whole(value.detach()).contiguous()
        for key, value in adapter(model).items()
    }
    if folder is None:
        return
    settings: peft.LoraConfig = model.peft_config[NAME]  # type: ignore[index, assignment]
    base, at, revision = (name, "", "") if Path(name).exists() else name.partition("@")
    settings.base_model_name_or_path = base
    settings.revision = revision if at else None
    settings.save_pretrained(str(folder))
    save_file(values, folder / WEIGHTS, metadata={"format": "pt"})


def base_of(folder: Path) -> tuple[str, str | None] | None:
    """The base that an adapter's folder names, and its revision; None of a folder that holds a whole model.

    Raises:
        UsageError: it names none, or its adapter_config.json cannot be read.
    """
    file = folder / SETTINGS
    if (folder / "config.json").is_file() or not file.is_file():
        return None
    try:
        told = json.loads(file.read_text(encoding="utf-8"))
        base, revision = told.get("base_model_name_or_path"), told.get("revision")
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise UsageError(f"{file}: not a valid adapter configuration: {first_line(error)}") from None
    if not isinstance(base, str) or not base:
        raise UsageError(f"{file}: has no base_model_name_or_path, so the adapter's base model is unknown")
    return base, str(revision) if revision else None


def adds_products(folder: Path) -> bool:
    """Whether the adapter in ``folder`` is low-rank products of single layers and nothing else: no DoRA, no
    layers trained whole, no experts that the model stacks."""
    if not (folder / WEIGHTS).is_file():
        return False
    names = places(folder, WEIGHTS.removesuffix(".safetensors"))
    return all(
        name.endswith((".lora_A.weight", ".lora_B.weight")) and "experts" not in name for name in names
    )


def products(folder: Path, model: Any) -> dict[str, Callable[[], torch.Tensor]]:
    """What the adapter in ``folder`` adds to each matrix of ``model``, by the matrix's name.

    ``model`` lies on the meta device and is changed.

    Raises:
        UsageError: the adapter does not fit the model.
    """
    with _fitting(folder):
        adapted = peft.PeftModel.from_pretrained(model, str(folder)).get_base_model()
        # peft has moved what it read to the meta device, where the base is.
        values = {name: tensor.float() for name, tensor in _saved(adapted, folder).items()}
        adapted.load_state_dict(values, strict=False, assign=True)
    modules: Any = adapted.named_modules()
    layers: dict[str, Any] = {name: module for name, module in modules if isinstance(module, LoraLayer)}
    return {f"{name}.weight": partial(layer.get_delta_weight, NAME) for name, layer in layers.items()}


def merge_from(folder: Path, model: torch.nn.Module) -> None:
    """Adds the adapter in ``folder`` to ``model``'s matrices, in place.

    Raises:
        UsageError: its weights are not there as safetensors, or do not fit the model.
    """
    if not (folder / WEIGHTS).is_file():
        raise UsageError(f"{folder}: no {WEIGHTS}, the adapter's weights")
    with _fitting(folder):
        peft.PeftModel.from_pretrained(model, str(folder)).merge_and_unload()


@contextmanager
def _fitting(folder: Path) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # peft and torch let many classes through for weights of another model
        raise UsageError(f"{folder}: does not fit its base model: {first_line(error)}") from error


def load(model: torch.nn.Module, folder: Path) -> None:
    """Reads back, in place, what ``save`` wrote.

    Raises:
        OSError, KeyError, ValueError: the file is not there, or is another model's.
    """
    put(model, _saved(model, folder))


def _saved(model: torch.nn.Module, folder: Path) -> dict[str, torch.Tensor]:
    """The adapter's weights in ``folder`` by the names that they have in ``model``."""
    saved = load_file(folder / WEIGHTS)
    return {name: saved[PREFIX + name.replace(f".{NAME}.", ".")] for name in adapter(model)}


def put(model: torch.nn.Module, values: Mapping[str, torch.Tensor]) -> None:
    """Copies ``values`` into the adapter, by name."""
    with torch.no_grad():
        for name, parameter in adapter(model).items():
            parameter.copy_(sharding.like(values[name], parameter))


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


def _places(settings: config.LoRA, model: torch.nn.Module) -> list[str]:
    """The names of the layers that are adapted."""
    found = _projections(model)
    if settings.targets == "all-linear":
        return list(found)
    return [place for place in found if any(_is_at(place, target) for target in settings.targets)]


def _projections(model: torch.nn.Module) -> dict[str, Any]:
    """What can be adapted: every linear layer but the vocabulary projection and routers, by name."""
    head = model.get_output_embeddings()  # type: ignore[operator]
    experts = _experts(model)
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, (torch.nn.Linear, Conv1D))
        and module is not head
        and not _routes(name, module, experts)
    }


def _experts(model: torch.nn.Module) -> set[int]:
    """How many experts a mixture has, as its configuration says (by whatever name); empty otherwise."""
    settings = model.config.get_text_config()  # type: ignore[union-attr, operator]
    named = [name for name in vars(settings) if re.fullmatch(r"(n|num|moe_num)_.*experts", name)]
    counts = {getattr(settings, name) for name in named}
    return {count for count in counts if isinstance(count, int) and count > 1}


def _routes(name: str, module: Any, experts: set[int]) -> bool:
    """Whether a layer's outputs are weights of experts, or the one weight of a shared expert."""
    leaf = name.rpartition(".")[2]
    outputs = int(getattr(module, "out_features", 0))
    return bool(experts) and outputs in experts | {1} and not leaf.endswith("_proj")


def _is_at(place: str, target: str) -> bool:
    """peft's rule: the whole name, or the end of it after a dot."""
    return place == target or place.endswith(f".{target}")
