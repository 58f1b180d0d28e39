"""Tasks of reasoning-gym (Stojanovski et al., 2025): made up by rules, graded by their own scorers.

``reasoning_gym:chain_sum?min_terms=2&seed=1``: what follows the "?" are the generator's own settings, of
which ``seed`` (0 where it is not given) and ``size`` (500) are every generator's. A question's id is its
number.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import fields
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl

from evals.base.errors import first_line
from evals.base.registry import accepted
from evals.graders.gym import INSTALL
from evals.task import Question, Task, TaskError

GRADER = "reasoning_gym"


def task(source: str) -> Task:
    """The task that "reasoning_gym:NAME?key=value" names.

    Raises:
        TaskError: reasoning-gym is not installed, has no such generator, or it takes no such setting.
    """
    name, _, query = source.partition(":")[2].partition("?")
    _check(name, source)
    return Task(
        name=source,
        title=f"reasoning-gym: {name}",
        grader=GRADER,
        splits=("all",),
        benchmark="all",
        load=lambda _split: _questions(name, query, source),
        source=source,
    )


@lru_cache(maxsize=8)
def _questions(name: str, query: str, source: str) -> Sequence[Question]:
    import reasoning_gym

    settings = {"seed": 0, **{key: _value(text) for key, text in parse_qsl(query, keep_blank_values=True)}}
    known = [field.name for field in fields(reasoning_gym.factory.DATASETS[name][1])]
    for key in settings:
        if key not in known:
            raise TaskError(f"{source}: {name} has no setting {key!r}; {accepted(key, known)}")
    try:
        entries: list[dict[str, Any]] = list(reasoning_gym.create_dataset(name, **settings))
    except Exception as error:  # generators check their settings by assertions, and by what goes wrong
        raise TaskError(f"{source}: {name} does not take these settings: {first_line(error)}") from None
    return [_question(name, number, entry) for number, entry in enumerate(entries)]


def _question(name: str, number: int, entry: dict[str, Any]) -> Question:
    info = {"generator": name, "entry": entry}
    return Question(str(number), str(entry["question"]), str(entry["answer"]), info)


def _check(name: str, source: str) -> None:
    try:
        from reasoning_gym.factory import DATASETS
    except ImportError:
        raise TaskError(f"{source}: {INSTALL}") from None
    if name not in DATASETS:
        raise TaskError(f"{source}: reasoning-gym has no {name!r}; {accepted(name, sorted(DATASETS))}")


def _value(text: str) -> Any:
    """A setting as JSON has it (2, 0.5, true, [1, 2]), else as text."""
    try:
        return json.loads(text)
    except ValueError:
        return text
