"""A sweep's objective against what it costs: the finished trials, and those that no other beats."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial

from matplotlib.figure import Figure as Canvas

from harness.sweep.attempts import LAST_STEPS
from harness.sweep.evaluation import is_share
from harness.sweep.summary import Trial
from reports.figures.svg import BLUE, FAINT, MUTED, Entry, Figure, Panel, of_trial, slug, tag
from reports.figures.sweep import told
from reports.measures import objective
from reports.study import Sweep


def pareto(sweep: Sweep) -> list[Figure]:
    """The objective against each further one, with the trials that no other beats.

    A sweep of one objective shows it against the length of a completion.
    """
    others = sweep.other_objectives or {"length": "minimize"}
    return [figure for name, way in others.items() if (figure := _pareto(sweep, name, way == "minimize"))]


def _pareto(sweep: Sweep, metric: str, less_is_better: bool) -> Figure | None:
    points = {}
    for trial in sweep.rows():
        cost = _final(sweep, trial, metric)
        usable = trial.state == "complete" and trial.feasible
        if usable and trial.value is not None and cost is not None:
            points[trial.number] = (cost, trial.value)
    if len(points) < 2:
        return None
    sign = 1 if less_is_better else -1
    costs = {number: (sign * cost, value) for number, (cost, value) in points.items()}
    best = {costs[n] for n in undominated(costs, maximize=sweep.summary.direction != "minimize")}
    front = sorted((n for n in points if costs[n] in best), key=lambda n: costs[n])  # equals of the best, too
    what, unit = ("tokens per completion", "tokens") if metric == "length" else (metric, metric)
    unbeaten = "; ".join(
        f"trial {number} {objective(sweep, points[number][1])} at {points[number][0]:.4g} {unit}"
        for number in front
    )
    key = f"pareto-{sweep.key}" + ("" if metric == "length" else f"-{slug(metric)}")
    panel = Panel(
        key,
        f"{sweep.objective} and {what}",
        f"{sweep.objective} of {len(points)} finished trials against {what}; not beaten: {unbeaten}.",
        partial(_draw_pareto, sweep, points, front, what),
        (9.2, 3.2),
    )
    up = "down" if sweep.summary.direction == "minimize" else "up"
    side = "left" if less_is_better else "right"
    within = " within the constraints" if sweep.summary.constraints else ""
    at_end = "at the last evaluation" if metric.startswith("dev/") else f"over the last {LAST_STEPS} steps"
    return Figure(
        key,
        f"Pareto front: {sweep.objective} and {'length' if metric == 'length' else metric}",
        f"Finished trials{within}, {what} {at_end}. The line joins those that no other "
        f"trial beats: none is as good in both and better in one. {up.title()} and to the {side} is better.",
        (panel,),
        (Entry("on the front", BLUE, "dot"), Entry("beaten", FAINT, "dot")),
        wide=True,
    )


def undominated(points: Mapping[int, tuple[float, float]], maximize: bool = True) -> list[int]:
    """The keys of (cost, value) that no other point beats or equals in both, by rising cost."""
    sign = 1 if maximize else -1
    front: list[int] = []
    best = -math.inf
    for key, (_, value) in sorted(points.items(), key=lambda item: (item[1][0], -sign * item[1][1])):
        if sign * value > best:
            front.append(key)
            best = sign * value
    return front


def _final(sweep: Sweep, trial: Trial, metric: str) -> float | None:
    """A metric at the end of a trial: as the sweep judged it, or from what the trial logged."""
    judged = trial.metrics.get(metric)
    if judged is not None:
        return float(judged)
    frame = sweep.trials.get(trial.number)
    if frame is None or metric not in frame:
        return None
    last = frame[metric].dropna().tail(1 if metric.startswith("dev/") else LAST_STEPS)
    return None if last.empty else float(last.mean())


def _draw_pareto(
    sweep: Sweep,
    points: Mapping[int, tuple[float, float]],
    front: Sequence[int],
    what: str,
    canvas: Canvas,
) -> None:
    axes = canvas.add_subplot()
    scale = 100 if is_share(sweep.objective) else 1
    on = [points[number] for number in front]
    tag(
        *axes.plot([x for x, _ in on], [scale * y for _, y in on], color=BLUE, lw=1.2, zorder=2),
        entry="on the front",
    )
    trials = {trial.number: trial for trial in sweep.rows()}
    for number, (x, y) in points.items():
        colour = BLUE if number in front else FAINT
        (point,) = axes.plot([x], [scale * y], "o", color=colour, ms=7, zorder=3)
        text = axes.annotate(
            str(number), (x, scale * y), (6, 5), textcoords="offset points", fontsize=8, color=MUTED
        )
        of, entry = of_trial(sweep, number), "on the front" if number in front else "beaten"
        tag(point, of=of, entry=entry, tip=f"{told(sweep, trials[number])} · {what} {x:.4g}")
        tag(text, of=of, entry=entry)
    axes.margins(0.06, 0.14)
    axes.set_xlabel(f"{what} (mean)")
    axes.set_ylabel(sweep.objective + (" (%)" if is_share(sweep.objective) else ""))
