"""What questions there are, and what is wrong with them: `harness tasks`, `harness data check`."""

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
"""Questions that are printed."""
LOOKED_AT = 2000
"""Questions whose tokens are counted and whose answers are given to the grader."""


@dataclass(frozen=True)
class QuestionCheck:
    """What was found. ``tokens`` are the shortest, mean and longest prompt, None without a model."""

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
    """Reads the questions of ``spec`` as training would, and looks at them.

    ``against``: other questions that it must not share, besides the built-in benchmarks that are here.

    Raises:
        TaskError, UsageError: a row that is not a question, or a model or task that is not there.
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
    """The built-in benchmarks whose data are on this machine, but for the task itself."""
    for name in TASKS.built_in:
        files = registry.files(name)
        paths = [data.local_path(file) for file in files]
        if name != task.name and files and all(path is not None and path.exists() for path in paths):
            yield name


def _unreadable(task: Task, questions: Sequence[Question]) -> Iterator[str]:
    """The questions whose right answer, given as a response, the grader does not take for right."""
    if task.grader in ("code", *JUDGED) or ":" in task.grader:
        return
    with grader_of(task) as grader:
        items = [(each, Response(f"<answer>{each.gold}</answer>")) for each in questions]
        for each, verdict in zip(questions, grader.grade(items), strict=True):
            if not verdict.correct:
                yield f"{each.id}: {each.gold!r} ({verdict.detail or verdict.status})"


def lines(found: QuestionCheck) -> Iterator[str]:
    """The check in words."""
    told = ", ".join(f"{thing} from {column!r}" for thing, column in found.columns.items())
    yield f"{found.name}: {found.questions:,} questions of {found.source}, graded by {found.grader}"
    if told:
        yield f"Read: {told}"
    for each in found.shown:
        yield f"--- {each['id']}: the right answer is {each['gold']!r}"
        yield each["prompt"]
    yield "---"
    yield f"Duplicates, by their text: {found.duplicates:,}"
    yield from found.overlaps or ["In common with other questions that are here: none"]
    if found.tokens:
        least, mean, most = found.tokens
        yield f"Tokens a prompt: {least:,} to {most:,}, {mean:,.0f} on average"
    bad = found.unreadable
    yield f"Answers that the grader cannot read: {len(bad):,} of the first {found.looked_at:,}" + (
        f", such as {'; '.join(bad[:3])}" if bad else ""
    )


@dataclass(frozen=True)
class TaskRow:
    """One task of `harness tasks`."""

    name: str
    title: str
    grader: str
    splits: dict[str, int | None]
    """Questions by split, as published; None where only the data say."""
    source: str
    checked: str


def listed() -> list[TaskRow]:
    """Every task that can be named without a file; nothing is loaded of their data."""
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
