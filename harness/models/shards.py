"""Tensors written into safetensors shards as they come, and read one at a time.

A shard is full long before the last tensor has come: whoever writes what the processes of a run gather
holds a part of it at a time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import torch
from huggingface_hub import split_torch_state_dict_into_shards
from safetensors import safe_open
from safetensors.torch import save_file

from evals.base import io
from harness.models.stored import places

LARGEST = 2 * 2**30
"""Bytes of a shard at most."""
SMALLEST_NUMBER = 8
"""Of shards: what is small is not held whole either."""


def write(
    folder: Path | None,
    stem: str,
    outline: Mapping[str, torch.Tensor],
    tensors: Iterable[tuple[str, torch.Tensor]],
) -> None:
    """Writes ``tensors``, which ``outline`` announces, into ``folder``/STEM….safetensors, with an index.

    ``folder`` None: another process of the run writes, and this one takes part in gathering.
    """
    if folder is None:
        for _ in tensors:
            pass
        return
    sizes = [tensor.nbytes for tensor in outline.values()]
    most = min(LARGEST, max(sum(sizes) // SMALLEST_NUMBER, *sizes, 1))
    split = split_torch_state_dict_into_shards(
        dict(outline), filename_pattern=f"{stem}{{suffix}}.safetensors", max_shard_size=most
    )
    missing = Counter({file: len(names) for file, names in split.filename_to_tensors.items()})
    where = {name: file for file, names in split.filename_to_tensors.items() for name in names}
    held: dict[str, dict[str, torch.Tensor]] = {file: {} for file in missing}
    for name, tensor in tensors:
        file = where[name]
        held[file][name] = tensor.detach().cpu().contiguous()
        missing[file] -= 1
        if not missing[file]:
            save_file(held.pop(file), folder / file, metadata={"format": "pt"})
    if split.is_sharded:
        index = {"metadata": split.metadata, "weight_map": where}
        io.write_json(folder / f"{stem}.safetensors.index.json", index)


def exist(folder: Path, stem: str) -> bool:
    return any((folder / f"{stem}{end}").is_file() for end in (".safetensors", ".safetensors.index.json"))


def files(folder: Path, stem: str) -> list[Path]:
    """All files that ``write`` made."""
    return sorted(folder.glob(f"{stem}*.safetensors*"))


class Stored(Mapping[str, torch.Tensor]):
    """What ``write`` wrote, or any model's folder has, by name; a tensor is read when it is asked for."""

    def __init__(self, folder: Path, stem: str = "model") -> None:
        self._places = places(folder, stem)

    def __getitem__(self, name: str) -> torch.Tensor:
        with safe_open(self._places[name], "pt") as handle:
            tensor: torch.Tensor = handle.get_tensor(name)
        return tensor

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)
