"""Graders by name: the contract of the registry "harness.graders".

A grader of one's own is one of three:

- a function ``(response, gold, question)``, or with ``settings`` as a last argument: the response's whole
  text, ``question.gold``, and the ``Question``; it returns a bool, a number or a ``Verdict``, and what it
  raises is a verdict "grader_error";
- a class whose objects are a ``Grader`` (evals/graders/base.py), made without arguments or with its settings;
- a function without arguments, or with ``settings`` alone, that returns a ``Grader``.

Settings are a pydantic class (``evals.base.registry.takes``).
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from evals.base.registry import Registry, settings_of
from evals.graders.base import Grader
from evals.task import Task

GRADERS = Registry(
    "grader",
    "harness.graders",
    {
        "math": "evals.graders.math.grader:MathGrader",
        "integer": "evals.graders.integer:IntegerGrader",
        "choice": "evals.graders.choice:ChoiceGrader",
        "exact": "evals.graders.text:TextGrader",
        "continuation": "evals.graders.continuation:ContinuationGrader",
        "code": "evals.graders.code:CodeGrader",
        "reasoning_gym": "evals.graders.gym:GymGrader",
        "judge": "evals.graders.judge.named:reference",
        "alpaca_eval": "evals.graders.judge.named:alpaca_eval",
        "arena_hard": "evals.graders.judge.named:arena_hard",
    },
)
"""A grader's libraries are loaded when one is made."""


def make_grader(kind: str, settings: Mapping[str, Any] | None = None) -> Grader:
    """A grader of that kind; use it as a context manager, it may hold worker processes.

    Raises:
        UsageError: there is no such grader, it cannot be loaded, or its settings are not what it takes.
        TaskError: a judge is needed, and none is named.
    """
    thing = GRADERS.get(kind)
    made: Any = GRADERS.make(kind, settings or {}, f"grader {kind}")
    if isinstance(thing, type):
        grader: Grader = made
    elif _arguments(thing):
        from evals.graders.function import FunctionGrader

        grader = FunctionGrader(made)
    else:
        grader = made()
    return grader


def grader_of(task: Task) -> Grader:
    """The task's grader, with its settings; as ``make_grader``."""
    return make_grader(task.grader, task.grader_settings)


def check_grader(task: Task) -> None:
    """Refuses a task whose grader is not there, or does not take its settings; none is made.

    Raises:
        UsageError: names the grader, and what it accepts.
    """
    if task.grader not in GRADERS.built_in or task.grader_settings:
        settings_of(GRADERS.get(task.grader), task.grader_settings, f"grader {task.grader}")


def _arguments(function: Any) -> list[str]:
    """What a function must be given, besides its settings."""
    parameters = inspect.signature(function).parameters.values()
    required = [p.name for p in parameters if p.default is p.empty and p.kind is not p.VAR_KEYWORD]
    return [name for name in required if name != "settings"]
