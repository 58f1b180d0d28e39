"""Learning curves from CSV files, of whatever run: for the forecast command and its benchmark.

Two forms: a row per step and a column per metric, or a row per value, as ``run, step, benchmark, accuracy``.
In both ``Step`` and ``_step`` are ``step``, and a column ``run`` tells the runs apart. A chart exported from
W&B has a column ``RUN - METRIC`` for each run; one exported from TensorBoard has ``Wall time,Step,Value``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from evals.base.errors import UsageError

NAMES = ("benchmark", "metric", "task")
"""Columns of a row per value that say what was measured."""
STEPS = dict.fromkeys(("Step", "_step", "global_step", "train/global_step"), "step")
BOUNDS = ("__MIN", "__MAX")
"""Columns that W&B adds to each metric: the extremes of what a point averages."""


def read_curves(path: Path) -> Iterator[tuple[str, pd.DataFrame]]:
    """Label and table of every run in the file: ``step``, and a column of numbers for each metric.

    Raises:
        UsageError: it is not CSV, has no steps, or has several rows of a run with the same step.
    """
    try:
        frame = pd.read_csv(path)
    except (ValueError, OSError) as error:
        raise UsageError(f"{path}: is not valid CSV: {error}") from None
    if "step" not in frame:
        frame = frame.rename(columns=STEPS)
    if "step" not in frame:
        raise UsageError(f"{path}: no step column, only {', '.join(map(str, frame.columns))}")
    if any(str(name).endswith(BOUNDS) for name in frame.columns):
        frame = _by_run(frame)
    named = next((name for name in NAMES if name in frame), None)
    runs = list(frame.groupby("run", sort=False, dropna=False)) if "run" in frame else [("", frame)]
    for run, rows in runs:
        label = f"{path.stem} {run}".rstrip()
        table = rows.drop(columns="run", errors="ignore")
        yield label, _numbers(path, _wide(path, table, named) if named else table)


def _by_run(chart: pd.DataFrame) -> pd.DataFrame:
    """A chart exported from W&B, with a column ``run`` and a column per metric."""
    tables: dict[str, dict[str, pd.Series]] = {}
    for name in chart.columns.drop("step"):
        run, dash, metric = str(name).rpartition(" - ")
        if dash and not metric.endswith(BOUNDS) and metric != "_step":
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
