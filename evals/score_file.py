"""Scores responses that any system recorded: a JSONL file, streamed, in any order.

A row: ``{"id", "response"}`` and optionally ``"sample"`` (a number from 0, default 0), ``"finish_reason"``
("stop" or "length", default "stop"), ``"tokens"``, ``"model"`` (rows of several models give one result
each), and for the benchmarks "math" and "choice" ``"gold"``, the answer inline, and ``"question"``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Any, cast

from evals import grading, tasks
from evals.engine import FinishReason
from evals.grading.judged import judge_of
from evals.grading.verdict import Grader, Response, Verdict
from evals.length_control import length_controlled
from evals.samples import FINISH_REASONS, Sample, json_line, numbered_lines, parse_line
from evals.scores import Scores, Tally, questions_hash, votable
from evals.tasks.task import GraderKind, Question, Task, TaskError

INLINE: dict[str, GraderKind] = {"math": "math", "choice": "choice"}
"""Benchmarks whose questions come with the rows, and their graders."""
ROWS_AT_ONCE = 4096

Progress = Callable[[int, int], None]


def score_file(
    path: Path,
    benchmark: str,
    out: Path | None = None,
    grader: Grader | None = None,
    progress: Progress | None = None,
) -> list[Scores]:
    """Grades the rows of ``path`` as answers to ``benchmark``, one ``Scores`` per model in the file.

    ``benchmark`` is a task (``aime24``, ``gsm8k:test[:100]``) or one of ``INLINE``. With ``out``,
    samples.jsonl and scores.json are written to ``out/BENCHMARK`` (``out/MODEL/BENCHMARK`` where rows name
    models) once every row is graded. ``progress(done, total)`` counts bytes of the file.

    Raises:
        TaskError: an unknown benchmark or missing data; no rows; or a row (named by its line) that is no
            JSON, lacks a key, names an unknown id or repeats an (id, sample).
    """
    source = _source(path, benchmark)
    with ExitStack() as stack:
        grader = grader or stack.enter_context(grading.make_grader(source.task.grader))
        book = _Book(benchmark, source.task, grader, out, stack)
        rows = _rows(path, source, progress)
        while chunk := list(islice(rows, ROWS_AT_ONCE)):
            items = [(row.question, Response(row.response, row.finish_reason == "length")) for row in chunk]
            for row, verdict in zip(chunk, grader.grade(items), strict=True):
                book.add(row, verdict)
        if not book.models:
            raise TaskError(f"{path}: holds no rows")
        return book.finish(source.questions)


@dataclass(frozen=True, slots=True)
class Recorded:
    """One recorded response, checked, with the question it answers; ``label`` is its "correct", if any."""

    question: Question
    model: str
    sample: int
    response: str
    finish_reason: FinishReason
    tokens: int | None
    label: bool | None


def recorded(path: Path, benchmark: str) -> tuple[Task, Iterator[Recorded]]:
    """The task that ``benchmark`` names and the rows of ``path``, streamed; errors as in ``score_file``."""
    source = _source(path, benchmark)
    return source.task, _rows(path, source, None)


class _Listed:
    """Questions that a task lists."""

    def __init__(self, path: Path, benchmark: str) -> None:
        self.task, questions = tasks.load_spec(benchmark)
        self.questions: Sequence[Question] = questions
        self._path = path
        self._by_id = {question.id: question for question in questions}

    def question(self, name: str, row: Mapping[str, Any]) -> Question:
        """The question called ``name``; raises ValueError, as a clause, where there is none."""
        if name not in self._by_id:
            raise ValueError(
                f"has the unknown id {name!r}; ids of {self.task.name} look like {self.questions[0].id!r}"
            )
        return self._by_id[name]


class _Inline:
    """Questions that the rows bring with them."""

    def __init__(self, path: Path, kind: GraderKind) -> None:
        self.task = Task(
            kind, kind, kind, ("rows",), "rows", lambda split: [], source=f"golds in {path.name}"
        )
        self._by_id: dict[str, Question] = {}

    @property
    def questions(self) -> Sequence[Question]:
        return list(self._by_id.values())

    def question(self, name: str, row: Mapping[str, Any]) -> Question:
        """The question of the row; raises ValueError, as a clause, where golds disagree or are missing."""
        gold, text = row.get("gold"), row.get("question", "")
        known = self._by_id.get(name)
        if known is not None and gold is None:
            return known
        if not isinstance(gold, str | int | float) or isinstance(gold, bool) or not isinstance(text, str):
            raise ValueError("needs 'gold', the right answer, as a string or number")
        if known is None:
            known = self._by_id[name] = Question(name, text, str(gold))
        elif known.gold != str(gold):
            raise ValueError(
                f"has the gold {str(gold)!r} where an earlier row of id {name!r} has {known.gold!r}"
            )
        return known


def _source(path: Path, benchmark: str) -> _Listed | _Inline:
    return _Inline(path, INLINE[benchmark]) if benchmark in INLINE else _Listed(path, benchmark)


def _rows(path: Path, source: _Listed | _Inline, progress: Progress | None) -> Iterator[Recorded]:
    """The rows of the file, checked; blank lines are passed over."""
    seen: dict[tuple[str, str], set[int]] = {}
    total = path.stat().st_size if path.exists() else 0
    read = 0
    for number, line in numbered_lines(path):
        read += len(line)
        if progress and number % 1000 == 0:
            progress(read, total)
        if not line.strip():
            continue
        try:
            row = _row(parse_line(line), source)
            numbers = seen.setdefault((row.model, row.question.id), set())
            if row.sample in numbers:
                raise ValueError(
                    f"repeats sample {row.sample} of id {row.question.id!r}; "
                    f"several samples of a question need different 'sample' numbers"
                )
            numbers.add(row.sample)
        except ValueError as error:
            raise TaskError(f"{path}, line {number} {error}") from None
        yield row
    if progress:
        progress(total, total)


def _row(raw: Mapping[str, Any], source: _Listed | _Inline) -> Recorded:
    """The row in ``raw``; raises ValueError, as a clause, where a key is missing or of the wrong kind."""
    for key in ("id", "response"):
        if key not in raw:
            raise ValueError(f"lacks the key {key!r}")
    name, response = raw["id"], raw["response"]
    sample, finish = raw.get("sample", 0), raw.get("finish_reason") or "stop"
    tokens, model = raw.get("tokens"), raw.get("model") or ""
    if not isinstance(name, str | int) or isinstance(name, bool):
        raise ValueError("needs 'id' as a string or whole number")
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
    return Recorded(question, model, sample, response, cast(FinishReason, finish), tokens, label)


class _Book:
    """Tallies per model and question, and the samples.jsonl of each model on its way to ``out``."""

    def __init__(
        self, benchmark: str, task: Task, grader: Grader, out: Path | None, stack: ExitStack
    ) -> None:
        self._benchmark, self._task, self._grader = benchmark, task, grader
        self._out, self._stack = out, stack
        self.models: dict[str, dict[str, Tally]] = {}
        self._files: dict[str, tuple[Path, IO[bytes]]] = {}

    def add(self, row: Recorded, verdict: Verdict) -> None:
        sample = Sample(
            id=row.question.id,
            sample=row.sample,
            response=row.response,
            answer=verdict.answer,
            status=verdict.status,
            detail=verdict.detail,
            finish_reason=row.finish_reason,
            tokens=row.tokens,
            seconds=0.0,
            duel=verdict.duel,
        )
        tallies = self.models.setdefault(row.model, {})
        if sample.id not in tallies:
            tallies[sample.id] = Tally(row.question, votable(self._task))
        tallies[sample.id].add(sample)
        if self._out is not None:
            self._file(row.model).write(json_line(sample.as_row()))

    def finish(self, questions: Sequence[Question]) -> list[Scores]:
        """The scores of every model; files get their names now that every row is known to be good."""
        results = [self._scores(model, tallies, questions) for model, tallies in self.models.items()]
        for scores in results:
            if scores.model in self._files:
                aside, handle = self._files.pop(scores.model)
                handle.flush()
                os.fsync(handle.fileno())
                aside.replace(aside.with_name("samples.jsonl"))
                scores.write(aside.parent)
        return results

    def _scores(self, model: str, tallies: Mapping[str, Tally], questions: Sequence[Question]) -> Scores:
        found = [tallies[q.id].stats(self._grader) for q in questions if q.id in tallies]
        stats = tuple(each for each in found if each is not None)
        return Scores(
            benchmark=self._benchmark,
            questions=stats,
            isolation=self._grader.isolation,
            votes=votable(self._task),
            missing=tuple(question.id for question in questions if question.id not in tallies),
            model=model,
            source=self._task.source,
            data_hash=questions_hash(questions),
            judge=judge_of(self._grader),
            length_controlled=length_controlled(self._task, questions, stats),
        )

    def _file(self, model: str) -> IO[bytes]:
        if model not in self._files:
            folder = self._folder(model)
            if (folder / "key.json").exists():
                raise TaskError(f"{folder}: holds an evaluation that was sampled here; name another --out")
            folder.mkdir(parents=True, exist_ok=True)
            aside = folder / f".samples.jsonl.{os.getpid()}.tmp"
            self._stack.callback(aside.unlink, missing_ok=True)
            self._files[model] = aside, self._stack.enter_context(aside.open("wb"))
        return self._files[model][1]

    def _folder(self, model: str) -> Path:
        assert self._out is not None
        parts = [part for part in (model, self._benchmark) if part]
        # Names of models and tasks may hold slashes, colons and worse: a folder of its own each, no more.
        return self._out.joinpath(*(re.sub(r"[^\w.=+-]|^\.", "_", part) for part in parts))
