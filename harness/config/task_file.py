"""Tasks of the user's own from a file, for commands that have no experiment."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from evals.base.errors import UsageError
from evals.tasks import registry
from evals.tasks.registry import Tasks
from harness.config.load import OWN, validate
from harness.config.tasks import tasks_of


def read_tasks(file: Path | None, model: str = "") -> Tasks:
    """The tasks that can be named with the tables ``[tasks.NAME]`` of a file, an experiment's for one.

    Without a file these are the tables of the experiment of the run or sweep that ``model`` is the folder of.

    Raises:
        UsageError: the file is not there, not TOML, or a table is wrong.
    """
    own = Path(model) / OWN
    if file is None and model and own.is_file() and "tasks" in _parsed(own):
        return read_tasks(own)
    if file is None:
        return registry.EVERYONE
    file = file / OWN if file.is_dir() else file
    raw = _parsed(file)
    if not raw.get("tasks"):
        raise UsageError(f"{file}: has no [tasks.NAME] table")
    # Only its tasks count here: the rest of an experiment may be about what is not on this machine.
    some = {"name": "tasks", "policy": {"model": "tiny"}, "data": {"train": []}, "tasks": raw["tasks"]}
    return tasks_of(validate(some, str(file)).tasks)


def _parsed(file: Path) -> dict[str, Any]:
    try:
        raw: dict[str, Any] = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{file}: cannot be read ({error.strerror or error})") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{file}: not valid TOML: {error}") from None
    return raw
