"""Recorded responses, graded: counted by model and question, and written down where that is asked for."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO

from evals.asked import write_asked
from evals.base import io
from evals.base.text_files import folder_name
from evals.graders.base import Grader
from evals.graders.judge.base import FILE, JudgedGrader, judge_cost, judge_of
from evals.records import Sample
from evals.replies import Replies
from evals.rollout import Rollout, graded
from evals.scores import Scores, Tally, questions_hash, votable
from evals.task import Question, Task, TaskError, folder_of, part_note
from evals.tasks import registry as tasks
from evals.tasks.length_control import length_controlled

ROWS_AT_ONCE = 4096


@dataclass(frozen=True, slots=True)
class Recorded:
    """One recorded response, checked, with the model that gave it; ``label`` is its "correct", if any."""

    model: str
    rollout: Rollout
    label: bool | None


class Book:
    """Tallies per model and question, and the samples.jsonl of each model on its way to ``out``."""

    def __init__(
        self, benchmark: str, task: Task, grader: Grader, out: Path | None, stack: ExitStack
    ) -> None:
        self._benchmark, self._task, self._grader = benchmark, task, grader
        self._out, self._stack = out, stack
        self.models: dict[str, dict[str, Tally]] = {}
        self._files: dict[str, tuple[Path, IO[bytes]]] = {}
        self._folders: dict[str, Path] = {}
        self._replies: dict[str, Replies] = {}

    def fill(self, rows: Iterator[Recorded], unclosed_answers: bool = True) -> Iterator[Sample]:
        """Grades ``rows`` and counts them, as they come; each is passed on.

        ``unclosed_answers``: as in ``Protocol``.
        """
        while chunk := list(islice(rows, ROWS_AT_ONCE)):
            for row, rollout in zip(chunk, self._graded(chunk, unclosed_answers), strict=True):
                yield self._add(row.model, rollout)

    def _graded(self, chunk: Sequence[Recorded], unclosed_answers: bool) -> list[Rollout]:
        """The rows' rollouts with their verdicts; a judge is asked model by model: each has its own cost."""
        if not isinstance(self._grader, JudgedGrader):
            return graded(self._grader, [row.rollout for row in chunk], unclosed_answers)
        judged: dict[int, Rollout] = {}
        for model in dict.fromkeys(row.model for row in chunk):
            self._grader.keep_in(self._kept(model))
            places = [place for place, row in enumerate(chunk) if row.model == model]
            found = graded(self._grader, [chunk[place].rollout for place in places], unclosed_answers)
            judged.update(zip(places, found, strict=True))
        return [judged[place] for place in range(len(chunk))]

    def _kept(self, model: str) -> Replies:
        """What the judge has said of this model's responses."""
        if model not in self._replies:
            self._replies[model] = Replies(None if self._out is None else self._own_folder(model) / FILE)
        return self._replies[model]

    def _add(self, model: str, rollout: Rollout) -> Sample:
        sample = Sample.of(rollout)
        tallies = self.models.setdefault(model, {})
        if sample.id not in tallies:
            tallies[sample.id] = Tally(rollout.question, votable(self._task))
        tallies[sample.id].add(sample)
        if self._out is not None:
            self._file(model).write(io.json_line(sample.as_row()))
        return sample

    def finish(self, questions: Sequence[Question]) -> list[Scores]:
        """The scores of every model; files get their names now that every row is known to be good."""
        results = [self._scores(model, tallies, questions) for model, tallies in self.models.items()]
        for scores in results:
            if scores.model in self._files:
                aside, handle = self._files.pop(scores.model)
                handle.flush()
                os.fsync(handle.fileno())
                aside.replace(aside.with_name("samples.jsonl"))
                write_asked(aside.parent, self._task, questions)
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
            source=tasks.origin(self._task),
            data_hash=questions_hash(questions),
            warnings=part_note(self._task),
            judge=judge_of(self._grader),
            length_controlled=length_controlled(self._task, questions, stats),
            judge_cost=judge_cost(self._grader, self._replies.get(model)),
        )

    def _file(self, model: str) -> IO[bytes]:
        if model not in self._files:
            folder = self._own_folder(model)
            aside = folder / f".samples.jsonl.{os.getpid()}.tmp"
            self._stack.callback(aside.unlink, missing_ok=True)
            self._files[model] = aside, self._stack.enter_context(aside.open("wb"))
        return self._files[model][1]

    def _own_folder(self, model: str) -> Path:
        """The model's folder, made where it is not there; one that was sampled here is refused."""
        if model not in self._folders:
            folder = self._folder(model)
            if (folder / "key.json").exists():
                raise TaskError(f"{folder}: holds an evaluation that was sampled here; name another --out")
            folder.mkdir(parents=True, exist_ok=True)
            self._folders[model] = folder
        return self._folders[model]

    def _folder(self, model: str) -> Path:
        assert self._out is not None
        benchmark = folder_of(self._benchmark)
        if not model:
            return self._out / benchmark
        name = _plain_name(model)
        taken = any(folder.parent.name.lower() == name.lower() for folder in self._folders.values())
        if taken or _model_in(self._out / name / benchmark) not in (None, model):
            name = f"{name}-{_digest(model)}"  # "a/b" beside "a_b", "A" beside "a"
        return self._out / name / benchmark


def _plain_name(name: str) -> str:
    """A folder's name for a model or task: these may hold slashes, colons and worse, or be endless."""
    return folder_name(re.sub(r"[^\w.=+-]|^\.", "_", name))


def _digest(name: str) -> str:
    return hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=4).hexdigest()


def _model_in(folder: Path) -> str | None:
    """The model whose scores ``folder`` holds; None where it holds none."""
    try:
        return str(json.loads((folder / "scores.json").read_bytes())["model"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
