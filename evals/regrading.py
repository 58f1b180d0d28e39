"""Grades recorded samples again: those that no grader could judge, or all, where the grading has changed.

What a model wrote does not depend on the answers that it is compared with: golds and tests that were mended,
and a grader that was, change the verdicts of the samples that are there, and no sample.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from evals.base import io
from evals.graders.base import Grader
from evals.graders.version import grader_version
from evals.records import numbered_lines, parse_line, parse_sample
from evals.rollout import graded
from evals.task import JUDGED, Question, Task

AT_ONCE = 4096
"""Samples in memory."""

AsAsked = Callable[[str, int], Question]
"""The question of this id, as this sample of it was asked."""


def graded_by(task: Task, questions: Sequence[Question]) -> dict[str, str]:
    """What decides the verdicts: digests of golds and tests, and of the grader. Nothing where a judge does.

    Another judge, or other answers for it to compare with, need another folder: it is not asked twice.
    """
    if task.grader in JUDGED:
        return {}
    digest = hashlib.blake2b(digest_size=16)
    for question in questions:
        digest.update(json.dumps([question.id, question.gold, question.tests]).encode())
    return {
        "answers": digest.hexdigest(),
        "grader": grader_version(task.grader) + task.graded_by.removeprefix(task.grader),
    }


def why_again(before: Mapping[str, Any] | None, now: Mapping[str, Any]) -> str:
    """Why samples that were graded by ``before`` are to be graded again, in a clause; "" where not."""
    if before is None:
        return "nothing says by which answers they were graded" if now else ""
    if before.get("answers") != now.get("answers"):
        return "the answers or tests of the questions have changed"
    return "the grader has changed" if before.get("grader") != now.get("grader") else ""


def grade_again(
    path: Path, grader: Grader, as_asked: AsAsked, every: bool, unclosed_answers: bool = True
) -> tuple[int, int]:
    """Grades the samples of ``path`` again that no grader could judge, or with ``every`` all of them.

    A row keeps everything but its verdict. ``unclosed_answers``: as in ``Protocol``. Returns how
    many verdicts are others now, and how many samples were graded.
    """
    if not path.exists() or not (every or _any_ungraded(path)):
        return 0, 0
    counts = [0, 0]
    io.write_bytes(path, _graded_again(path, grader, as_asked, every, unclosed_answers, counts))
    return counts[0], counts[1]


def _any_ungraded(path: Path) -> bool:
    return any(_ungraded(line) for _, line in numbered_lines(path))


def _ungraded(line: bytes) -> bool:
    return b'"grader_error"' in line and parse_sample(parse_line(line)).status == "grader_error"


def _graded_again(
    path: Path, grader: Grader, as_asked: AsAsked, every: bool, unclosed_answers: bool, counts: list[int]
) -> Iterator[bytes]:
    lines = (line for _, line in numbered_lines(path))
    while chunk := list(islice(lines, AT_ONCE)):
        places = [place for place, line in enumerate(chunk) if every or _ungraded(line)]
        samples = [parse_sample(parse_line(chunk[place])) for place in places]
        asked = [each.rollout(as_asked(each.id, each.sample)) for each in samples]
        for place, sample, rollout in zip(
            places, samples, graded(grader, asked, unclosed_answers), strict=True
        ):
            judged = sample.judged(rollout.verdict)
            counts[0] += (judged.status, judged.answer) != (sample.status, sample.answer)
            chunk[place] = io.json_line(judged.as_row())
        counts[1] += len(places)
        yield from chunk
