"""questions.jsonl of an evaluation: what the user's own questions were, for reports that have no task to ask.

A built-in task's questions are found by its name; a file of questions may be gone, or be another, by the time
that somebody reads what a model made of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from evals.base.io import read_lines, write_lines
from evals.task import Question, Task, TaskError
from evals.tasks import data, registry

NAME = "questions.jsonl"


def write_asked(folder: Path, task: Task, questions: Sequence[Question]) -> None:
    """Writes id, text and right answer of every question into ``folder``, unless the task is built in."""
    if not registry.built_in(task):
        rows = ({"id": each.id, "text": each.text, "gold": each.gold} for each in questions)
        write_lines(folder / NAME, rows)


def read_asked(folder: Path) -> dict[str, Question]:
    """The questions by id; {} where none were written."""
    path = folder / NAME
    if not path.is_file():
        return {}
    return {
        str(row["id"]): Question(str(row["id"]), str(row.get("text", "")), str(row.get("gold", "")))
        for row in read_lines(path)
        if "id" in row
    }


def known_questions(benchmark: str) -> dict[str, Question]:
    """A built-in benchmark's questions by id where they are at hand without a network; else {}."""
    try:
        task = registry.get(benchmark)
        if not registry.built_in(task) or any(
            (path := data.local_path(file)) is None or not path.exists() for file in registry.files(benchmark)
        ):
            return {}
        return {question.id: question for question in task.questions(task.benchmark)}
    except TaskError:
        return {}
