"""Lists tasks (`harness tasks`) and checks questions (`harness data check`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from evals import templates
from evals.graders.base import Response
from evals.graders.registry import grader_of
from evals.task import JUDGED, Question, Task
from evals.tasks import data, registry
from evals.tasks.registry import TASKS, Tasks
from harness import config
from harness.train.overlap import Named, Texts, overlaps, repetitions
from harness.train.questions import QuestionSets

SHOWN = 3
"""Number of questions that are printed."""
LOOKED_AT = 2000
"""Number of questions whose tokens are counted and whose gold answers are graded."""


@dataclass(frozen=True)
class QuestionCheck:
    """The result. ``tokens``: shortest, mean and longest prompt; None without a model."""

    name: str
    source: str
    grader: str
    questions: int
    columns: dict[str, str]
    shown: list[dict[str, str]]
    duplicates: int
    overlaps: list[str]
    tokens: tuple[int, float, int] | None
    unreadable: list[str]
    looked_at: int


def check_questions(
    spec: str,
    tasks: Tasks,
    model: str | None = None,
    template: str = templates.AUTO,
    against: Sequence[str] = (),
) -> QuestionCheck:
    """Reads the questions of ``spec`` as training would, and checks them.

    ``against``: questions that must not overlap with them, besides the installed built-in benchmarks.

    Raises:
        TaskError, UsageError: a row is not a question, or there is no such model or task.
    """
    sets = QuestionSets(tasks)
    asked = sets.of([spec])
    task, questions = asked.sets[0]
    some = list(islice(questions, LOOKED_AT))
    tokenizer = None if model is None else _tokenizer(model)
    prompts = [each.text for each in some]
    if tokenizer is not None:
        prompts = [templates.render(each, task, template, tokenizer) for each in some]
    lengths = [] if tokenizer is None else templates.token_counts(prompts, tokenizer)
    texts = Texts(asked)
    mine = Named("training", spec, texts)
    others = [Named("benchmark", other, Texts(sets.of([other]))) for other in (*against, *_here(task))]
    return QuestionCheck(
        name=task.name,
        source=task.source,
        grader=task.graded_by,
        questions=len(questions),
        columns=dict(getattr(getattr(questions, "reading", None), "columns", {})),
        shown=[
            {"id": each.id, "prompt": prompt, "gold": each.gold}
            for each, prompt in list(zip(some, prompts, strict=True))[:SHOWN]
        ],
        duplicates=repetitions(texts),
        overlaps=list(overlaps([mine, *others])),
        tokens=(min(lengths), sum(lengths) / len(lengths), max(lengths)) if lengths else None,
        unreadable=list(_unreadable(task, some)),
        looked_at=len(some),
    )


def _tokenizer(model: str) -> Any:
    from harness.models.policy import load_tokenizer
    from harness.models.sources import config_folder

    return load_tokenizer(config_folder(config.Policy(model=model)))


def _here(task: Task) -> Iterator[str]:
    """The built-in benchmarks whose data is on this machine, except the task itself."""
    for name in TASKS.built_in:
        files = registry.files(name)
        paths = [data.local_path(file) for file in files]
        if name != task.name and files and all(path is not None and path.exists() for path in paths):
            yield name


def _unreadable(task: Task, questions: Sequence[Question]) -> Iterator[str]:
    """The questions whose gold answer, given as a response, is not graded as correct."""
    if task.grader in ("code", *JUDGED) or ":" in task.grader:
        return
    with grader_of(task) as grader:
        items = [(each, Response(f"<answer>{each.gold}</answer>")) for each in questions]
        for each, verdict in zip(questions, grader.grade(items), strict=True):
            if not verdict.correct:
                yield f"{each.id}: {each.gold!r} ({verdict.detail or verdict.status})"


def lines(found: QuestionCheck) -> Iterator[str]:
    """The result as lines of text."""
    told = ", ".join(f"{thing} from {column!r}" for thing, column in found.columns.items())
    yield f"{found.name}: {found.questions:,} questions from {found.source}, graded by {found.grader}"
    if told:
        yield f"Columns: {told}"
    for each in found.shown:
        yield f"--- {each['id']}: the gold answer is {each['gold']!r}"
        yield each["prompt"]
    yield "---"
    yield f"Duplicates (same text): {found.duplicates:,}"
    yield from found.overlaps or ["Overlap with other questions on this machine: none"]
    if found.tokens:
        least, mean, most = found.tokens
        yield f"Tokens per prompt: {least:,} to {most:,}, {mean:,.0f} on average"
    bad = found.unreadable
    yield f"Gold answers that the grader cannot read: {len(bad):,} of the first {found.looked_at:,}" + (
        f", such as {'; '.join(bad[:3])}" if bad else ""
    )


@dataclass(frozen=True)
class TaskRow:
    """One task of `harness tasks`."""

    name: str
    title: str
    grader: str
    splits: dict[str, int | None]
    """Number of questions per split, as published; None if only the data can tell."""
    source: str
    checked: str


def listed() -> list[TaskRow]:
    """Every built-in task. No data is loaded."""
    return [_row(name) for name in registry.names()]


def _row(name: str) -> TaskRow:
    task, files = registry.get(name), registry.files(name)
    by_split = dict.fromkeys(task.splits)
    counts: dict[str, int | None] = by_split | (
        {split: file.count for split, file in zip(task.splits, files, strict=True)}
        if len(files) == len(task.splits)
        else {}
    )
    checked = "generated" if task.source == "generated" else "checked"
    if files and not all(file.checked for file in files):
        checked = "not checked"
    return TaskRow(name, task.title, task.grader, counts, task.source, checked)
