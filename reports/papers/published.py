"""A paper's tables as data: published values, and how each is measured here.

``paper/*.csv`` holds a value a row (columns table, model, benchmark, metric, value, source; a share in
percent). ``plan/models.csv`` says which hub model a name stands for, ``plan/benchmarks.csv`` which of our
tasks a benchmark is and how many samples per question the paper takes. Another paper is another file of the
same columns; for models and benchmarks that the plan does not know, it may bring the plan's columns too
(hub, billions, closed; task, score, samples, questions).
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

from evals.base.errors import UsageError
from evals.task import TaskError
from evals.tasks import registry

REQUIRED = ("table", "model", "benchmark", "metric", "value", "source")
MODEL_COLUMNS = ("hub", "billions", "closed")
TASK_COLUMNS = ("task", "score", "samples", "questions")


@dataclass(frozen=True)
class Published:
    """One value of a paper's table, as printed there (shares in percent), and the plan to measure it.

    ``hub`` is the model's hub id or folder and ``billions`` its parameters in 10⁹; ``closed`` says why
    nobody can load it. ``task`` is "" where no task of ours measures the benchmark; else ``score`` names an
    entry of its scores.json, over ``questions`` questions (0: as many as the data have) with ``samples``
    samples each.
    """

    table: str
    model: str
    benchmark: str
    metric: str
    value: str
    source: str
    hub: str = ""
    billions: float = 0.0
    closed: str = ""
    task: str = ""
    score: str = ""
    samples: int = 0
    questions: int = 0

    @property
    def known(self) -> bool:
        """Whether the plan knows the model."""
        return bool(self.hub or self.closed)


def published(papers: Sequence[Path] = ()) -> list[Published]:
    """Every published value: the papers shipped here, then those in ``papers``.

    Raises:
        UsageError: a file that is not there or is not such a table; the sentence names file, line and column.
    """
    files: list[Traversable | Path] = [
        *sorted((f for f in _folder("paper").iterdir() if f.name.endswith(".csv")), key=lambda f: f.name),
        *papers,
    ]
    models = {row["model"]: row for _, row in _rows(_folder("plan").joinpath("models.csv"))}
    benchmarks = {
        (row["benchmark"], row["metric"]): row for _, row in _rows(_folder("plan").joinpath("benchmarks.csv"))
    }
    found = []
    for file in files:
        for line, row in _rows(file):
            where = f"{file.name}, line {line}"
            for column in REQUIRED:
                if not row.get(column):
                    raise UsageError(f"{where} lacks {column!r}; needed: {', '.join(REQUIRED)}")
            plan = {
                **{key: models.get(row["model"], {}).get(key, "") for key in MODEL_COLUMNS},
                **{
                    key: benchmarks.get((row["benchmark"], row["metric"]), {}).get(key, "")
                    for key in TASK_COLUMNS
                },
                **{key: row[key] for key in (*MODEL_COLUMNS, *TASK_COLUMNS) if row.get(key)},
            }
            found.append(_published(row, plan, where))
    return found


def table_names(cells: Sequence[Published]) -> list[str]:
    """The tables that these values belong to."""
    return sorted({cell.table for cell in cells})


def _published(row: Mapping[str, str], plan: Mapping[str, str], where: str) -> Published:
    _number(row["value"], "value", where)
    task = plan["task"]
    if task:
        try:
            usual = registry.get(task).samples
        except TaskError as error:
            raise UsageError(f"{where}: {error}") from None
    return Published(
        **{key: row[key] for key in REQUIRED},
        hub=plan["hub"],
        billions=_number(plan["billions"] or "0", "billions", where),
        closed=plan["closed"],
        task=task,
        score=(plan["score"] or row["metric"]) if task else "",
        samples=int(_number(plan["samples"] or str(usual), "samples", where)) if task else 0,
        questions=int(_number(plan["questions"] or "0", "questions", where)) if task else 0,
    )


def _number(text: str, column: str, where: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise UsageError(f"{where}: {column} must be a number, got {text!r}")
    return number


def _rows(file: Traversable | Path) -> Iterator[tuple[int, dict[str, str]]]:
    """(line, row) of a CSV file with a heading."""
    if not file.is_file():
        raise UsageError(f"{file}: no such file")
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        raise UsageError(f"{file}: is not text in UTF-8") from None
    reader = csv.DictReader(lines)
    for row in reader:
        yield reader.line_num, {key: (value or "").strip() for key, value in row.items() if key}


def _folder(name: str) -> Traversable:
    return resources.files("reports").joinpath(name)
