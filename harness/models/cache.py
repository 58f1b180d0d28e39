"""Model folders that are made here once and kept: the tiny policies, converted GGUF files."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import filelock


def cache_folder() -> Path:
    """HARNESS_CACHE, or grpo-harness in the user's cache folder."""
    named = os.environ.get("HARNESS_CACHE")
    if named:
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "grpo-harness"


def built_once(name: str, build: Callable[[Path], None]) -> Path:
    """The folder ``name`` of the cache; where it is missing, ``build`` fills a folder that is then renamed.

    Safe to call from several processes at once: the second waits for the first. A build that fails or is
    killed leaves no folder of that name.
    """
    folder = cache_folder() / name
    if folder.exists():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(folder.with_name(f"{name}.lock")):
        if not folder.exists():
            aside = folder.with_name(f".{name}.{os.getpid()}")
            try:
                build(aside)
                os.replace(aside, folder)
            finally:
                shutil.rmtree(aside, ignore_errors=True)
    return folder
