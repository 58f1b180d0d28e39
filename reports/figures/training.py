"""Learning curves: what each metric of metrics.jsonl did over training, for sweeps and for single runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import EngFormatter, MaxNLocator

from reports.figures import ahead, thin
from reports.figures.svg import (
    BLUE,
    FAINT,
    MOST_SERIES,
    ORANGE,
    SERIES,
    Entry,
    Figure,
    Panel,
    left_out,
    log_ticks,
    of_trial,
    series,
    slug,
    tag,
    within_share,
)
from reports.outlook import planned
from reports.study import Study, Sweep, Training


@dataclass(frozen=True)
class Curve:
    """A metric of metrics.jsonl as a panel: title, axis label with unit, scale (``zero``: from 0 up)."""

    metric: str
    title: str
    unit: str
    share: bool = False
    log: bool = False
    zero: bool = False


@dataclass(frozen=True)
class Line:
    """A run's metrics as a line: the ``entry`` of the key it belongs to, its ``name``, and whose it is.

    It is drawn with at most ``most`` points.
    """

    frame: pd.DataFrame
    entry: str
    name: str
    of: str = ""
    end: int | None = None
    """The last step that was planned, where it is known."""
    most: int = thin.POINTS


Look = tuple[str, str, str]
"""(colour, mark, line), as ``series`` gives them."""

CURVES = (
    Curve("dev/pass@1", "pass@1 on dev", "correct samples (%)", share=True),
    Curve("reward", "Reward", "mean reward per completion"),
    Curve("kl", "KL to the reference", "KL (nats per token)", log=True),
    Curve("entropy", "Entropy", "entropy (nats per token)"),
    Curve("length", "Length", "tokens per completion"),
    Curve("length/correct", "Length of right answers", "tokens per completion"),
    Curve("length/wrong", "Length of wrong answers", "tokens per completion"),
    Curve("reflection", "Reflection", "marker words per 1,000 tokens", zero=True),
    Curve("self_correction", "Wrong steps mended", "wrong steps of arithmetic (%)", share=True, zero=True),
    Curve("one_language", "One language", "words in the question's language (%)", share=True),
    Curve("clip_fraction", "Clipped ratios", "clipped tokens (%)", share=True, zero=True),
    Curve("truncated", "Truncated", "completions cut (%)", share=True, zero=True),
    Curve("zero_variance", "Groups of equal rewards", "groups (%)", share=True, zero=True),
    Curve("grad_norm", "Gradient norm", "norm before clipping", zero=True),
)


RESOURCES = (
    Curve("tokens/s", "Throughput", "tokens per second", zero=True),
    Curve("mfu", "Model FLOPs utilisation", "MFU (% of the peak)", share=True, zero=True),
    Curve("mfu/rollout", "MFU while sampling", "MFU (% of the peak)", share=True, zero=True),
    Curve("mfu/update", "MFU of the update", "MFU (% of the peak)", share=True, zero=True),
    Curve("memory_gib", "Device memory", "peak (GiB)", zero=True),
    Curve("seconds/step", "Time of a step", "seconds", zero=True),
)


def learning(sweep: Sweep, best: int | None = None) -> Figure | None:
    """Learning curves of a sweep: trials thin and grey, the chosen one bold, fresh seeds as a band.

    ``best`` is the trial to show while none is chosen: the best so far.
    """
    caption = "A line per trial. The bars on dev are 95% intervals from the evaluation's own standard error."
    return _of_sweep(sweep, best, CURVES, "learning", "Learning curves", caption)


def resources(sweep: Sweep, best: int | None = None) -> Figure | None:
    """What the trials made of the machine: tokens a second, MFU, memory, seconds a step."""
    return _of_sweep(sweep, best, RESOURCES, "resources", "Throughput, MFU and memory", RATES)


RATES = "Tokens per second are those sampled in a step over the seconds of its rollout, reward and update."


def _of_sweep(
    sweep: Sweep, best: int | None, curves: Sequence[Curve], key: str, title: str, caption: str
) -> Figure | None:
    winner, role = (best, "best so far") if sweep.chosen is None else (sweep.chosen, "the one chosen")
    fresh = [with_rates(run.metrics) for run in sweep.fresh if not run.metrics.empty]
    numbers = {trial.number for trial in sweep.shown()} or set(sweep.trials)
    frames = {number: with_rates(frame) for number, frame in sweep.trials.items()}
    others = [
        Line(frame, "other trials", f"trial {number}", of_trial(sweep, number))
        for number, frame in frames.items()
        if number != winner and number in numbers and not frame.empty
    ]
    chosen = None
    if winner is not None and winner in frames:
        entry = f"trial {winner}, {role}"
        chosen = Line(frames[winner], entry, entry, of_trial(sweep, winner), planned(sweep.experiment))
    shown = [*others, *([] if chosen is None else [chosen])]
    drawn, flat = _moving([*(line.frame for line in shown), *fresh], curves)
    most = thin.room(len(drawn) * (len(shown) + bool(fresh)))
    others = [replace(line, most=most) for line in others]
    chosen = None if chosen is None else replace(chosen, most=most)
    seeds = (
        "its settings, a fresh seed"
        if len(fresh) == 1
        else f"its settings, {len(fresh)} fresh seeds: mean and range"
    )
    panels = [
        Panel(
            f"{key}-{sweep.key}-{slug(curve.metric)}",
            curve.title,
            _alt_curve(curve, None if chosen is None else chosen.frame, fresh, len(others)),
            partial(_draw_learning, curve, others, chosen, fresh, seeds),
        )
        for curve in drawn
    ]
    if not panels:
        return None
    legend = [Entry("other trials", FAINT)] if others else []
    legend += [] if chosen is None else [Entry(chosen.entry, BLUE)]
    legend += [Entry(seeds, ORANGE, "band" if len(fresh) > 1 else "line")] if fresh else []
    if curves is CURVES and chosen is not None:
        caption += ahead.told([(chosen.name.capitalize(), chosen.frame, chosen.end)])
    caption += flat + thin.told(max((len(line.frame) for line in shown), default=0), most)
    return Figure(f"{key}-{sweep.key}", title, caption, tuple(panels), tuple(legend))


def runs(study: Study) -> Figure | None:
    """Learning curves of runs outside a sweep, a colour each, or one for all seeds of an arm."""
    return _of_runs(study, CURVES, "runs", "Learning curves", A_LINE)


def run_resources(study: Study) -> Figure | None:
    """What these runs made of the machine."""
    return _of_runs(study, RESOURCES, "run-resources", "Throughput, MFU and memory", RATES)


def _of_runs(study: Study, curves: Sequence[Curve], key: str, title: str, caption: str) -> Figure | None:
    groups = list(dict.fromkeys(run.group for run in study.runs if not run.metrics.empty))
    drawn_groups = groups[:MOST_SERIES]
    shown = [run for run in study.runs if not run.metrics.empty and run.group in drawn_groups]
    lines = [
        Line(with_rates(run.metrics), run.group, run.label, end=planned(run.experiment)) for run in shown
    ]
    if len(lines) > MOST_LINES and len(lines) > len(drawn_groups):
        lines = [_mean([line for line in lines if line.entry == group]) for group in drawn_groups]
        caption = f"{caption.replace(A_LINE, '')} {MEANS}".strip()
    drawn, flat = _moving([line.frame for line in lines], curves)
    most = thin.room(len(drawn) * len(lines))
    lines = [replace(line, most=most) for line in lines]
    looks = [series(groups.index(line.entry)) for line in lines]
    panels = [
        Panel(
            f"{key}-{slug(curve.metric)}",
            curve.title,
            f"{curve.title} against training step for {', '.join(line.name for line in lines)}.",
            partial(_draw_runs, curve, lines, looks),
        )
        for curve in drawn
    ]
    if not panels:
        return None
    caption += left_out(len(groups)) + flat
    legend = []
    for number, group in enumerate(drawn_groups):
        colour, _, mark = series(number)
        legend.append(Entry(group, colour, mark))
    if curves is CURVES and len(lines) <= MOST_AHEAD:
        caption += ahead.told([(line.name, line.frame, line.end) for line in lines])
    caption += thin.told(max(len(line.frame) for line in lines), most)
    return Figure(key, title, caption, tuple(panels), tuple(legend))


A_LINE = "A line per run."
MEANS = (
    "A line for each, the mean of its training seeds at the steps that all of them took; harness view draws "
    "each run by itself."
)
MOST_LINES = 12
"""Runs up to which each is a line of its own."""
MOST_AHEAD = 6
"""Runs up to which each has its forecast drawn."""


def _mean(seeds: Sequence[Line]) -> Line:
    """Runs that differ by their seed as one line."""
    rows = pd.concat([line.frame for line in seeds])
    by_step = rows.select_dtypes("number").drop(columns="step").groupby(rows["step"])
    frame = by_step.mean()[by_step.size() == len(seeds)].reset_index()
    several = f", mean of {len(seeds)} seeds" if len(seeds) > 1 else ""
    return replace(seeds[0], frame=frame, name=f"{seeds[0].entry}{several}")


def with_rates(frame: pd.DataFrame) -> pd.DataFrame:
    """A run's metrics with ``seconds/step`` and ``tokens/s``, where it logged what they are made of."""
    phases = [f"seconds/{name}" for name in ("rollout", "reward", "update") if f"seconds/{name}" in frame]
    if not phases:
        return frame
    seconds = frame[phases].sum(axis=1, min_count=1)
    rates = {"seconds/step": seconds}
    if "tokens" in frame:
        rates["tokens/s"] = frame["tokens"] / seconds.where(seconds > 0)
    return frame.assign(**rates)


def rewards(*trained: Training, key: str = "rewards") -> Figure | None:
    """What each reward function gave, a colour each, a panel a run; None where there are not several."""
    named = {run.label: run.metrics for run in trained if len(_functions(run.metrics)) > 1}
    names = list(dict.fromkeys(name for frame in named.values() for name in _functions(frame)))[: len(SERIES)]
    if not names:
        return None
    panels = [
        Panel(
            f"{key}-{slug(label)}" if len(named) > 1 else key,
            label if len(named) > 1 else "Reward by function",
            f"Mean of {', '.join(names)} against training step, {label}.",
            partial(_draw_rewards, frame, names, label),
        )
        for label, frame in named.items()
    ]
    legend = tuple(Entry(name.partition("/")[2], colour) for name, colour in zip(names, SERIES, strict=False))
    return Figure(key, "Reward by function", "Means per completion, unweighted.", tuple(panels), legend)


def sweep_rewards(sweep: Sweep) -> Figure | None:
    """Reward by function of the chosen trial's fresh seeds; of the trial itself where there are none."""
    chosen = sweep.chosen
    frame = sweep.trials.get(chosen) if chosen is not None else None
    own = [] if chosen is None or frame is None else [_trained(sweep, chosen, frame)]
    return rewards(*own, *sweep.fresh, key=f"rewards-{sweep.key}")


def _trained(sweep: Sweep, number: int, frame: pd.DataFrame) -> Training:
    label = f"trial {number}"
    return Training(label, label, sweep.folder, frame, sweep.state, "", {}, None)


def _functions(frame: pd.DataFrame) -> list[str]:
    return [str(name) for name in frame.columns if str(name).startswith("reward/")]


def _draw_rewards(frame: pd.DataFrame, names: Sequence[str], label: str, canvas: Canvas) -> None:
    curve = Curve("reward", label, "mean per completion")
    axes = _axes(canvas, curve)
    for name, colour in zip(names, SERIES, strict=False):
        function = name.partition("/")[2]
        _line(axes, Line(frame, function, function), Curve(name, name, ""), colour, 1.6)
    _finish(axes, curve)


def _moving(frames: Sequence[pd.DataFrame], curves: Sequence[Curve]) -> tuple[list[Curve], str]:
    """The curves worth a panel, and a sentence on those that are 0 throughout."""
    drawn: list[Curve] = []
    flat: list[Curve] = []
    for curve in curves:
        values = [frame[curve.metric].dropna() for frame in frames if curve.metric in frame]
        if any(len(column) for column in values):
            (drawn if any((column != 0).any() for column in values) else flat).append(curve)
    names = ", ".join(curve.title.lower() for curve in flat)
    return drawn, f" Zero throughout, and not drawn: {names}." if flat else ""


def _draw_learning(
    curve: Curve,
    others: Sequence[Line],
    chosen: Line | None,
    fresh: Sequence[pd.DataFrame],
    seeds_entry: str,
    canvas: Canvas,
) -> None:
    axes = _axes(canvas, curve)
    for line in others:
        _line(axes, line, curve, FAINT, 0.9)
    seeds = [frame.set_index("step")[curve.metric].dropna() for frame in fresh if curve.metric in frame]
    if seeds:
        table = pd.concat(seeds, axis=1).dropna() * (100 if curve.share else 1)
        table = table[(table > 0).all(axis=1)] if curve.log else table
        if len(table.columns) > 1:
            band = axes.fill_between(
                table.index, table.min(axis=1), table.max(axis=1), color=ORANGE, alpha=0.3, lw=0, zorder=3
            )
            tag(band, entry=seeds_entry)
        mean = axes.plot(table.index, table.mean(axis=1), color=ORANGE, lw=1.4, zorder=4)
        told = "fresh seed" if len(seeds) == 1 else f"mean of {len(seeds)} fresh seeds"
        tag(*mean, entry=seeds_entry, curve=told)
    if chosen is not None:
        _line(axes, chosen, curve, BLUE, 2.0)
        _error_bars(axes, chosen, curve)
        ahead.draw(axes, chosen.frame, curve.metric, BLUE, chosen.end, chosen.of, chosen.entry)
    _finish(axes, curve)


def _draw_runs(curve: Curve, lines: Sequence[Line], looks: Sequence[Look], canvas: Canvas) -> None:
    axes = _axes(canvas, curve)
    for line, (colour, _, mark) in zip(lines, looks, strict=True):
        width = 1.6 if len(lines) <= MOST_AHEAD else 1.1
        _line(axes, line, curve, colour, width, "--" if mark == "dash" else "-")
        if len(lines) <= MOST_AHEAD:
            ahead.draw(axes, line.frame, curve.metric, colour, line.end, line.of, line.entry)
    _finish(axes, curve)


def _axes(canvas: Canvas, curve: Curve) -> Axes:
    axes = canvas.add_subplot()
    axes.set_title(curve.title)
    axes.set_xlabel("training step")
    axes.set_ylabel(curve.unit)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    if curve.log:
        axes.set_yscale("log")
    return axes


def _finish(axes: Axes, curve: Curve) -> None:
    """Limits and labels of the axes, once all is drawn.

    A curve that is constant or near zero must not look wild: its axis starts at 0, as a single step's does.
    """
    if axes.dataLim.width == 0:
        last = max(axes.dataLim.x1, 1)
        axes.set_xlim(-0.05 * last, 1.05 * last)
    if curve.log:
        log_ticks(axes.yaxis)
    if curve.zero:
        axes.set_ylim(0, max(1.05 * axes.get_ylim()[1], 0.1))
        if axes.get_ylim()[1] >= 10_000:
            axes.yaxis.set_major_formatter(EngFormatter(sep=""))  # 20k


def _line(axes: Axes, line: Line, curve: Curve, colour: str, width: float, style: str = "-") -> None:
    frame = line.frame
    if curve.metric not in frame:
        return
    points = frame[["step", curve.metric]].dropna()
    values = points[curve.metric] * (100 if curve.share else 1)
    if curve.log:
        values = values.where(values > 0)
    height = np.log(values) if curve.log else values
    kept = thin.kept(points["step"].to_numpy(), height.to_numpy(float), line.most)
    marker = "o" if len(points) < 2 else None
    drawn = axes.plot(
        points["step"].iloc[kept], values.iloc[kept], style, color=colour, lw=width, zorder=2 + width,
        marker=marker, ms=3,
    )  # fmt: skip
    tag(*drawn, of=line.of, entry=line.entry, curve=line.name)


def _error_bars(axes: Axes, line: Line, curve: Curve) -> None:
    frame = line.frame
    if curve.metric != "dev/pass@1" or "dev/stderr" not in frame or curve.metric not in frame:
        return
    points = frame[["step", curve.metric, "dev/stderr"]].dropna()
    values, reach = 100 * points[curve.metric], 196 * points["dev/stderr"]
    bars = axes.errorbar(
        points["step"], values, yerr=within_share(values, reach), fmt="none", ecolor=BLUE, elinewidth=1.0,
        zorder=5,
    )  # fmt: skip
    tag(*bars.get_children(), of=line.of, entry=line.entry)


def _alt_curve(curve: Curve, chosen: pd.DataFrame | None, fresh: Sequence[pd.DataFrame], others: int) -> str:
    text = f"{curve.title} ({curve.unit}) against training step for {others} trials"
    if chosen is None or curve.metric not in chosen:
        return text + "."
    values = chosen[curve.metric].dropna() * (100 if curve.share else 1)
    if values.empty:
        return text + "."
    text += f"; the chosen trial goes from {values.iloc[0]:.3g} to {values.iloc[-1]:.3g}"
    return text + (f", with {len(fresh)} fresh seeds as a band." if fresh else ".")
