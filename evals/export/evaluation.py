"""An evaluation as it lies in its folder, for whoever writes it in another format."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

from evals.asked import known_questions, read_asked
from evals.records import Sample, read_samples
from evals.scores import Scores, read_scores
from evals.task import Question, TaskError

LAYOUTS = ("scores.json", "*/scores.json", "evals/*/*/scores.json")
"""Where a benchmark's scores lie: in its own folder, a folder of benchmarks, a run's or a sweep's."""


@dataclass(frozen=True)
class Evaluated:
    """One benchmark's scores and samples; ``group`` names the policy where a folder holds several."""

    folder: Path
    group: str
    scores: Scores

    @cached_property
    def questions(self) -> Mapping[str, Question]:
        """The questions by id, as recorded or as the task has them here; {} where they are not at hand."""
        return read_asked(self.folder) or known_questions(self.scores.benchmark)

    @cached_property
    def samples(self) -> Mapping[str, tuple[Sample, ...]]:
        """The samples of every question in the order of scores.json, their texts fit for UTF-8.

        Raises:
            TaskError: samples.jsonl is missing or damaged, or holds other samples than were scored.
        """
        path = self.folder / "samples.jsonl"
        found: dict[str, list[Sample]] = {question.id: [] for question in self.scores.questions}
        for sample in read_samples(path):
            found.setdefault(sample.id, []).append(_encodable(sample))
        for question in self.scores.questions:
            rows = found[question.id]
            if (len(rows), sum(row.correct for row in rows)) != (question.n, question.correct):
                raise TaskError(
                    f"{path}: has other samples of {question.id!r} than scores.json counts; score it again"
                )
        if len(found) > len(self.scores.questions):
            raise TaskError(f"{path}: has samples of questions that scores.json lacks; score it again")
        return {name: tuple(sorted(rows, key=lambda row: row.sample)) for name, rows in found.items()}

    def each(self) -> Iterator[tuple[Sample, str, str]]:
        """Every sample with its question's text (the prompt where the text is not at hand) and answer."""
        for name, rows in self.samples.items():
            question = self.questions.get(name)
            for sample in rows:
                yield (
                    sample,
                    question.text if question else sample.prompt or "",
                    question.gold if question else "",
                )

    @property
    def written(self) -> datetime:
        """When the scores were written."""
        return datetime.fromtimestamp(os.stat(self.folder / "scores.json").st_mtime, UTC)


def find(folder: Path) -> list[Evaluated]:
    """The evaluations in ``folder``, sorted by place.

    Raises:
        TaskError: there is none, or one is damaged or lm-eval's own.
    """
    if folder.name in ("scores.json", "samples.jsonl") and folder.is_file():
        folder = folder.parent
    if not folder.is_dir():
        raise TaskError(f"{folder}: no such folder")
    for layout in LAYOUTS:
        if paths := sorted(folder.glob(layout)):
            return [_read(path.parent, path.parent.parent.name if layout[0] == "e" else "") for path in paths]
    raise TaskError(
        f"{folder}: contains no evaluation to export (a scores.json with its samples.jsonl, here, in folders "
        "of benchmarks, or in evals/ of a run or sweep)"
    )


def _read(folder: Path, group: str) -> Evaluated:
    if (folder / "lm_eval.json").exists():
        raise TaskError(f"{folder}: is an evaluation by lm-eval itself, whose results are in lm_eval.json")
    return Evaluated(folder, group, read_scores(folder / "scores.json"))


def _encodable(sample: Sample) -> Sample:
    """The sample without half characters (lone surrogates), which neither UTF-8 nor Arrow can hold."""
    return replace(
        sample,
        response=_whole(sample.response),
        answer=None if sample.answer is None else _whole(sample.answer),
        detail=_whole(sample.detail),
        prompt=None if sample.prompt is None else _whole(sample.prompt),
    )


def _whole(text: str) -> str:
    return text.encode("utf-8", "replace").decode()
