"""Learning curves from CSV files, of whatever run: for the forecast command and its benchmark.

Two forms: a row per step and a column per metric, or a row per value, as ``run, step, benchmark, accuracy``.
In both ``Step`` and ``_step`` are ``step``, and a column ``run`` tells the runs apart. A chart exported from
W&B has a column ``RUN - METRIC`` for each run; one exported from TensorBoard has ``Wall time,Step,Value``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from evals.base.errors import UsageError

NAMES = ("benchmark", "metric", "task")
"""Columns of a row per value that say what was measured."""
STEPS = ("step", "Step", "_step", "global_step", "train/global_step")
"""Columns of steps; the first that is there counts."""
BOUNDS = ("__MIN", "__MAX")
"""What W&B adds to each metric's name for two more columns: the extremes of what a point averages."""
ADDED = (*BOUNDS, " - _step")
"""How columns end that are not metrics."""


def read_curves(path: Path) -> Iterator[tuple[str, pd.DataFrame]]:
    """Label and table of every run in the file: ``step``, and a column of numbers for each metric.

    Raises:
        UsageError: it is not CSV, has no steps, or has several rows of a run with the same step.
    """
    try:
        frame = pd.read_csv(path)
    except (ValueError, OSError) as error:
        raise UsageError(f"{path}: is not valid CSV: {error}") from None
    steps = next((name for name in STEPS if name in frame), None)
    if steps is None:
        raise UsageError(f"{path}: no step column, only {', '.join(map(str, frame.columns))}")
    frame = frame.rename(columns={steps: "step"})
    charted = [name for name in map(str, frame.columns) if " - " in name and not name.endswith(ADDED)]
    if any(f"{name}{BOUNDS[0]}" in frame for name in charted):
        frame = _by_run(frame, charted)
    named = next((name for name in NAMES if name in frame), None)
    runs = list(frame.groupby("run", sort=False, dropna=False)) if "run" in frame else [("", frame)]
    for run, rows in runs:
        label = f"{path.stem} {run}".rstrip()
        table = rows.drop(columns="run", errors="ignore")
        yield label, _numbers(path, _wide(path, table, named) if named else table)


def _by_run(chart: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """A chart exported from W&B, whose columns ``names`` are RUN - METRIC, with a column ``run``."""
    tables: dict[str, dict[str, pd.Series]] = {}
    for name in names:
        run, _, metric = name.rpartition(" - ")
        tables.setdefault(run, {})[metric] = chart[name]
    return pd.concat(
        pd.DataFrame({"run": run, "step": chart["step"], **metrics}).dropna(subset=list(metrics), how="all")
        for run, metrics in tables.items()
    )


def _wide(path: Path, rows: pd.DataFrame, named: str) -> pd.DataFrame:
    """A row per step and a column for each name in the column ``named``."""
    values = [name for name in rows.columns if name not in ("step", named)]
    if len(values) != 1:
        raise UsageError(
            f"{path}: beside run, step and {named} there must be one column, the value; there is "
            f"{', '.join(map(str, values)) or 'none'}"
        )
    if rows.duplicated(["step", named]).any():
        raise UsageError(
            f"{path}: several rows have the same step and {named}; a column run tells runs apart"
        )
    return rows.pivot(index="step", columns=named, values=values[0]).rename_axis(columns=None).reset_index()


def _numbers(path: Path, frame: pd.DataFrame) -> pd.DataFrame:
    found: pd.DataFrame = frame.apply(pd.to_numeric, errors="coerce").dropna(subset=["step"])
    if found["step"].duplicated().any():
        raise UsageError(f"{path}: several rows have the same step; a column run tells runs apart")
    return found.sort_values("step")
