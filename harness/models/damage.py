"""What a model's folder lacks or has in another form, said with the remedy before transformers reads it."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from pathlib import Path

from transformers import CONFIG_MAPPING

from evals.base.errors import UsageError, first_line

WEIGHT_FILES = "*.safetensors"
"""Never pickled weights, which run code when they are read."""
INDEX = "model.safetensors.index.json"
POINTER = b"version https://git-lfs"
HEADER = 8
"""Bytes at the beginning of a safetensors file that hold the length of its JSON header."""


def check_folder(folder: Path, trust: bool) -> None:
    """Refuses a folder that no model can be loaded from.

    Raises:
        UsageError: names what is missing, cut or not trusted, and what to do.
    """
    check_config(folder)
    check_code(folder, trust)
    _check_weights(folder)


def check_config(folder: Path) -> None:
    """Refuses a folder without a configuration.

    Raises:
        UsageError: names the folder, and what would make it a model's.
    """
    if (folder / "config.json").is_file():
        return check_pointer(folder / "config.json")
    if any(folder.glob(WEIGHT_FILES)):
        raise UsageError(
            f"{folder}: has weights but no config.json; copy config.json and the tokenizer files from the "
            "model that was fine-tuned"
        )
    if (folder / "params.json").is_file():
        raise UsageError(
            f"{folder}: weights in Meta's original format (params.json, no config.json); use the Hugging "
            "Face version of the model"
        )
    raise UsageError(
        f"{folder}: no config.json; expected a model in Hugging Face format, the folder of a run, sweep "
        "or adapter, or a GGUF file"
    )


def check_code(folder: Path, trust: bool) -> None:
    """Refuses a model that is Python code of its folder's own, unless that is trusted.

    Raises:
        UsageError: names the code, and the setting.
    """
    try:
        settings = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        classes = settings.get("auto_map", {})
        code = classes.get("AutoModelForCausalLM") or classes.get("AutoConfig")
        known = settings.get("model_type") in CONFIG_MAPPING
    except (OSError, ValueError, AttributeError, RecursionError):
        return  # the loader says what is wrong with it
    if code and not known and not trust:
        raise UsageError(
            f"{folder}: this model comes with its own code ({code}); if you trust it, set "
            "policy.trust_remote_code = true (harness eval --trust-remote-code) to run it"
        )


def check_complete(folder: Path, missing: Collection[str]) -> None:
    """Refuses a folder that lacks weights of its model, by their names: transformers would draw random ones.

    Raises:
        UsageError: says how many there are, and names one.
    """
    if missing:
        raise UsageError(
            f"{folder}: {len(missing)} weights of the model are missing, for example {min(missing)}"
        )


def check_pointer(file: Path) -> None:
    """Refuses what `git clone` leaves of a large file where Git LFS is not installed.

    Raises:
        UsageError: names the file.
    """
    with file.open("rb") as stream:
        if stream.read(len(POINTER)) == POINTER:
            raise UsageError(
                f"{file}: is a Git LFS pointer, not the file itself; run `git lfs pull` in {file.parent}"
            )


def _check_weights(folder: Path) -> None:
    files = sorted(folder.glob(WEIGHT_FILES))
    if not files:
        _refuse_other_formats(folder)
    missing = [name for name in _shards(folder) if not (folder / name).is_file()]
    if missing:
        raise UsageError(
            f"{folder / INDEX}: {len(missing)} weight files are missing, for example {missing[0]}; "
            "download them again"
        )
    for file in files:
        _check_length(file)


def _refuse_other_formats(folder: Path) -> None:
    pickled = sorted(path.name for kind in ("*.bin", "*.pt", "*.pth") for path in folder.glob(kind))
    if pickled:
        raise UsageError(
            f"{folder}: the weights are pickled ({pickled[0]}), and loading them can run code; if you "
            "trust them, convert them to safetensors with "
            "AutoModelForCausalLM.from_pretrained(FOLDER).save_pretrained(NEW)"
        )
    raise UsageError(
        f"{folder}: no weights ({WEIGHT_FILES}); if the model is on the hub with pickled weights, and you "
        "trust it, convert it with AutoModelForCausalLM.from_pretrained(NAME).save_pretrained(NEW)"
    )


def _shards(folder: Path) -> Iterator[str]:
    """The files that the index of a sharded model names; none where there is no index."""
    index = folder / INDEX
    if not index.is_file():
        return
    check_pointer(index)
    try:
        yield from sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UsageError(
            f"{index}: not a valid index of weight files: {first_line(error)}; download it again"
        ) from None


def _check_length(file: Path) -> None:
    """Refuses a safetensors file that ends before the last tensor that its header names."""
    check_pointer(file)
    size = file.stat().st_size
    try:
        with file.open("rb") as stream:
            length = int.from_bytes(stream.read(HEADER), "little")
            if length > size - HEADER:
                raise UsageError(f"{file}: truncated within its header; copy or download it again")
            tensors = json.loads(stream.read(length))
        ends = [entry["data_offsets"][1] for name, entry in tensors.items() if name != "__metadata__"]
        expected = HEADER + length + max(ends, default=0)
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError) as error:
        raise UsageError(
            f"{file}: not a valid safetensors file: {first_line(error)}; copy or download it again"
        ) from None
    if size < expected:
        raise UsageError(f"{file}: truncated after {size:,} of {expected:,} bytes; copy or download it again")
