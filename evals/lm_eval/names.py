"""What a task of lm-eval is called here, and whether lm-eval knows it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from evals.base import text_files
from evals.base.errors import first_line
from evals.task import TaskError

PREFIX = "lm_eval:"


def folder_name(name: str) -> str:
    """The folder of a task's results: "lm_eval-mmlu"."""
    return text_files.folder_name("lm_eval-" + title(name))


def split_part(name: str) -> tuple[str, int | None]:
    """A task, and how many documents are asked for ("mmlu[:8]"); None: all of them."""
    found = re.fullmatch(r"(.+)\[:([1-9]\d*)\]", name)
    return (found[1], int(found[2])) if found else (name, None)


def part(name: str, limit: int) -> str:
    """The name of the first ``limit`` documents of ``name``, which may be a part already."""
    whole, least = split_part(name)
    return f"{whole}[:{limit if least is None else min(limit, least)}]"


def title(name: str) -> str:
    """What results are called: a file's task by the file's name."""
    whole, limit = split_part(name)
    stem = Path(whole).stem if _is_file(whole) else whole
    return stem if limit is None else part(stem, limit)


def _is_file(name: str) -> bool:
    return name.endswith((".yaml", ".yml"))


def check(name: str) -> None:
    """Raises ``TaskError`` where lm-eval is not installed or does not know ``name``."""
    find(split_part(name)[0])


def find(name: str) -> tuple[Any, str]:
    """lm-eval's task manager, and what it calls the task."""
    try:
        from lm_eval.tasks import TaskManager
    except ImportError:
        raise TaskError(
            f"{PREFIX}{name}: lm-eval is not installed; pip install 'grpo-harness[lm-eval]'"
        ) from None
    if not _is_file(name):
        manager = TaskManager()
        if name not in manager.task_index:
            near = sorted(known for known in manager.task_index if name.lower() in known.lower())[:5]
            hint = f"; near it: {', '.join(near)}" if near else "; `lm-eval ls tasks` lists what it knows"
            raise TaskError(f"{PREFIX}{name}: lm-eval knows no such task{hint}")
        return manager, name
    from lm_eval.tasks._yaml_loader import load_yaml

    path = Path(name)
    try:
        task = str(load_yaml(path, resolve_func=False)["task"])
    except FileNotFoundError:
        raise TaskError(f"{PREFIX}{name}: no such file") from None
    except Exception as error:  # a YAML library's own classes
        raise TaskError(f"{PREFIX}{name}: is not a task of lm-eval ({first_line(error)})") from None
    return TaskManager(include_path=str(path.parent), include_defaults=False), task
