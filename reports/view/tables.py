"""The tables of the view: what lies in a folder, what is at work, evaluations."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from evals.base.text import duration, printable
from harness.sweep.summary import Trial
from reports.cells import Cell, Column, Table, finite, percent
from reports.study import Sweep
from reports.trials import trials as trials_table
from reports.view.links import Links
from reports.view.places import Place
from reports.view.standing import Standing, ago, scores_of, shown


def index(places: Sequence[tuple[Place, Standing]], links: Links, key: str = "folders") -> Table:
    """A row per place: its state, how far it is, its best figure and what it took."""
    rows = []
    for place, standing in places:
        seen = standing.seen
        when = ago(seen) if standing.live else "" if seen is None else _when(seen)
        rows.append(
            (
                Cell(printable(place.key or place.folder.name), href=links.folder(place.key)),
                state(standing.state),
                Cell(printable(standing.progress)),
                Cell(printable(standing.best) or "–"),
                Cell(duration(standing.left) if standing.live else ""),
                Cell(printable(standing.cost)),
                Cell(when, seen),
                Cell(place.kind),
            )
        )
    return Table(
        key=key,
        title="Folders",
        caption="What runs comes first, then the newest. Best: a sweep's confirmed winner, or its best trial "
        "so far; a run's best figure on dev; an evaluation's pass@1.",
        columns=(
            Column("name", "Folder", "text"),
            Column("state", "State", "text", filter=True),
            Column("progress", "Progress", "text"),
            Column("best", "Best", "text"),
            Column("left", "Left", "text"),
            Column("cost", "Device time", "text"),
            Column("seen", "Last change"),
            Column("kind", "Kind", "text", filter=True),
        ),
        rows=tuple(rows),
    )


def state(name: str) -> Cell:
    """A state; what needs somebody's eye stands out."""
    return Cell(name, strong=name in ("running", "failed", "quiet", "unreadable"))


def _when(seen: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seen))


def at_work(rows: Sequence[tuple[str, str, Standing, pd.DataFrame, Trial | None]]) -> Table | None:
    """A row per launch that is at work: (name, address, standing, metrics, its trial)."""
    if not rows:
        return None
    made = []
    for name, href, standing, frame, trial in rows:
        value = _last(frame, "dev/pass@1") if trial is None else trial.value
        made.append(
            (
                Cell(name, href=href),
                state(standing.state),
                Cell(standing.progress),
                _figure("reward", _last(frame, "reward")),
                _figure("dev/pass@1", value),
                _figure("length", _last(frame, "length")),
                Cell(duration(standing.left), standing.left),
                Cell(ago(standing.seen), standing.seen),
            )
        )
    return Table(
        key="at-work",
        title="At work",
        caption="reward and length: of the last step; on dev: of the last evaluation.",
        columns=(
            Column("name", "Trial", "text"),
            Column("state", "State", "text"),
            Column("progress", "Progress", "text"),
            Column("reward", "reward"),
            Column("dev", "on dev"),
            Column("length", "length"),
            Column("left", "Left"),
            Column("seen", "Last sign of life"),
        ),
        rows=tuple(made),
    )


def _last(frame: pd.DataFrame, metric: str) -> float | None:
    values = frame[metric].dropna() if metric in frame else pd.Series(dtype=float)
    return None if values.empty else float(values.iloc[-1])


def _figure(metric: str, value: float | None) -> Cell:
    return Cell(shown(metric, value), value) if finite(value) else Cell("–")


def trials(sweep: Sweep, addresses: dict[int, str]) -> Table:
    """The report's table of trials, each leading to its last launch."""
    table = trials_table(sweep)
    rows = [
        (replace(row[0], href=addresses.get(trial.number, "")), *row[1:])
        for trial, row in zip(sweep.rows(), table.rows, strict=True)
    ]
    return replace(table, rows=tuple(rows))


def evaluations(found: Sequence[tuple[str, Path, str]]) -> Table | None:
    """A row per benchmark: (model, folder, address of its samples)."""
    rows = []
    for model, folder, href in found:
        scores = scores_of(folder)
        per = scores.get("samples_per_question") or {}
        rows.append(
            (
                Cell(printable(model), href=href),
                Cell(printable(folder.name)),
                Cell("done" if scores else "being sampled"),
                percent(scores.get("pass@1")),
                Cell(str(scores["questions"]), scores["questions"]) if "questions" in scores else Cell("–"),
                Cell(str(per["max"]), per["max"]) if "max" in per else Cell("–"),
                _share(scores, "unparsed"),
                _share(scores, "truncated"),
            )
        )
    if not rows:
        return None
    return Table(
        key="evaluations",
        title="Evaluations",
        caption="pass@1 in percent with its 95% interval. The model leads to every sample.",
        columns=(
            Column("model", "Model", "text", filter=True),
            Column("benchmark", "Benchmark", "text", filter=True),
            Column("state", "State", "text"),
            Column("pass@1", "pass@1", "interval"),
            Column("questions", "Questions"),
            Column("samples", "Samples each"),
            Column("unparsed", "Unparsed"),
            Column("truncated", "Truncated"),
        ),
        rows=tuple(rows),
    )


def _share(scores: dict[str, object], name: str) -> Cell:
    value = scores.get(name)
    return Cell(f"{100 * value:.1f}%", float(value)) if finite(value) else Cell("–")
