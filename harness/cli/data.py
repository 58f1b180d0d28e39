"""Lists, fetches and checks the benchmarks' data files."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from evals.base.errors import UsageError
from evals.base.registry import accepted
from evals.tasks import data, registry
from evals.tasks.data import DataFile


@dataclass(frozen=True)
class FileState:
    """A data file: where it comes from, and what was found or done."""

    name: str
    origin: str
    state: str


def known() -> dict[str, DataFile]:
    """The data files of all tasks, by name."""
    return {file.name: file for name in registry.names() for file in registry.files(name)}


def act(action: Literal["list", "fetch", "check"], names: Sequence[str]) -> list[FileState]:
    """Does ``action`` for the named files, the files of the named tasks, or all files.

    Raises:
        UsageError: an unknown name, or HARNESS_DATA is not set.
        TaskError: a file could not be fetched, or has unexpected contents.
    """
    files = known()
    chosen = {file.name: file for name in names for file in _named(name, files)} or files
    return [FileState(file.name, file.source, _act(action, file)) for file in chosen.values()]


def _named(name: str, files: Mapping[str, DataFile]) -> Sequence[DataFile]:
    """The data file of that name, or all files of the task of that name."""
    if name in files:
        return [files[name]]
    if found := registry.files(name):
        return found
    tasks = [task for task in registry.names() if registry.files(task)]
    raise UsageError(
        f"unknown data file or task {name!r}; {accepted(name, list(dict.fromkeys([*files, *tasks])))}"
    )


def _act(action: str, file: DataFile) -> str:
    if action == "fetch":
        folder = os.environ.get(data.FOLDER_VARIABLE)
        if not folder:
            raise UsageError("HARNESS_DATA is not set: set it to the folder where data sets should be stored")
        return f"fetched: {data.fetch(file, Path(folder))}"
    path = data.local_path(file)
    if path is None or not path.exists():
        return "missing"
    if action == "list":
        return f"present: {path}"
    count = data.check(file)
    known = data.origin(file) == file.source
    return f"{count} rows, as published" if known else f"{count} rows, not verified as the published ones"
