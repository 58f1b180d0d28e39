"""Learning curves: what each metric of metrics.jsonl did over training, for sweeps and for single runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import FuncFormatter, MaxNLocator

from reports.figures.svg import BLUE, FAINT, ORANGE, SERIES, Entry, Figure, Panel, plain, slug
from reports.outlook import Track, horizon_of, planned, sentence
from reports.study import Study, Sweep, Training

FORECAST = ("dev/pass@1", "reward")
"""Metrics whose way ahead is drawn; the others have no height that they are heading for."""
WORTH = 0.01
"""The least gain worth going on for, as the forecast command has it."""
MEASURED = 3
"""From so many evaluations on there is a forecast to draw."""
MOST_TOLD = 4
"""Runs of whose forecasts the caption tells."""


@dataclass(frozen=True)
class Curve:
    """A metric of metrics.jsonl as a panel: title, axis label with unit, scale (``zero``: from 0 up)."""

    metric: str
    title: str
    unit: str
    share: bool = False
    log: bool = False
    zero: bool = False


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


def learning(sweep: Sweep, best: int | None = None) -> Figure | None:
    """Learning curves of a sweep: trials thin and grey, the chosen one bold, fresh seeds as a band.

    ``best`` is the trial to show while none is chosen: the best so far.
    """
    winner, role = (best, "best so far") if sweep.chosen is None else (sweep.chosen, "the one chosen")
    fresh = [run.metrics for run in sweep.fresh if not run.metrics.empty]
    numbers = {trial.number for trial in sweep.shown()} or set(sweep.trials)
    others = [
        f for number, f in sweep.trials.items() if number != winner and number in numbers and not f.empty
    ]
    chosen = sweep.trials.get(winner) if winner is not None else None
    drawn, flat = _moving([*others, *fresh, *([] if chosen is None else [chosen])])
    panels = [
        Panel(
            f"learning-{sweep.key}-{slug(curve.metric)}",
            curve.title,
            _alt_curve(curve, chosen, fresh, others),
            partial(_draw_learning, curve, others, chosen, fresh, planned(sweep.experiment)),
        )
        for curve in drawn
    ]
    if not panels:
        return None
    legend = [Entry("other trials", FAINT)]
    legend += [] if chosen is None else [Entry(f"trial {winner}, {role}", BLUE)]
    seeds = f"its settings, {len(fresh)} fresh seeds: mean and range"
    legend += [Entry(seeds, ORANGE, "band")] if fresh else []
    caption = "A line per trial. The bars on dev are 95% intervals from the evaluation's own standard error."
    if chosen is not None:
        caption += _ahead([(f"trial {winner}", chosen, planned(sweep.experiment))])
    return Figure(f"learning-{sweep.key}", "Learning curves", caption + flat, tuple(panels), tuple(legend))


def runs(study: Study) -> Figure | None:
    """Learning curves of runs outside a sweep, a colour each, or one for all seeds of an arm."""
    groups = list(dict.fromkeys(run.group for run in study.runs if not run.metrics.empty))[: len(SERIES)]
    shown = [run for run in study.runs if not run.metrics.empty and run.group in groups]
    colours = [SERIES[groups.index(run.group)] for run in shown]
    ends = [planned(run.experiment) for run in shown]
    drawn, flat = _moving([run.metrics for run in shown])
    panels = [
        Panel(
            f"runs-{slug(curve.metric)}",
            curve.title,
            f"{curve.title} against training step for {', '.join(run.label for run in shown)}.",
            partial(_draw_runs, curve, [run.metrics for run in shown], colours, ends),
        )
        for curve in drawn
    ]
    if not panels:
        return None
    legend = tuple(Entry(group, colour) for group, colour in zip(groups, SERIES, strict=False))
    caption = "A line per run." + _ahead([(r.label, r.metrics, e) for r, e in zip(shown, ends, strict=True)])
    return Figure("runs", "Learning curves", caption + flat, tuple(panels), legend)


def rewards(run: Training) -> Figure | None:
    """What each reward function gave, a colour each; None where there are not several."""
    names = [name for name in run.metrics.columns if str(name).startswith("reward/")][: len(SERIES)]
    if len(names) < 2:
        return None
    panel = Panel(
        "rewards",
        "Reward by function",
        f"Mean of {', '.join(names)} against training step.",
        partial(_draw_rewards, run.metrics, names),
    )
    legend = tuple(Entry(name.partition("/")[2], colour) for name, colour in zip(names, SERIES, strict=False))
    return Figure("rewards", "Reward by function", "Means per completion, unweighted.", (panel,), legend)


def _draw_rewards(frame: pd.DataFrame, names: Sequence[str], canvas: Canvas) -> None:
    axes = _axes(canvas, Curve("reward", "Reward by function", "mean per completion"))
    for name, colour in zip(names, SERIES, strict=False):
        _line(axes, frame, Curve(name, name, ""), colour, 1.6)


def _moving(frames: Sequence[pd.DataFrame]) -> tuple[list[Curve], str]:
    """The curves worth a panel, and a sentence on those that are 0 throughout."""
    drawn: list[Curve] = []
    flat: list[Curve] = []
    for curve in CURVES:
        values = [frame[curve.metric].dropna() for frame in frames if curve.metric in frame]
        if any(len(column) for column in values):
            (drawn if any((column != 0).any() for column in values) else flat).append(curve)
    names = ", ".join(curve.title.lower() for curve in flat)
    return drawn, f" Zero throughout, and not drawn: {names}." if flat else ""


def _draw_learning(
    curve: Curve,
    others: Sequence[pd.DataFrame],
    chosen: pd.DataFrame | None,
    fresh: Sequence[pd.DataFrame],
    end: int | None,
    canvas: Canvas,
) -> None:
    axes = _axes(canvas, curve)
    for frame in others:
        _line(axes, frame, curve, FAINT, 0.9)
    seeds = [frame.set_index("step")[curve.metric].dropna() for frame in fresh if curve.metric in frame]
    if seeds:
        table = pd.concat(seeds, axis=1).dropna() * (100 if curve.share else 1)
        table = table[(table > 0).all(axis=1)] if curve.log else table
        if len(table.columns) > 1:
            axes.fill_between(
                table.index, table.min(axis=1), table.max(axis=1), color=ORANGE, alpha=0.3, lw=0, zorder=3
            )
        axes.plot(table.index, table.mean(axis=1), color=ORANGE, lw=1.4, zorder=4)
    if chosen is not None:
        _line(axes, chosen, curve, BLUE, 2.0)
        _error_bars(axes, chosen, curve)
        _forecast(axes, chosen, curve, BLUE, end)
    _from_zero(axes, curve)


def _draw_runs(
    curve: Curve,
    frames: Sequence[pd.DataFrame],
    colours: Sequence[str],
    ends: Sequence[int | None],
    canvas: Canvas,
) -> None:
    axes = _axes(canvas, curve)
    for frame, colour, end in zip(frames, colours, ends, strict=True):
        _line(axes, frame, curve, colour, 1.6)
        _forecast(axes, frame, curve, colour, end)
    _from_zero(axes, curve)


def _axes(canvas: Canvas, curve: Curve) -> Axes:
    axes = canvas.add_subplot()
    axes.set_title(curve.title)
    axes.set_xlabel("training step")
    axes.set_ylabel(curve.unit)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    if curve.log:
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(FuncFormatter(plain))
    return axes


def _from_zero(axes: Axes, curve: Curve) -> None:
    """A curve that is constant or near zero must not look wild: its axis starts at 0."""
    if curve.zero:
        axes.set_ylim(0, max(1.05 * axes.get_ylim()[1], 0.1))


def _line(axes: Axes, frame: pd.DataFrame, curve: Curve, colour: str, width: float) -> None:
    if curve.metric not in frame:
        return
    points = frame[["step", curve.metric]].dropna()
    values = points[curve.metric] * (100 if curve.share else 1)
    if curve.log:
        values = values.where(values > 0)
    marker = "o" if len(points) < 2 else None
    axes.plot(points["step"], values, color=colour, lw=width, zorder=2 + width, marker=marker, ms=3)


def _forecast(axes: Axes, frame: pd.DataFrame, curve: Curve, colour: str, end: int | None) -> None:
    """The 80% interval of what is to come."""
    track = _track(frame, curve.metric)
    if track is None:
        return
    band = track.band(horizon_of(track.step, end))
    scale = 100 if curve.share else 1
    axes.fill_between(
        band["step"], scale * band["low"], scale * band["high"], color=colour, alpha=0.12, lw=0, zorder=1
    )
    axes.plot(band["step"], scale * band["middle"], color=colour, lw=1.0, ls=(0, (3, 2)), zorder=2)


def _track(frame: pd.DataFrame, metric: str) -> Track | None:
    """None where there is nothing to forecast from."""
    if metric not in FORECAST or metric not in frame or frame[metric].count() < MEASURED:
        return None
    return Track(frame, metric)


def _ahead(runs: Sequence[tuple[str, pd.DataFrame, int | None]]) -> str:
    """What the bands are, and whether it is worth going on; "" where there is no band."""
    tracks = [
        (label, next((t for m in FORECAST if (t := _track(frame, m)) is not None), None), end)
        for label, frame, end in runs
    ]
    told = [
        f" {label}: {sentence(track.outlook(horizon_of(track.step, end), WORTH))}"
        for label, track, end in tracks
        if track is not None
    ]
    if not told:
        return ""
    return " Shaded: the forecast, an 80% interval." + "".join(told[:MOST_TOLD])


def _error_bars(axes: Axes, frame: pd.DataFrame, curve: Curve) -> None:
    if curve.metric != "dev/pass@1" or "dev/stderr" not in frame or curve.metric not in frame:
        return
    points = frame[["step", curve.metric, "dev/stderr"]].dropna()
    axes.errorbar(
        points["step"], 100 * points[curve.metric], yerr=196 * points["dev/stderr"], fmt="none", ecolor=BLUE,
        elinewidth=1.0, zorder=5,
    )  # fmt: skip


def _alt_curve(
    curve: Curve, chosen: pd.DataFrame | None, fresh: Sequence[pd.DataFrame], others: Sequence[pd.DataFrame]
) -> str:
    text = f"{curve.title} ({curve.unit}) against training step for {len(others)} trials"
    if chosen is None or curve.metric not in chosen:
        return text + "."
    values = chosen[curve.metric].dropna() * (100 if curve.share else 1)
    if values.empty:
        return text + "."
    text += f"; the chosen trial goes from {values.iloc[0]:.3g} to {values.iloc[-1]:.3g}"
    return text + (f", with {len(fresh)} fresh seeds as a band." if fresh else ".")
