"""The questions that an experiment names, each specification read once a run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import overload

from evals.task import Question, Task
from evals.tasks.registry import EVERYONE, Tasks


@dataclass(frozen=True)
class Asked(Sequence[tuple[Task, Question]]):
    """Questions, each with its task, one set after another; a file's are read when they are asked for."""

    sets: Sequence[tuple[Task, Sequence[Question]]]

    def __len__(self) -> int:
        return sum(len(questions) for _, questions in self.sets)

    @overload
    def __getitem__(self, index: int) -> tuple[Task, Question]: ...
    @overload
    def __getitem__(self, index: slice) -> list[tuple[Task, Question]]: ...
    def __getitem__(self, index: int | slice) -> tuple[Task, Question] | list[tuple[Task, Question]]:
        if isinstance(index, slice):
            return [self[place] for place in range(len(self))[index]]
        place = range(len(self))[index]
        for task, questions in self.sets:
            if place < len(questions):
                return task, questions[place]
            place -= len(questions)
        raise IndexError(index)

    def __iter__(self) -> Iterator[tuple[Task, Question]]:
        return ((task, question) for task, questions in self.sets for question in questions)


class QuestionSets:
    """``task:split[a:b]`` specifications and what they select, kept for whoever asks next."""

    def __init__(self, tasks: Tasks = EVERYONE) -> None:
        self.tasks = tasks
        self._read: dict[str, tuple[Task, Sequence[Question]]] = {}

    def of(self, specs: Sequence[str]) -> Asked:
        """The questions of ``specs``, each with its task.

        Raises:
            TaskError: a specification is malformed or selects nothing, or its data are not there.
        """
        for spec in specs:
            if spec not in self._read:
                self._read[spec] = self.tasks.load_spec(spec)
        return Asked([self._read[spec] for spec in specs])

    def benchmark(self, task: Task) -> Sequence[Question]:
        """The questions of a task's benchmark split.

        Raises:
            TaskError: its data are not there.
        """
        if task.name not in self._read:
            self._read[task.name] = task, task.questions(task.benchmark)
        return self._read[task.name][1]

    def golds(self, benchmark: str) -> dict[str, str]:
        """Right answers by question id of a benchmark that was read here; none where it was not."""
        _, questions = self._read.get(benchmark, (None, ()))
        return {question.id: question.gold for question in questions}
