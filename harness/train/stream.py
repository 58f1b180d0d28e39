"""Training questions as prompts, and the order in which they are drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from evals import templates
from evals.task import Question, Task
from evals.templates import Template
from harness.models.policy import Policy

T = TypeVar("T")


@dataclass(frozen=True)
class Prompt:
    """A question of a task, and the text that the policy continues."""

    task: Task
    question: Question
    text: str


def render_all(
    questions: Sequence[tuple[Task, Question]], template: str | Template, policy: Policy
) -> list[Prompt]:
    """Every question under the policy's template.

    Raises:
        TaskError: the template does not exist, or does not fit the tokenizer.
    """
    return [
        Prompt(task, question, templates.render(question, task, template, policy.tokenizer))
        for task, question in questions
    ]


class Stream(Generic[T]):
    """Prompts or examples without end: an epoch is a permutation by the seed and the epoch's number alone.

    ``position`` counts the items drawn so far and is the whole state.
    """

    def __init__(self, items: Sequence[T], seed: int) -> None:
        self.position = 0
        self._items = items
        self._seed = seed
        self._epoch = -1
        self._order: list[int] = []

    def take(self, count: int) -> list[T]:
        """The next ``count`` items."""
        return [self._next() for _ in range(count)]

    def _next(self) -> T:
        epoch, place = divmod(self.position, len(self._items))
        if epoch != self._epoch:
            self._epoch = epoch
            self._order = np.random.default_rng([self._seed, epoch]).permutation(len(self._items)).tolist()
        self.position += 1
        return self._items[self._order[place]]
