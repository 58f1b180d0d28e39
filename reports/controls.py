"""Is the gain real? What arms without meaningful rewards gain beside those that they control."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from evals.base.text import printable
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
                *(Cell(printable(str(row.get(key, "")))) for key in ("benchmark", "arm", "control")),
                count(row.get("questions")),
                _gain(row.get("gain")),
                _gain(row.get("control_gain")),
                percent(row.get("share")),
            )
            for row in study.controls
        ),
    )


def _gain(told: Any) -> Cell:
    bounds = told.get("ci95") if isinstance(told, Mapping) else None
    if not isinstance(bounds, list) or len(bounds) != 2:
        return Cell("–")
    value, low, high = told.get("value"), *bounds
    if not (finite(value) and finite(low) and finite(high)):
        return Cell("–")
    return points(value, low, high, strong=low > 0)
