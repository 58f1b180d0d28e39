"""Audits the grading of a file of responses: which rows would a second grader judge differently?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from evals.book import ROWS_AT_ONCE, Recorded
from evals.graders import registry, safe
from evals.graders.base import Grader, Verdict
from evals.graders.judge.base import FILE, keeping
from evals.graders.second_opinion import MathVerifyGrader, by_values, labels
from evals.recorded import recorded
from evals.rollout import graded
from evals.task import TaskError
from evals.tasks.registry import EVERYONE, Tasks

MATHEMATICS = ("math", "integer")
"""Graders that math-verify can be asked beside."""


@dataclass(frozen=True)
class AuditRow:
    """A response that the task's grader (``first``) and the second opinion judge differently."""

    id: str
    sample: int
    model: str
    gold: str
    response: str
    first: Verdict
    second: Verdict

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Audit:
    """The rows in question, among how many that both could judge, and what the grader was compared with."""

    rows: tuple[AuditRow, ...]
    compared: int
    against: str


def audit_file(path: Path, benchmark: str, against: str = "math-verify", tasks: Tasks = EVERYONE) -> Audit:
    """Grades every row of ``path`` twice; rows as for ``score_file``.

    ``against`` is "math-verify", as its README calls it on the whole response, or "labels", the rows' own
    "correct"; rows without one are left out. "wrong", "unparsed" and "grader_error" are all not correct.

    Where math-verify agrees, the extracted answer's values at a few points are looked at too (``values.py``):
    the grader builds on math-verify's parser, so that a fault of that parser's would not show.

    Raises:
        TaskError: as ``score_file``; or mathematics is not what the task's answers are, no row has a label,
            or there is no such second opinion.
    """
    task, rows = recorded(path, benchmark, tasks)
    if against == "math-verify" and task.grader not in MATHEMATICS:
        raise TaskError(f"math-verify has no opinion on {benchmark}; use --against labels")
    if against not in ("math-verify", "labels"):
        raise TaskError(f"unknown second opinion {against!r}; accepted: math-verify, labels")
    found: list[AuditRow] = []
    compared = 0
    with registry.grader_of(task) as first:
        if path.with_name(FILE).exists():  # what a judge said of an evaluation's responses
            keeping(first, path.with_name(FILE))
        while chunk := list(islice(rows, ROWS_AT_ONCE)):
            known = [row for row in chunk if against != "labels" or row.label is not None]
            compared += len(known)
            found += _differing(known, first, against)
    if not compared:
        raise TaskError(f"{path}: contains no rows" + (' with "correct"' if against == "labels" else ""))
    return Audit(tuple(found), compared, against)


def _differing(rows: Sequence[Recorded], first: Grader, against: str) -> list[AuditRow]:
    judged = graded(first, [row.rollout for row in rows])
    if against == "labels":
        second = labels([bool(row.label) for row in rows])
    else:
        second = safe.grade(MathVerifyGrader(), [rollout.item() for rollout in judged])
    found = []
    for row, one, two in zip(rows, judged, second, strict=True):
        question, verdict, other = one.question, one.verdict, two
        if against != "labels" and verdict.correct == two.correct:
            other = by_values(question, verdict) or two
        if verdict.correct != other.correct:
            found.append(
                AuditRow(
                    question.id, one.sample, row.model, question.gold, one.completion.text, verdict, other
                )
            )
    return found
