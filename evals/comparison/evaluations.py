"""The scores that a file or folder holds: our own, and verdicts that other programs recorded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from evals import formats
from evals.formats.shape import Format, Shape
from evals.records import numbered_lines, parse_line, whole
from evals.scores import Scores, read_scores
from evals.stats.metrics import QuestionStats
from evals.task import TaskError

UNNAMED = "samples"
"""The benchmark of a file of samples that stands alone."""


def read_evaluations(path: Path) -> dict[str, Scores]:
    """The scores that ``path`` holds, by benchmark.

    Raises:
        TaskError: there is nothing there that holds scores or graded samples, or two folders hold
            evaluations of one benchmark.
    """
    if path.is_file():
        beside = path.with_name("scores.json")
        known = path.name in ("scores.json", "samples.jsonl") and beside.exists()
        lone = read_scores(beside) if known else _read_samples(path, UNNAMED)
        return {lone.benchmark: lone}
    if not path.is_dir():
        raise TaskError(f"{path}: no such file or folder")
    for folders in ([path], sorted(inner for inner in path.iterdir() if inner.is_dir())):
        found: dict[str, Scores] = {}
        places: dict[str, Path] = {}
        for folder in folders:
            scores = _read_folder(folder)
            if scores is None:
                continue
            if scores.benchmark in found:
                raise TaskError(
                    f"{path}: {places[scores.benchmark].name} and {folder.name} both hold an evaluation of "
                    f"{scores.benchmark}; name the one that is meant"
                )
            found[scores.benchmark], places[scores.benchmark] = scores, folder
        if found:
            return found
        if any((folder / "lm_eval.json").exists() for folder in folders):
            raise TaskError(
                f"{path}: no document in it is right or wrong, so there is nothing to compare question by "
                "question; `harness report` shows its metrics"
            )
    raise TaskError(f"{path}: contains neither scores.json nor samples.jsonl, nor folders that do")


def _read_folder(folder: Path) -> Scores | None:
    if (folder / "scores.json").exists():
        return read_scores(folder / "scores.json")
    if (folder / "lm_eval.json").exists():
        return None  # a perplexity or the like
    if (folder / "samples.jsonl").exists():
        return _read_samples(folder / "samples.jsonl", folder.resolve().name)
    return None


def _read_samples(path: Path, benchmark: str) -> Scores:
    """Scores of graded rows alone (``id``, ``correct``, perhaps ``sample``), from whatever program.

    Such scores have no protocol and no votes.
    """
    counts: dict[str, list[int]] = {}
    seen: set[tuple[str, int]] = set()
    found = formats.recognise(path)
    for where, (name, sample, correct) in _peers_verdicts(path, found) if found else _own_verdicts(path):
        if (name, sample) in seen:
            raise TaskError(f"{path}, {where} repeats sample {sample} of id {name!r}")
        seen.add((name, sample))
        counted = counts.setdefault(name, [0, 0])
        counted[0] += 1
        counted[1] += correct
    if not counts:
        raise TaskError(f"{path}: contains no samples")
    questions = tuple(QuestionStats(name, n, correct) for name, (n, correct) in counts.items())
    return Scores(benchmark, questions, isolation="", votes=False)


def _own_verdicts(path: Path) -> Iterator[tuple[str, tuple[str, int, bool]]]:
    for number, line in numbered_lines(path):
        if not line.strip():
            continue
        try:
            yield f"line {number}", _graded(parse_line(line))
        except ValueError as error:
            raise TaskError(f"{path}, line {number} {error}") from None


def _peers_verdicts(path: Path, found: tuple[Format, Shape]) -> Iterator[tuple[str, tuple[str, int, bool]]]:
    """The verdicts of another program's file; responses without one are passed over."""
    judged = 0
    for number, row in enumerate(formats.rows(found), start=1):
        if row.get("correct") is not None:
            judged += 1
            yield f"row {number}", (formats.row_id(row), int(row.get("sample") or 0), bool(row["correct"]))
    if not judged:
        raise TaskError(
            f"{path}: is {found[0].name}, without verdicts; grade it first: harness score FILE --benchmark "
            "NAME --out DIR"
        )


def _graded(row: Mapping[str, Any]) -> tuple[str, int, bool]:
    name, sample, correct = (whole(row.get(key)) for key in ("id", "sample", "correct"))
    sample = 0 if sample is None else sample
    if correct is None:
        raise ValueError("has no 'correct': grade the file first, with `harness score FILE --out DIR`")
    if not isinstance(correct, int | float) or correct not in (0, 1):  # many programs write 1.0 for true
        raise ValueError(f"needs 'correct' as true or false (or 1 or 0), got {correct!r}")
    if isinstance(name, bool) or not isinstance(name, str | int) or type(sample) is not int:
        raise ValueError("needs 'id' as a string or whole number, and 'sample' as a whole number")
    return str(name), sample, bool(correct)
