"""The registry of tasks, and ``task:split[a:b]`` specifications of questions."""

from __future__ import annotations

import importlib
import re
from types import ModuleType

from evals.tasks.source import DataFile
from evals.tasks.task import Question, Task, TaskError

# Modules are imported when their task is asked for: a listing must not load every data library.
_MODULES = {
    "aime24": "evals.tasks.aime24",
    "aime25": "evals.tasks.aime25",
    "amc": "evals.tasks.amc",
    "math500": "evals.tasks.math500",
    "gsm8k": "evals.tasks.gsm8k",
    "gpqa_diamond": "evals.tasks.gpqa",
    "humaneval": "evals.tasks.humaneval",
    "mbpp": "evals.tasks.mbpp",
    "humaneval-plus": "evals.tasks.humaneval_plus",
    "mbpp-plus": "evals.tasks.mbpp_plus",
    "livecodebench": "evals.tasks.livecodebench",
    "codeforces": "evals.tasks.codeforces",
    "frames": "evals.tasks.frames",
    "alpaca_eval": "evals.tasks.alpaca_eval",
    "arena_hard": "evals.tasks.arena_hard",
    "tiny-aime": "evals.tasks.arithmetic",
    "tiny-math": "evals.tasks.tiny_math",
    "tiny-code": "evals.tasks.tiny_code",
}

_SPEC = re.compile(r"(?P<task>[^:\[\]]+)(?::(?P<split>[^:\[\]]+))?(?:\[(?P<slice>[^\[\]]*)\])?")


def names() -> list[str]:
    """The names of all tasks."""
    return list(_MODULES)


def get(name: str) -> Task:
    """The task called ``name``; ``NAME@FIRST..LAST`` is its part between two dates, where it has dates.

    Raises:
        TaskError: there is none of that name; the message lists the names there are.
    """
    module = _module(name)
    base, at, window = name.partition("@")
    if not at:
        task: Task = module.TASK
        return task
    if not hasattr(module, "windowed"):
        raise TaskError(f"{name!r}: the questions of {base} have no dates, so it takes no window")
    part: Task = module.windowed(window)
    return part


def _module(name: str) -> ModuleType:
    base = name.partition("@")[0]
    if base not in _MODULES:
        raise TaskError(f"unknown task {name!r}; known: {', '.join(names())}")
    return importlib.import_module(_MODULES[base])


def files(name: str) -> tuple[DataFile, ...]:
    """The data files of a task; none where its questions are made up on the spot or given.

    Raises:
        TaskError: there is no task of that name.
    """
    found: tuple[DataFile, ...] = getattr(_module(name), "FILES", ())
    return found


def load_spec(spec: str) -> tuple[Task, list[Question]]:
    """The task and the questions that ``task[:split][slice]`` names, e.g. ``gsm8k:train[-200:]``.

    Without a split it is the task's benchmark split; the slice has Python's meaning.

    Raises:
        TaskError: the specification is malformed or selects nothing, the task or split is unknown, or its
            data are not there.
    """
    match = _SPEC.fullmatch(spec.strip())
    if match is None:
        raise TaskError(f"{spec!r} is no task specification: it must be task, task:split or task:split[a:b]")
    task = get(match["task"].strip())
    split = (match["split"] or task.benchmark).strip()
    if split not in task.splits:
        raise TaskError(f"{spec!r}: {task.name} has no split {split!r}; it has {', '.join(task.splits)}")
    chosen = slice(None) if match["slice"] is None else _slice(match["slice"], spec)
    questions = task.load(split)[chosen]
    if not questions:
        raise TaskError(f"{spec!r} selects no questions")
    return task, questions


def _slice(text: str, spec: str) -> slice:
    parts = [part.strip() for part in text.split(":")]
    numbers = [part for part in parts if part]
    if not 2 <= len(parts) <= 3 or not all(re.fullmatch(r"[+-]?\d{1,18}", number) for number in numbers):
        raise TaskError(f"{spec!r}: [{text}] is no slice; it must be [start:stop], for example [-200:]")
    bounds = [int(part) if part else None for part in parts]
    if len(bounds) == 3 and bounds[2] == 0:
        raise TaskError(f"{spec!r}: a slice's step must not be 0")
    return slice(*bounds)
