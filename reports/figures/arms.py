"""Accuracy against what training took, an arm a colour: distillation beside reinforcement learning, say.

An arm is the runs that differ by their training seed alone, each with its evaluation (``RUN/evals/final``).
The cost is model FLOPs, the answers that a run sampled (a teacher's too) included; for runs that logged
none, the time between the first and the last line of metrics.jsonl.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import pandas as pd
from matplotlib.figure import Figure as Canvas

from harness.train.ledger import FLOPS
from reports.costs import sampled_stages
from reports.figures import thin
from reports.figures.svg import (
    INK,
    MARKS,
    MOST_SERIES,
    Entry,
    Figure,
    Panel,
    label,
    left_out,
    series,
    slug,
    tag,
)
from reports.study import Evaluation, Study, Training

TERA = 1e12

MOST_MARKED = 6
"""Runs up to which every evaluation on the way has its mark."""
APART = 0.012
"""How far points stand apart sideways, as a share of the axis."""


@dataclass(frozen=True)
class Arm:
    """One run on one benchmark: what it took, pass@1 with its 95% interval as fractions of 1.

    ``cost`` is in TFLOPs, or in minutes of training where ``unit`` says so.
    """

    label: str
    group: str
    cost: float
    unit: str
    value: float
    low: float
    high: float


def arms(study: Study) -> Mapping[str, Sequence[Arm]]:
    """Benchmark -> the runs that were trained and evaluated on it, with what they took."""
    trained = [run for run in study.runs if not run.metrics.empty]
    unit = "TFLOPs" if trained and all(_counted(run) for run in trained) else "minutes"
    costs = {run.folder.resolve(): _cost(run, unit) for run in study.runs}
    labels = {run.folder.resolve(): run.label for run in study.runs}
    found: dict[str, list[Arm]] = {}
    for evaluation in study.evaluations:
        run = next((folder for folder in costs if folder in evaluation.folder.resolve().parents), None)
        if run is None or math.isnan(costs[run]) or math.isnan(evaluation.value):
            continue
        low, high = _bounds(evaluation)
        found.setdefault(evaluation.benchmark, []).append(
            Arm(labels[run], evaluation.group, costs[run], unit, evaluation.value, low, high)
        )
    return found


def figure(study: Study) -> Figure | None:
    """The dev questions along the way, where they were asked, and each benchmark with two runs or more."""
    measured = arms(study)
    found = {name: measured[name] for name in study.benchmarks() if len(measured.get(name, ())) > 1}
    every_group = list(dict.fromkeys(arm.group for shown in found.values() for arm in shown))
    groups = every_group[:MOST_SERIES]
    if not found:
        return None
    unit = next(iter(found.values()))[0].unit
    panels = []
    curves = _curves(study, found, groups, unit)
    if len(curves) > 1:
        told = "; ".join(
            f"{group} ends at {100 * float(value.iloc[-1]):.1f}%" for group, _cost, value in curves
        )
        alt = f"pass@1 on the dev questions against {unit} of training: {told}."
        panels.append(Panel("arms-dev", "dev questions", alt, partial(_draw_curves, curves, groups, unit)))
    for benchmark, measured_here in found.items():
        shown = [arm for arm in measured_here if arm.group in groups]
        told = "; ".join(f"{arm.label} {100 * arm.value:.1f}% after {arm.cost:.1f} {unit}" for arm in shown)
        alt = f"pass@1 on {benchmark} against {unit} of training: {told}."
        draw = partial(_draw, benchmark, shown, groups)
        panels.append(Panel(f"arms-{slug(benchmark)}", benchmark, alt, draw))
    legend = [Entry(group, *series(number)[:2]) for number, group in enumerate(groups)]
    counted = (
        "what the model's mathematics takes, sampled answers and those of a teacher included"
        if unit == "TFLOPs"
        else "the time from a run's first to its last training step, so machines are mixed up"
    )
    return Figure(
        "arms",
        "Accuracy against compute" if unit == "TFLOPs" else "Accuracy against training time",
        f"A point per run: pass@1 with its 95% interval, against {unit} of training: {counted}. "
        "Equal budgets fall on one place, so points stand a little apart sideways. "
        "A line per run shows the dev questions on the way." + left_out(len(every_group)),
        tuple(panels),
        tuple(legend),
    )


Line = tuple[str, pd.Series, pd.Series]
"""An arm's name, cumulative cost, and pass@1 on the dev questions at that cost."""


def _curves(study: Study, found: Mapping[str, Sequence[Arm]], groups: Sequence[str], unit: str) -> list[Line]:
    group_of = {arm.label: arm.group for shown in found.values() for arm in shown}
    lines = []
    for run in study.runs:
        group = group_of.get(run.label)
        if group not in groups or "dev/pass@1" not in run.metrics:
            continue
        at = run.metrics["dev/pass@1"].notna()
        lines.append((str(group), _spent(run, unit)[at], run.metrics["dev/pass@1"][at]))
    return lines


def _draw_curves(lines: Sequence[Line], groups: Sequence[str], unit: str, canvas: Canvas) -> None:
    axes = canvas.add_subplot()
    axes.set_title("dev questions")
    most = thin.room(4 * len(lines))
    marked = len(lines) <= MOST_MARKED
    for group, cost, value in lines:
        colour, mark, line = series(groups.index(group))
        style = "--" if line == "dash" else "-"
        kept = thin.kept(cost.to_numpy(float), value.to_numpy(float), most)
        drawn = axes.plot(
            cost.iloc[kept], 100 * value.iloc[kept], style, color=colour,
            marker=MARKS[mark] if marked else None, ms=3, lw=1,
        )  # fmt: skip
        tag(*drawn, entry=group, curve=group)
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    axes.set_xlabel(f"training ({unit})")
    axes.set_ylabel("pass@1 (%)")


def _draw(benchmark: str, shown: Sequence[Arm], groups: Sequence[str], canvas: Canvas) -> None:
    axes = canvas.add_subplot()
    axes.set_title(label(benchmark))
    widest = 1.15 * max(arm.cost for arm in shown) or 1.0
    for number, arm in enumerate(sorted(shown, key=lambda arm: groups.index(arm.group))):
        colour, mark, _ = series(groups.index(arm.group))
        aside = APART * widest * (number - (len(shown) - 1) / 2)
        reach = [[100 * (arm.value - arm.low)], [100 * (arm.high - arm.value)]]
        drawn = axes.errorbar(
            [arm.cost + aside], [100 * arm.value], yerr=None if math.isnan(arm.low) else reach,
            fmt=MARKS[mark], color=colour, ms=5, elinewidth=1.2, markeredgecolor=INK, markeredgewidth=0.3,
        )  # fmt: skip
        interval = "" if math.isnan(arm.low) else f" [{100 * arm.low:.1f}, {100 * arm.high:.1f}]"
        point, *bars = drawn.get_children()
        told = f"{arm.label}: {100 * arm.value:.1f}%{interval} after {arm.cost:.4g} {arm.unit}"
        tag(point, entry=arm.group, tip=told)
        tag(*bars, entry=arm.group)
    axes.set_xlim(0, widest)
    axes.set_ylim(bottom=0)
    axes.set_xlabel(f"training ({shown[0].unit})")
    axes.set_ylabel("pass@1 (%)")


def _counted(run: Training) -> bool:
    """Whether the run says what it took in FLOPs."""
    return "flops/update" in run.metrics


def _cost(run: Training, unit: str) -> float:
    if run.metrics.empty or "time" not in run.metrics:
        return math.nan
    return float(_spent(run, unit).iloc[-1])


def _spent(run: Training, unit: str) -> pd.Series:
    """What training had taken at each line of metrics.jsonl; sampled answers count from the start."""
    if unit == "minutes":
        times: pd.Series = run.metrics["time"]
        elapsed: pd.Series = (times - times.min()) / 60
        return elapsed
    logged = run.metrics.reindex(columns=list(FLOPS)).fillna(0.0)
    sampled = sum(stage.flops for stage in sampled_stages(run))
    spent: pd.Series = (logged.sum(axis=1).cumsum() + sampled) / TERA
    return spent


def _bounds(evaluation: Evaluation) -> tuple[float, float]:
    low, high = (evaluation.scores.get("pass@1") or {}).get("ci95") or (math.nan, math.nan)
    return float(low), float(high)
