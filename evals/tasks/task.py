"""A task: one data set that serves training prompts and benchmarks alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

GraderKind = Literal["math", "integer", "code", "choice", "judge", "alpaca_eval", "arena_hard"]
JUDGED: tuple[GraderKind, ...] = ("judge", "alpaca_eval", "arena_hard")
"""Graders that ask a language model."""
DUELS: tuple[GraderKind, ...] = ("alpaca_eval", "arena_hard")
"""Those of them that compare a response with a baseline's answer, which is the question's gold."""


class TaskError(Exception):
    """A task, split or data file that is not there or not readable: one sentence for the user."""


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


@dataclass(frozen=True)
class Task:
    """A named data set: which grader decides, which splits it has, and how to load one.

    ``load(split)`` returns the questions of a split in a fixed order; it raises ``TaskError`` where the
    data are not there. ``benchmark`` is the split that an evaluation uses. ``samples`` is the usual
    number of samples a question in an evaluation. Where samples are not all asked the same,
    ``variant(question, i)`` is what sample i is asked; sample 0 is asked the question itself.
    """

    name: str
    title: str
    grader: GraderKind
    splits: tuple[str, ...]
    benchmark: str
    load: Callable[[str], list[Question]]
    source: str
    samples: int = 1
    variant: Callable[[Question, int], Question] | None = None
