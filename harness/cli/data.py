"""The benchmarks' data files on this machine: listed, fetched, checked."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from evals.base.errors import UsageError
from evals.tasks import data, registry
from evals.tasks.data import DataFile


@dataclass(frozen=True)
class FileState:
    """One data file: where it comes from, and what was found or done."""

    name: str
    origin: str
    state: str


def known() -> dict[str, DataFile]:
    """The data files of all tasks, by name."""
    return {file.name: file for name in registry.names() for file in registry.files(name)}


def act(action: Literal["list", "fetch", "check"], names: Sequence[str]) -> list[FileState]:
    """Does ``action`` for the named files, or for all.

    Raises:
        UsageError: an unknown name, or no HARNESS_DATA to fetch into.
        TaskError: a file that could not be fetched, or is not what it should be.
    """
    files = known()
    for name in names:
        if name not in files:
            raise UsageError(f"unknown data file {name!r}; known: {', '.join(files)}")
    chosen = [files[name] for name in names] or list(files.values())
    return [FileState(file.name, file.source, _act(action, file)) for file in chosen]


def _act(action: str, file: DataFile) -> str:
    if action == "fetch":
        folder = os.environ.get(data.FOLDER_VARIABLE)
        if not folder:
            raise UsageError("HARNESS_DATA is not set: name the folder that data sets shall be fetched into")
        return f"fetched: {data.fetch(file, Path(folder))}"
    path = data.local_path(file)
    if path is None or not path.exists():
        return "not here"
    if action == "list":
        return f"here: {path}"
    count = data.check(file)
    known = data.origin(file) == file.source
    return f"{count} rows, as published" if known else f"{count} rows, not known to be the published ones"
