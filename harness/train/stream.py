"""Training questions as prompts, and the order in which they are drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar, overload

import numpy as np
import numpy.typing as npt

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
    place: int = 0
    """Its number among the questions that are drawn from."""


@dataclass(frozen=True)
class Prompts(Sequence[Prompt]):
    """Questions under a template, each rendered when it is drawn: of a million none is kept.

    Indexing raises ``TaskError`` where the template does not exist, or does not fit the tokenizer.
    """

    questions: Sequence[tuple[Task, Question]]
    template: str | Template
    policy: Policy

    def __len__(self) -> int:
        return len(self.questions)

    @overload
    def __getitem__(self, index: int) -> Prompt: ...
    @overload
    def __getitem__(self, index: slice) -> list[Prompt]: ...
    def __getitem__(self, index: int | slice) -> Prompt | list[Prompt]:
        if isinstance(index, slice):
            return [self[place] for place in range(len(self))[index]]
        place = range(len(self))[index]
        task, question = self.questions[place]
        text = templates.render(question, task, self.template, self.policy.tokenizer)
        return Prompt(task, question, text, place)


class Stream(Generic[T]):
    """Prompts or examples without end: an epoch is a permutation by the seed and the epoch's number alone.

    ``position`` counts the items drawn so far and is the whole state.
    """

    def __init__(self, items: Sequence[T], seed: int) -> None:
        self.position = 0
        self._items = items
        self._seed = seed
        self._epoch = -1
        self._order: npt.NDArray[np.int64] = np.zeros(0, dtype=np.int64)

    def take(self, count: int) -> list[T]:
        """The next ``count`` items."""
        return [self._next() for _ in range(count)]

    def _next(self) -> T:
        epoch, place = divmod(self.position, len(self._items))
        if epoch != self._epoch:
            self._epoch = epoch
            self._order = np.random.default_rng([self._seed, epoch]).permutation(len(self._items))
        self.position += 1
        return self._items[int(self._order[place])]
