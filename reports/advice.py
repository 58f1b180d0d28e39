"""What training was warned of, run by run."""

from __future__ import annotations

from evals.base.text import printable
from harness.train.advice import Advice, advice_on
from reports.cells import Cell, Column, Table, count
from reports.study import Study


def table(study: Study) -> Table | None:
    """A row per warning of the runs and of the fresh seeds of sweeps; None where there was no cause for any.

    Trials are left out: to fail is what some of them are for, and a table of their own says how they ended.
    """
    runs = [*study.runs, *(run for sweep in study.sweeps for run in sweep.fresh)]
    rows = [
        _row(run.label, advice)
        for run in runs
        for advice in advice_on(run.metrics.to_dict("records"), run.experiment)
    ]
    if not rows:
        return None
    return Table(
        key="advice",
        title="Warnings in training",
        caption="Each is given once a run, at the first step that gave cause for it; docs/training.md has "
        "the limits, and how often each was right on runs that were made to fail.",
        columns=(
            Column("run", "Run", "text", filter=True),
            Column("step", "Step"),
            Column("seen", "Seen", "text", prose=True),
            Column("means", "What it usually means", "text", prose=True),
            Column("change", "What to change", "text", prose=True),
        ),
        rows=tuple(rows),
    )


def _row(label: str, advice: Advice) -> tuple[Cell, ...]:
    texts = (advice.seen, advice.means, advice.change)
    return (Cell(printable(label)), count(advice.step), *(Cell(printable(text)) for text in texts))
