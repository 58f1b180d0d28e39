"""Is the gain real? What arms without meaningful rewards gain beside those that they control."""

from __future__ import annotations

from evals.base.text import printable
from reports.arms import Gain
from reports.cells import Cell, Column, Table, count, finite, percent, points
from reports.study import Study


def table(study: Study) -> Table | None:
    """A row per control and benchmark: both gains, and the share that the control explains."""
    if not study.controls:
        return None
    return Table(
        key="controls",
        title="Is the gain real?",
        caption="Gains over the untrained policy in points, with 95% intervals over seeds and questions. A "
        "control has the settings and seeds of its arm, and rewards that tell nothing of what is right. "
        "Explained: (control - base) / (arm - base) in percent, with Fieller's 95% interval; no figure where "
        "the arm's own gain is not shown.",
        columns=(
            Column("benchmark", "Benchmark", "text", filter=True),
            Column("arm", "Arm", "text", filter=True),
            Column("control", "Control", "text", filter=True),
            Column("n", "n", help="questions"),
            Column("gain", "Gain", "interval"),
            Column("control_gain", "Control's gain", "interval"),
            Column("share", "Explained", "interval", "share of the arm's gain that the control has too"),
        ),
        rows=tuple(
            (
                *(Cell(printable(name)) for name in (row.benchmark, row.arm, row.control)),
                count(row.questions),
                _gain(row.gain),
                _gain(row.control_gain),
                percent(None if row.share is None else row.share.model_dump()),
            )
            for row in study.controls
        ),
    )


def _gain(told: Gain) -> Cell:
    low, high = told.ci95
    if not (finite(told.value) and finite(low) and finite(high)):
        return Cell("–")
    return points(told.value, low, high, strong=low > 0)
