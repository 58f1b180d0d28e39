"""Completions that training kept, by stage: the newest, those with the highest reward, those with the lowest.

The first thing to look at where a reward rises and the dev set does not: what is paid for can be read here.
"""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from evals.base import io
from evals.base.text import printable
from reports.samples.shown import Shown, shown
from reports.study import Study, Sweep, Training

RUNS, EACH = 4, 3
"""Runs whose completions are shown, and completions of each kind and stage."""
LONGEST = 3000
"""Characters of one of them."""

KINDS = ("highest reward", "lowest reward", "newest")


@dataclass(frozen=True)
class StageView:
    """What a run wrote in one of its stages: (kind, completions); ``stage`` is "" where it has only one."""

    run: str
    stage: str
    kinds: tuple[tuple[str, tuple[Shown, ...]], ...]


def completions(study: Study) -> list[StageView]:
    """The stages of up to ``RUNS`` runs that kept completions: single runs, a sweep's first fresh seed."""
    runs = [*study.in_turn(), *(run for sweep in study.sweeps if (run := _of_sweep(sweep)) is not None)]
    found: list[StageView] = []
    shown_runs = 0
    for run in runs:
        views = _stages(run)
        found += views
        shown_runs += bool(views)
        if shown_runs == RUNS:
            break
    return found


def _of_sweep(sweep: Sweep) -> Training | None:
    """The first training of the chosen settings with a fresh seed; where there is none, the trial itself."""
    if sweep.fresh:
        label = f"{sweep.name}, trial {sweep.chosen} trained again with {sweep.fresh[0].label}"
        return replace(sweep.fresh[0], label=label, group=label)
    trial = next((row for row in sweep.rows() if row.number == sweep.chosen and row.run), None)
    if trial is None:
        return None
    label, metrics = f"{sweep.name}, trial {trial.number}", sweep.trials.get(trial.number, pd.DataFrame())
    return Training(label, label, sweep.folder / trial.run, metrics, sweep.state, "", {}, None)


def _stages(run: Training) -> list[StageView]:
    by_stage: dict[str, list[dict[str, Any]]] = {}
    stage_of = _stage_names(run)
    for row in _rows(run.folder / "samples.jsonl"):
        by_stage.setdefault(stage_of.get(row["step"], ""), []).append(row)
    several = len(by_stage) > 1
    label = run.label if run.label.startswith(run.group) else f"{run.group}, {run.label}"
    return [
        StageView(printable(label), printable(stage) if several else "", _kinds(rows))
        for stage, rows in by_stage.items()
    ]


def _stage_names(run: Training) -> Mapping[int, str]:
    """The stage that each step belongs to, as metrics.jsonl has it."""
    if run.metrics.empty:
        return {}
    return dict(zip(run.metrics["step"].astype(int), run.metrics["stage"].astype(str), strict=True))


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    """The completions in a run's samples.jsonl that can be read."""
    if not path.is_file():
        return
    for row in io.readable_lines(path):
        if "id" in row and isinstance(row.get("step"), int) and isinstance(row.get("response"), str):
            yield row


def _kinds(rows: Sequence[dict[str, Any]]) -> tuple[tuple[str, tuple[Shown, ...]], ...]:
    """Each completion under the first kind that it is one of."""
    scored = [(reward, row) for row in rows if (reward := io.number(row.get("reward"))) is not None]
    best = heapq.nlargest(EACH, scored, key=lambda each: each[0])
    worst = heapq.nsmallest(EACH, scored, key=lambda each: each[0])
    chosen = {
        "highest reward": [row for _, row in best],
        "lowest reward": [row for _, row in worst],
        "newest": list(rows)[-EACH:][::-1],
    }
    seen: set[str] = set()
    told = []
    for kind in KINDS:
        fresh = []
        for row in chosen[kind]:
            key = json.dumps(row, sort_keys=True, default=str)
            if key not in seen:
                seen.add(key)
                fresh.append(shown(row, None, LONGEST))
        if fresh:
            told.append((kind, tuple(fresh)))
    return tuple(told)
