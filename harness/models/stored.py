"""Weights as a folder's safetensors files hold them, read one tensor at a time: no model is made of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import torch
from safetensors import safe_open
from transformers import PreTrainedModel

from harness.models.damage import INDEX
from harness.models.digest import tensors_hash


def places(folder: Path, stem: str = "model") -> dict[str, Path]:
    """Where each tensor lies: in ``folder``/STEM.safetensors, or in the shards that its index names."""
    index = folder / INDEX.replace("model", stem, 1)
    if index.is_file():
        named = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        return {name: folder / file for name, file in named.items()}
    file = folder / f"{stem}.safetensors"
    with safe_open(file, "pt") as handle:
        return dict.fromkeys(handle.keys(), file)


def tensors(wanted: dict[str, Path]) -> Iterator[tuple[str, torch.Tensor]]:
    """The tensors that lie at ``wanted``, one after another, file by file."""
    for file in dict.fromkeys(wanted.values()):
        with safe_open(file, "pt") as handle:
            for name in (name for name, place in wanted.items() if place == file):
                yield name, handle.get_tensor(name)


def model_names(model: torch.nn.Module) -> set[str]:
    """The names of all parameters and saved buffers, tied ones once; the model may lie on the meta device."""
    saved = model.state_dict().keys()
    return {name for name, _ in (*model.named_parameters(), *model.named_buffers()) if name in saved}


def folder_hash(folder: Path, model: PreTrainedModel, dtype: torch.dtype) -> str:
    """``policy.weights_hash`` of the folder's model as it is in ``dtype``; ``model`` is it without weights.

    Where files name or shape the weights otherwise than the model (experts that are stacked when they are
    loaded, say), or keep some in float32, it is a digest of what lies in the files.
    """
    found = places(folder)
    wanted = model_names(model)
    exact = getattr(model, "_keep_in_fp32_modules", None) or getattr(
        model, "_keep_in_fp32_modules_strict", None
    )
    if wanted <= found.keys() and (dtype == torch.float32 or not exact):
        return tensors_hash(_cast(tensors({name: found[name] for name in wanted}), dtype))
    return tensors_hash(tensors(found))


def _cast(
    found: Iterable[tuple[str, torch.Tensor]], dtype: torch.dtype
) -> Iterator[tuple[str, torch.Tensor]]:
    for name, tensor in found:
        yield name, tensor.to(dtype) if tensor.is_floating_point() else tensor
