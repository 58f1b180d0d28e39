"""What tasks there are, and what ``task:split[a:b]`` names of their questions.

A task is one of these, looked up in this order: an experiment's own (its table ``[tasks]``), a built-in one
or one that an installed package offers (entry points of the group "harness.tasks"), a file of questions, a
data set of the hub ("hf:OWNER/NAME@REVISION"), a task of reasoning-gym ("reasoning_gym:NAME?key=value"), or
Python: "file.py:name" and "module:name", where ``name`` is a ``Task``, or a function that makes one, with
settings of its own as "?key=value&key=value".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import import_module
from importlib.util import find_spec
from urllib.parse import parse_qsl

from evals.base.errors import UsageError
from evals.base.registry import Registry, accepted, settings_of
from evals.task import Question, Task, TaskError
from evals.tasks import catalog, data, gym, own, specs
from evals.tasks.data import DataFile
from evals.tasks.specs import Spec

MODULES = {
    "gpqa_diamond": "evals.tasks.gpqa",
    "humaneval": "evals.tasks.humaneval",
    "mbpp": "evals.tasks.mbpp",
    "humaneval-plus": "evals.tasks.humaneval_plus",
    "mbpp-plus": "evals.tasks.mbpp_plus",
    "livecodebench": "evals.tasks.livecodebench",
    "codeforces": "evals.tasks.codeforces",
    "alpaca_eval": "evals.tasks.alpaca_eval",
    "arena_hard": "evals.tasks.arena_hard",
    "tiny-aime": "evals.tasks.arithmetic",
    "tiny-math": "evals.tasks.tiny_math",
    "small-sums": "evals.tasks.small_sums",
    "tiny-code": "evals.tasks.tiny_code",
}
"""Built-in tasks that are no row of the catalog."""
TASKS = Registry(
    "task",
    "harness.tasks",
    {entry.name: f"{catalog.__name__}:{entry.name}" for entry in catalog.ENTRIES}
    | {name: f"{module}:TASK" for name, module in MODULES.items()},
)
ALSO = {"amc23": "amc", "livecodebench-v6": "livecodebench"}
"""Other names of built-in tasks: release v6 of LiveCodeBench is all of its 1,055 problems."""
OTHER_SOURCES = (specs.HUB, specs.GYM)
OTHERWISE = (
    'a file of questions (.jsonl, .csv, .parquet), "hf:OWNER/NAME@REVISION", "reasoning_gym:NAME", or one of '
    'your own as "file.py:name" or "module:name"'
)


@dataclass(frozen=True)
class Tasks:
    """The tasks that can be named: ``own`` ones, of an experiment's table ``[tasks]``, before all others."""

    own: Mapping[str, Task] = field(default_factory=dict)

    def get(self, spec: str, limit: int | None = None) -> Task:
        """The task that ``spec`` names; a split or a part of one is a task with a name of its own.

        ``livecodebench@FIRST..LAST`` is the part between two dates, of a task that has dates. ``limit``: the
        first so many questions at most.

        Raises:
            TaskError: nothing has that name; the message has the nearest ones. Or ``spec`` is malformed.
        """
        asked = self._parse(spec)
        task = self._whole(asked.source)
        split = _split(task, asked, spec)
        part = asked.part
        if limit is not None:
            chosen = range(len(task.questions(split)))[part or slice(None)]
            part = part if len(chosen) <= limit else _ends(chosen[:limit])
        if part is None or part in (slice(None), slice(0, None), slice(None, None, 1)):
            return task if split == task.benchmark else _renamed(task, f"{task.name}:{split}", split)
        other = "" if split == task.benchmark else f":{split}"
        name = f"{task.name}{other}{specs.written(part)}"
        return _renamed(task, name, split, part)

    def load_spec(self, spec: str) -> tuple[Task, Sequence[Question]]:
        """The task and the questions that ``task[:split][slice]`` names, e.g. ``gsm8k:train[-200:]``.

        Without a split it is the task's benchmark split; the slice has Python's meaning.

        Raises:
            TaskError: the specification is malformed or selects nothing, the task or split is unknown, or its
                data are not there.
        """
        asked = self._parse(spec)
        task = self._whole(asked.source)
        questions = task.questions(_split(task, asked, spec))[asked.part or slice(None)]
        if not questions:
            raise TaskError(f"{spec!r} selects no questions")
        return task, questions

    def registered(self, spec: str) -> str | None:
        """The name in ``TASKS`` of what ``spec`` names; None for questions that a file, the hub, another
        library or the experiment's own table holds.

        Raises:
            TaskError: ``spec`` is malformed.
        """
        source = self._parse(spec).source
        base = source.partition("?")[0]
        base = ALSO.get(base, base.partition("@")[0])
        data = source in self.own or specs.FILE.fullmatch(source) or base.partition(":")[0] in OTHER_SOURCES
        return base if not data and TASKS.knows(base) else None

    def _parse(self, spec: str) -> Spec:
        """``spec`` taken apart; "module:name" is not "task:split" where there is such a module."""
        asked = specs.parse(spec)
        source = asked.source
        if not asked.split or not source.isidentifier() or source in self.own or TASKS.knows(source):
            return asked
        there = find_spec(source) is not None
        return Spec(f"{source}:{asked.split}", "", asked.part) if there else asked

    def _whole(self, source: str) -> Task:
        """The task that ``source`` names."""
        if source in self.own:
            return self.own[source]
        base, at, window = source.partition("@")
        base = ALSO.get(base, base)
        if ":" not in base and TASKS.knows(base):
            return _windowed(base, window) if at else _made(base)
        return self._elsewhere(source)

    def _elsewhere(self, source: str) -> Task:
        """The task that a file, the hub, another library or Python code holds."""
        head, _, name = source.partition(":")
        if specs.FILE.fullmatch(source):
            return own.file_task(source)
        if head == specs.HUB:
            return own.hub_task(source)
        if head == specs.GYM:
            return gym.task(source)
        if name:
            return _made(source)
        known = [*self.own, *TASKS.names()]
        raise TaskError(f"unknown task {source!r}; {accepted(source, known)}, {OTHERWISE}")


EVERYONE = Tasks()
"""The tasks that need no experiment."""


def names() -> list[str]:
    """The names of all tasks that are built in, or that installed packages offer."""
    return TASKS.names()


def get(spec: str) -> Task:
    """``Tasks.get`` where no experiment has tasks of its own."""
    return EVERYONE.get(spec)


def load_spec(spec: str) -> tuple[Task, Sequence[Question]]:
    """``Tasks.load_spec`` where no experiment has tasks of its own."""
    return EVERYONE.load_spec(spec)


def files(name: str) -> tuple[DataFile, ...]:
    """The data files of a task; none where its questions are made up on the spot, or are the user's own."""
    base = name.partition("[")[0].partition(":")[0].partition("@")[0]
    if base in catalog.BY_NAME:
        return catalog.files(base)
    if base not in MODULES:
        return ()
    found: tuple[DataFile, ...] = getattr(import_module(MODULES[base]), "FILES", ())
    return found


def built_in(task: Task) -> bool:
    """Whether the questions can be had by the task's name alone, whatever else is on a machine."""
    return task.name in TASKS.built_in or task.name.partition("@")[0] in TASKS.built_in


def origin(task: Task) -> str:
    """Where the task's questions are from: ``task.source``, unless they lie here in a form not known."""
    known = (file for file in files(task.name) if file.source == task.source)
    return next((data.origin(file) for file in known), task.source)


def _made(name: str) -> Task:
    """The task that Python code or a package calls ``name``, with the settings that follow a "?"."""
    target, _, query = name.partition("?")
    try:
        found = TASKS.get(target)
        task = found if isinstance(found, Task) else _from_factory(found, name, query)
    except UsageError as error:
        raise TaskError(str(error)) from None
    if not isinstance(task, Task):
        raise TaskError(
            f"task {target!r}: must be a Task or a function that returns one, got {type(task).__name__}"
        )
    return replace(task, name=name) if ":" in name else task


def _from_factory(found: object, name: str, query: str) -> object:
    if not callable(found):
        return found
    settings = settings_of(found, dict(parse_qsl(query, keep_blank_values=True)), f"task {name!r}")
    make: Callable[..., object] = found
    return make() if settings is None else make(settings)


def _windowed(base: str, window: str) -> Task:
    from evals.tasks import livecodebench

    if base != livecodebench.TASK.name:
        raise TaskError(
            f"{f'{base}@{window}'!r}: the questions of {base} have no dates, so it takes no window"
        )
    return livecodebench.windowed(window)


def _split(task: Task, asked: Spec, spec: str) -> str:
    split = asked.split or task.benchmark
    if task.splits and split not in task.splits:  # which ones the hub has is known when one is loaded
        raise TaskError(f"{spec!r}: {task.name} has no split {split!r}; it has {', '.join(task.splits)}")
    return split


def _ends(chosen: range) -> slice:
    """The slice of a split that has these places."""
    if chosen.step > 0:
        return slice(chosen.start, chosen.stop, chosen.step)
    return slice(chosen.start, chosen.stop if chosen.stop >= 0 else None, chosen.step)


def _renamed(task: Task, name: str, split: str, part: slice | None = None) -> Task:
    """The task of one split, or of a part of it."""

    def load(_split: str) -> Sequence[Question]:
        found = task.load(split)
        chosen = found if part is None else found[part]
        if not chosen:
            raise TaskError(f"{name!r} selects no questions")
        return chosen

    title = task.title if part is None else f"{task.title}, questions {specs.written(part)}"
    return replace(
        task, name=name, title=title, splits=(split,), benchmark=split, load=load, part=part is not None
    )
