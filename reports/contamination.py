"""Which benchmarks a model has most likely seen, as `harness probe` found; shown beside its scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from evals.base.text import printable
from reports.cells import Cell, Column, Table, count, percent
from reports.study import Study


def table(study: Study) -> Table | None:
    """A row per probed task; None where nothing was probed."""
    rows = [
        _row(name, row, seen)
        for name, found in study.probes
        for row, seen in [
            *((row, bool(row.get("suspicious"))) for row in found.tasks),
            *([(found.against, None)] if found.against else []),
        ]
    ]
    if not rows:
        return None
    return Table(
        key="contamination",
        title="Has the model seen the questions?",
        caption="What a model completes of the last two fifths of questions, greedily, given the rest; and "
        "what it answers rightly without any reasoning. In percent, with 95% intervals over questions. "
        "Seen: more than 5% word for word, and more than of the task that it cannot have seen.",
        columns=(
            Column("probe", "Probe", "text", filter=True),
            Column("task", "Task", "text"),
            Column("n", "n", help="questions"),
            Column("exact", "Word for word", "interval"),
            Column("rouge", "ROUGE-L", "interval", "longest common subsequence of words, F1"),
            Column("blind", "Bare answer", "interval", "right without reasoning"),
            Column("seen", "Seen", "text"),
        ),
        rows=tuple(rows),
    )


def _row(name: str, row: Mapping[str, Any], seen: bool | None) -> tuple[Cell, ...]:
    told = "for comparison" if seen is None else "most likely" if seen else "not shown"
    return (
        Cell(printable(name)),
        Cell(printable(str(row.get("task", "")))),
        count(row.get("questions")),
        percent(row.get("exact")),
        percent(row.get("rouge_l")),
        percent(row.get("answer_only")),
        Cell(told, strong=bool(seen)),
    )


def seen_beside(study: Study) -> Sequence[str]:
    """A sentence for each evaluation of weights that have most likely seen its questions."""
    found = []
    for _, one in study.probes:
        for row in one.tasks:
            measured = [
                each.model
                for each in study.evaluations
                if each.benchmark == row.get("task") and each.scores.get("model") == row.get("model")
            ]
            if row.get("suspicious") and measured:
                found.append(f"{', '.join(measured)}: {printable(str(row.get('sentence', '')))}")
    return found
