"""Scores responses that any system recorded: a JSONL file, streamed, in any order.

A row: ``{"id", "response"}`` and optionally ``"sample"`` (a number from 0, default 0), ``"finish_reason"``
("stop" or "length", default "stop"), ``"tokens"``, ``"model"`` (rows of several models give one result
each), and for the benchmarks "math" and "choice" ``"gold"``, the answer inline, and ``"question"``; for
"choice" also ``"choices"``, the texts of the options in the order of their letters, at most ten. Files of
other programs are read as they are (evals/formats).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import cached_property, partial
from pathlib import Path
from typing import Any, cast

from evals import formats
from evals.base.text_files import is_text
from evals.book import Book, Recorded
from evals.engine import Completion, FinishReason, Usage
from evals.formats.shape import Format, Shape
from evals.graders import registry
from evals.graders.base import Grader
from evals.records import FINISH_REASONS, given, numbered_lines, parse_line, whole
from evals.rollout import Rollout
from evals.scores import Scores
from evals.task import Question, Task, TaskError, plain
from evals.tasks.registry import EVERYONE, Tasks

INLINE: dict[str, str] = {"math": "math", "choice": "choice"}
"""Benchmarks whose questions come with the rows, and their graders."""
MOST_OPTIONS = 10

Progress = Callable[[int, int], None]
Named = Iterator[tuple[str, Callable[[], Mapping[str, Any]]]]
"""Rows, each with the words for where it stands, and read when asked for."""


def score_file(
    path: Path,
    benchmark: str,
    out: Path | None = None,
    grader: Grader | None = None,
    progress: Progress | None = None,
    unclosed_answers: bool = True,
    tasks: Tasks = EVERYONE,
) -> list[Scores]:
    """Grades the rows of ``path`` as answers to ``benchmark``, one ``Scores`` per model in the file.

    ``benchmark`` is a task (``aime24``, ``gsm8k:test[:100]``) or one of ``INLINE``. With ``out``,
    samples.jsonl and scores.json are written to ``out/BENCHMARK`` (``out/MODEL/BENCHMARK`` where rows name
    models, each model to a folder of its own) once every row is graded. ``progress(done, total)`` counts
    bytes of the file. ``unclosed_answers``: as in ``Protocol``. ``tasks``: those that can be named.

    Raises:
        TaskError: an unknown benchmark or missing data; no rows; or a row (named by its line) that is no
            JSON, lacks a key, names an unknown id or repeats an (id, sample).
    """
    source = source_of(path, benchmark, tasks)
    with ExitStack() as stack:
        grader = grader or stack.enter_context(registry.grader_of(source.task))
        book = Book(source.task.name, source.task, grader, out, stack)
        for _ in book.fill(_rows(path, source, progress), unclosed_answers):
            pass
        if not book.models:
            raise TaskError(f"{path}: contains no rows")
        return book.finish(source.questions)


def recorded(path: Path, benchmark: str, tasks: Tasks = EVERYONE) -> tuple[Task, Iterator[Recorded]]:
    """The task that ``benchmark`` names and the rows of ``path``, streamed; errors as in ``score_file``."""
    source = source_of(path, benchmark, tasks)
    return source.task, _rows(path, source, None)


class _Listed:
    """Questions that a task lists."""

    def __init__(self, path: Path | None, benchmark: str, tasks: Tasks) -> None:
        self.task = tasks.get(benchmark)
        self.questions = self.task.questions(self.task.benchmark)
        self._by_id = {question.id: question for question in self.questions}
        self._sampled_here = path is not None and (path.parent / "key.json").exists()

    def identify(self, row: Mapping[str, Any]) -> str:
        """The name of the question that another program's row answers: by its text, which every program
        has, before its name, which may be another's number.
        """
        text = row.get("question")
        found = self._by_text(" ".join(text.split())) if isinstance(text, str) else None
        return found or formats.row_id(row)

    def _by_text(self, asked: str) -> str | None:
        """The id of the question that ``asked`` is, or has in it among words of a prompt."""
        if asked in self._texts:
            return self._texts[asked]
        held = [text for text in self._texts if text in asked]
        return self._texts[max(held, key=len)] if held else None

    @cached_property
    def _texts(self) -> dict[str, str]:
        return {" ".join(question.text.split()): question.id for question in self.questions}

    def question(self, name: str, row: Mapping[str, Any]) -> Question:
        """The question called ``name``, as the row's sample of it was asked.

        Raises:
            ValueError: there is none; the message is a clause.
        """
        if name not in self._by_id:
            raise ValueError(
                f"has the unknown id {name!r}; ids of {self.task.name} look like {self.questions[0].id!r}"
            )
        question, sample = self._by_id[name], row.get("sample", 0)
        if self._sampled_here and self.task.variant is not None and type(sample) is int:
            return self.task.variant(question, sample)
        return question


class _Inline:
    """Questions that the rows bring with them."""

    def __init__(self, path: Path | None, kind: str) -> None:
        source = f"golds in {path.name}" if path is not None else "golds beside the responses"
        self.task = Task(kind, kind, kind, ("rows",), "rows", lambda split: [], source=source)
        self._by_id: dict[str, Question] = {}

    @property
    def questions(self) -> Sequence[Question]:
        return list(self._by_id.values())

    def identify(self, row: Mapping[str, Any]) -> str:
        """The name of the question that another program's row answers."""
        return formats.row_id(row)

    def question(self, name: str, row: Mapping[str, Any]) -> Question:
        """The question of the row; raises ValueError, as a clause, where golds disagree or are missing."""
        gold, text = given(row.get("gold")), given(row.get("question")) or ""
        known = self._by_id.get(name)
        if known is not None and gold is None:
            return known
        if not isinstance(gold, str | int | float) or isinstance(gold, bool) or not isinstance(text, str):
            raise ValueError("needs 'gold', the right answer, as a string or number")
        if isinstance(gold, float) and math.isinf(gold):
            raise ValueError(
                "has an infinite number as 'gold', which is not valid JSON; write it as a string"
            )
        told = gold if isinstance(gold, str) else plain(gold)
        if not told.strip():
            raise ValueError("needs 'gold', the right answer, and has an empty one")
        info = _options(row) if self.task.grader == "choice" else {}
        if known is None:
            known = self._by_id[name] = Question(name, text, told, info)
        elif known.gold != told:
            raise ValueError(f"has the gold {told!r} where an earlier row of id {name!r} has {known.gold!r}")
        elif info and info != known.info:
            raise ValueError(f"has other 'choices' than an earlier row of id {name!r}")
        return known


def _options(row: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """What the row's "choices" add to its question; raises ValueError, as a clause, where they are none."""
    choices = row.get("choices")
    if choices is None:
        return {}
    good = isinstance(choices, list) and all(isinstance(choice, str) and choice.strip() for choice in choices)
    if not good or not 2 <= len(choices) <= MOST_OPTIONS or len(set(choices)) < len(choices):
        raise ValueError(f"needs 'choices' as a list of 2 to {MOST_OPTIONS} different texts")
    return {"options": tuple(choices)}


def source_of(path: Path | None, benchmark: str, tasks: Tasks = EVERYONE) -> _Listed | _Inline:
    """Where the questions of ``benchmark`` come from; ``path`` is the rows' file, where there is one."""
    return _Inline(path, INLINE[benchmark]) if benchmark in INLINE else _Listed(path, benchmark, tasks)


def _rows(path: Path, source: _Listed | _Inline, progress: Progress | None) -> Iterator[Recorded]:
    """The rows of the file, checked; blank lines are passed over."""
    found = formats.recognise(path)
    named = _peers_rows(path, found, source) if found else _own_rows(path, progress)
    return checked(((f"{path}, {where}", read) for where, read in named), source)


def checked(named: Named, source: _Listed | _Inline) -> Iterator[Recorded]:
    """The rows, each with its question; no sample of a question twice.

    Raises:
        TaskError: a row that cannot be graded; the sentence begins with where it stands.
    """
    seen: dict[tuple[str, str], set[int]] = {}
    for where, read in named:
        try:
            row = _row(read(), source)
            name, sample = row.rollout.question.id, row.rollout.sample
            numbers = seen.setdefault((row.model, name), set())
            if sample in numbers:
                raise ValueError(
                    f"repeats sample {sample} of id {name!r}; "
                    f"several samples of a question need different 'sample' numbers"
                )
            numbers.add(sample)
        except ValueError as error:
            raise TaskError(f"{where} {error}") from None
        yield row


def _own_rows(path: Path, progress: Progress | None) -> Named:
    """The lines of a file of our own format, each to be parsed."""
    total = path.stat().st_size if path.exists() else 0
    done = 0
    for number, line in numbered_lines(path):
        done += len(line)
        if progress and number % 1000 == 0:
            progress(done, total)
        if line.strip():
            yield f"line {number}", partial(parse_line, line)
    if progress:
        progress(total, total)


def _peers_rows(path: Path, found: tuple[Format, Shape], source: _Listed | _Inline) -> Named:
    """The rows of another program's file, their questions known by name or by text."""
    for number, raw in enumerate(formats.rows(found), start=1):
        if raw.get("response") is None:
            raise TaskError(
                f"{path}: row {number} has no text, as {found[0].name} has none of choices by likelihood: "
                "there is nothing to grade; `harness compare` reads the verdicts"
            )
        yield f"row {number}", partial(dict, raw, id=source.identify(raw))


def _row(raw: Mapping[str, Any], source: _Listed | _Inline) -> Recorded:
    """The row in ``raw``; raises ValueError, as a clause, where a key is missing or of the wrong kind."""
    for key in ("id", "response"):
        if key not in raw:
            raise ValueError(f"lacks the key {key!r}{_advice(raw)}")
    name, response = whole(raw["id"]), raw["response"]
    sample, tokens = whole(given(raw.get("sample"), 0)), whole(given(raw.get("tokens")))
    finish, model = given(raw.get("finish_reason")) or "stop", given(raw.get("model")) or ""
    if not isinstance(name, str | int) or isinstance(name, bool):
        raise ValueError("needs 'id' as a string or whole number")
    for key, value in (("id", name), ("model", model)):
        if isinstance(value, str) and not is_text(value):
            raise ValueError(f"has half a character (a lone surrogate) in {key!r}")
    if not isinstance(response, str):
        raise ValueError("needs 'response' as a string")
    if type(sample) is not int or sample < 0:
        raise ValueError("needs 'sample' as a whole number from 0")
    if finish not in FINISH_REASONS:
        raise ValueError(f"needs 'finish_reason' to be one of {', '.join(FINISH_REASONS)}, got {finish!r}")
    if not (tokens is None or (type(tokens) is int and tokens >= 0)) or not isinstance(model, str):
        raise ValueError("needs 'tokens' as a whole number and 'model' as a string, where they are given")
    question = source.question(str(name), raw)
    label = raw["correct"] if isinstance(raw.get("correct"), bool) else None
    completion = Completion(response, (), (), cast(FinishReason, finish), Usage(None, tokens))
    return Recorded(model, Rollout(question, "", completion, sample=sample), label)


def _advice(raw: Mapping[str, Any]) -> str:
    """What to do about a row of a format that is not known; "" where it has nothing else."""
    others = [str(key)[:40] for key in raw if key not in ("id", "response", "gold", "sample")][:8]
    if not others:
        return ""
    return f"; it has {', '.join(others)}: {formats.RENAME} (read as they are: {formats.names()})"
