"""A task: one data set that serves training prompts and benchmarks alike."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from evals.base import errors

TaskError = errors.TaskError
JUDGED: tuple[str, ...] = ("judge", "alpaca_eval", "arena_hard")
"""Graders that ask a language model."""
DUELS: tuple[str, ...] = ("alpaca_eval", "arena_hard")
"""Those of them that compare a response with a baseline's answer, which is the question's gold."""


NO_GOLD: Mapping[str, tuple[str, ...]] = {
    "math": ("", "nan", "None"),
    "integer": ("", "nan", "None"),
    "choice": ("", "nan", "None"),
    "judge": ("", "nan"),
}
"""What a missing gold looks like as text, by grader; other graders need none."""


@dataclass(frozen=True)
class Question:
    """One problem. ``text`` is what the model is asked, before any prompt template.

    ``gold`` is the reference answer as the data set states it ("" where tests decide). ``info`` carries
    what the grader needs beyond it (tests, entry point) and what a report may show (level, subject).
    """

    id: str
    text: str
    gold: str = ""
    info: Mapping[str, Any] = field(default_factory=dict)

    @property
    def tests(self) -> str:
        """A digest of the tests that decide a program's verdict; "" where the gold alone decides.

        ``info["tests_digest"]`` is it where tests are not read before a response is graded.
        """
        if "style" not in self.info:
            return ""
        known = self.info.get("tests_digest")
        if known is not None:
            return str(known)
        told = json.dumps(dict(self.info), sort_keys=True, default=str)
        return hashlib.blake2b(told.encode(), digest_size=16).hexdigest()


@dataclass(frozen=True)
class Task:
    """A named data set: which grader decides, which splits it has, and how to load one.

    ``load(split)`` returns the questions of a split in a fixed order; it raises ``TaskError`` where the
    data are not there. ``benchmark`` is the split that an evaluation uses. ``samples`` is the usual
    number of samples a question in an evaluation. Where samples are not all asked the same,
    ``variant(question, i)`` is what sample i is asked; sample 0 is asked the question itself. ``part``: only
    some of a split's questions, under a name that says so. ``grader_settings`` are what the grader takes.
    """

    name: str
    title: str
    grader: str
    splits: tuple[str, ...]
    benchmark: str
    load: Callable[[str], Sequence[Question]]
    source: str
    samples: int = 1
    variant: Callable[[Question, int], Question] | None = None
    part: bool = False
    grader_settings: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @property
    def graded_by(self) -> str:
        """The grader with its settings: tasks with the same are graded alike."""
        if not self.grader_settings:
            return self.grader
        return f"{self.grader} {json.dumps(dict(self.grader_settings), sort_keys=True, default=str)}"

    def questions(self, split: str) -> Sequence[Question]:
        """``load(split)``, with ids that are all different.

        Raises:
            TaskError: the data are not there, two questions have the same id, or one has no gold.
        """
        found = self.load(split)
        if getattr(found, "checked", False):  # row by row, when they were read
            return found
        check_ids(f"{self.name}:{split}", found)
        check_golds(f"{self.name}:{split}", self.grader, found)
        return found


def folder_of(name: str) -> str:
    """The name of the folder for what a task's name is: its own where a folder may have it.

    A part's name ("gsm8k[:8]") and a file's get a readable one, and a digest that tells them apart.
    """
    if re.fullmatch(r"\w[\w.=+@-]{0,120}", name):
        return name
    digest = hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=4).hexdigest()
    return f"{re.sub(r'[^A-Za-z0-9.=+@-]+', '_', name).strip('._')[:60]}-{digest}"


def plain(value: object) -> str:
    """An id or gold of a data file as text; a table may have stored whole numbers as floats (204.0)."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()


def check_golds(where: str, grader: str, questions: Sequence[Question]) -> None:
    """Raises ``TaskError`` where a gold is missing: a table's empty cell is read as null or NaN."""
    empty = NO_GOLD.get(grader)
    for number, question in enumerate(questions, start=1):
        if empty is not None and question.gold.strip() in empty:
            raise TaskError(
                f"{where}: question {number} (id {question.id!r}) has no right answer: {question.gold!r}"
            )


def check_ids(where: str, questions: Sequence[Question]) -> None:
    """Raises ``TaskError`` where two questions have the same id: everything would be counted by it twice."""
    seen: dict[str, int] = {}
    for number, question in enumerate(questions, start=1):
        if question.id in seen:
            raise TaskError(
                f"{where}: questions {seen[question.id]} and {number} have the same id {question.id!r}; "
                "every question needs an id of its own"
            )
        seen[question.id] = number


def part_note(task: Task) -> tuple[str, ...]:
    """What a reader has to know of a part; nothing of a whole."""
    return part_of(task.name) if task.part else ()


def part_of(name: str) -> tuple[str]:
    """What a reader has to know of the part ``name``."""
    return (f"{name} is a part of a benchmark, and never compared with the whole of it",)
