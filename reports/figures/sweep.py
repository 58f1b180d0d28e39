"""A sweep in pictures: how far each trial went, what each setting did, which ones mattered."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.artist import Artist
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import MaxNLocator

from harness.sweep.evaluation import is_share
from harness.sweep.summary import Trial
from reports.cells import significant
from reports.figures.svg import (
    BLUE,
    FAINT,
    GREEN,
    INK,
    MUTED,
    RULE,
    SKY,
    VERMILION,
    Entry,
    Figure,
    Panel,
    label,
    log_ticks,
    of_trial,
    slug,
    tag,
    tag_brush,
    within_share,
)
from reports.measures import choice, objective, recorded, setting_names, short
from reports.study import Sweep

STATES = {
    "complete": (BLUE, "o", "ran to the end", "dot"),
    "pruned": (VERMILION, "X", "pruned", "cross"),
    "failed": (INK, "s", "failed", "square"),
    "running": (GREEN, "^", "running", "triangle"),
}


def _state_legend(sweep: Sweep) -> tuple[Entry, ...]:
    present = {trial.state for trial in sweep.rows()}
    return tuple(Entry(text, colour, mark) for s, (colour, _, text, mark) in STATES.items() if s in present)


def told(sweep: Sweep, trial: Trial) -> str:
    """A trial in a line: how it ended, its objective, its settings."""
    value = "" if trial.value is None else f"{sweep.objective} {objective(sweep, trial.value)}"
    if value and trial.stderr is not None and is_share(sweep.objective):
        value += f" ± {100 * 1.96 * trial.stderr:.1f}"
    settings = ", ".join(f"{short(name)} {_setting(known)}" for name, known in trial.params.items())
    chosen = ", chosen" if trial.number == sweep.chosen else ""
    return " · ".join(
        filter(None, (f"trial {trial.number}: {STATES[trial.state][2]}{chosen}", value, settings))
    )


def _setting(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else choice(value)


def timeline(sweep: Sweep) -> Figure | None:
    """A bar per trial: how far it went, what dev said on the way, how it ended."""
    rows = sweep.shown()
    if not rows:
        return None
    pruned = [f"trial {t.number} at step {_reach(sweep, t)}" for t in rows if t.state == "pruned"]
    alt = f"{len(rows)} trials by how many steps each ran; pruned: {', '.join(pruned) or 'none'}."
    height = 0.9 + 0.26 * len(rows)
    left_out = (
        f" Of {len(sweep.rows())} trials the best {len(rows)}." if len(rows) < len(sweep.rows()) else ""
    )
    panel = Panel(f"timeline-{sweep.key}", "Trials", alt, partial(_draw_timeline, sweep), (9.2, height))
    return Figure(
        f"timeline-{sweep.key}",
        "Timeline of trials",
        f"Ticks are dev evaluations; the figure at the end is the last {sweep.objective}.{left_out}",
        (panel,),
        _state_legend(sweep),
        wide=True,
    )


def _reach(sweep: Sweep, trial: Trial) -> int:
    """The last step that a trial logged or reported; of a pruned one the step at which it was judged.

    What it trained while the decision waited for others does not count.
    """
    reported = [point.step for point in trial.history]
    if trial.state == "pruned" and reported:
        return max(reported)
    frame = sweep.trials.get(trial.number)
    logged = 0 if frame is None or frame.empty else int(frame["step"].max())
    return max([logged, *reported])


def _draw_timeline(sweep: Sweep, canvas: Canvas) -> None:
    axes = canvas.add_subplot()
    rows = sweep.shown()
    winner = sweep.chosen
    longest = max((_reach(sweep, trial) for trial in rows), default=1) or 1
    for row, trial in enumerate(rows):
        colour, marker, _, _ = STATES[trial.state]
        reach = _reach(sweep, trial)
        bold = trial.number == winner
        steps = [point.step for point in trial.history]
        drawn: list[Artist] = [
            *axes.plot(
                [0, reach], [row, row], color=colour if bold else FAINT, lw=3.2 if bold else 1.6, zorder=2
            ),
            *axes.plot(steps, [row] * len(steps), "|", color=MUTED, ms=5, zorder=3),
        ]
        (end,) = axes.plot([reach], [row], marker, color=colour, ms=7, zorder=4, clip_on=False)
        value = trial.value
        if value is not None:
            text = axes.annotate(
                objective(sweep, value) + (", chosen" if bold else ""), (reach, row), (9, 0),
                textcoords="offset points", va="center", fontsize=8, color=INK if bold else MUTED,
            )  # fmt: skip
            drawn.append(text)
        tag(*drawn, of=of_trial(sweep, trial.number), entry=STATES[trial.state][2])
        tag(
            end,
            of=of_trial(sweep, trial.number),
            entry=STATES[trial.state][2],
            tip=f"{told(sweep, trial)} · {reach} steps",
        )
    axes.set_yticks(range(len(rows)), [f"trial {trial.number}" for trial in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlim(0, longest * 1.12)
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    axes.set_xlabel("training step")
    axes.grid(visible=False)
    axes.xaxis.grid(visible=True)
    axes.spines["left"].set_visible(False)


def slices(sweep: Sweep) -> Figure | None:
    """The objective against each setting, a panel per setting; log axes where the space is log."""
    rows = [trial for trial in sweep.rows() if trial.value is not None]
    panels = [
        Panel(
            f"slice-{sweep.key}-{slug(short(name))}",
            short(name),
            f"{sweep.objective} of {len(rows)} trials against {short(name)}.",
            partial(_draw_slice, sweep, name, rows),
            (3.7, 2.5),
        )
        for name in _tried(sweep, rows)
    ]
    if not rows or not panels:
        return None
    return Figure(
        f"slices-{sweep.key}",
        "Slices: the objective against each setting",
        f"Last {sweep.objective} of each trial against one setting at a time, with 95% intervals from the "
        "evaluation's own standard error; the other settings vary too. A pruned trial shows where it stood.",
        tuple(panels),
        _state_legend(sweep),
    )


def _draw_slice(sweep: Sweep, name: str, rows: Sequence[Trial], canvas: Canvas) -> None:
    axes = canvas.add_subplot()
    axes.set_title(short(name))
    space = sweep.space.get(name)
    values = [_value(trial, name) for trial in rows]
    choices, log = _choices(space, values), _is_log(space, values)
    winner = sweep.chosen
    scale = 100 if is_share(sweep.objective) else 1
    for trial in rows:
        raw = _value(trial, name)
        if raw is None or trial.value is None:
            continue
        x = choices.index(raw) if choices else raw
        colour, marker, _, _ = STATES[trial.state]
        bold = trial.number == winner
        bars = axes.errorbar(
            x, scale * trial.value, yerr=_reaches(trial, scale), fmt=marker, color=colour,
            ms=8 if bold else 5, elinewidth=0.9,
            markeredgecolor=INK if bold else colour, markeredgewidth=1.4 if bold else 0.5,
            zorder=4 if bold else 3,
        )  # fmt: skip
        of, entry = of_trial(sweep, trial.number), STATES[trial.state][2]
        point, *rest = bars.get_children()
        tag(point, of=of, entry=entry, tip=told(sweep, trial))
        tag(*rest, of=of, entry=entry)
    if choices:
        axes.set_xticks(range(len(choices)), [label(choice(entry)) for entry in choices])
        axes.tick_params(axis="x", labelsize=8 if max(len(choice(entry)) for entry in choices) < 12 else 6.5)
        axes.set_xlim(-0.5, len(choices) - 0.5)
    elif log:
        axes.set_xscale("log")
        log_ticks(axes.xaxis)
    axes.set_xlabel(short(name) + (" (log scale)" if log and not choices else ""))
    axes.set_ylabel(sweep.objective + (" (%)" if is_share(sweep.objective) else ""))


def _reaches(trial: Trial, scale: float) -> float | npt.NDArray[np.float64] | None:
    """How far the 95% interval reaches, times ``scale``, which is 100 for a share.

    None where the standard error is not known.
    """
    if trial.stderr is None or trial.value is None:
        return None
    reach = 1.96 * scale * trial.stderr
    return within_share(scale * trial.value, reach) if scale == 100 else reach


def _choices(space: object, values: Sequence[Any]) -> list[Any]:
    """The choices of a categorical setting in order, as trials record them; [] for a number on an axis.

    Trials of an earlier space may have chosen what is no choice any more: that follows behind.
    """
    used = sorted({value for value in values if value is not None}, key=str)
    if isinstance(space, Mapping):
        listed = space.get("choices") or list(space.get("presets") or {})
    else:
        listed = space if isinstance(space, list) else []
    if listed or any(isinstance(value, str | bool) for value in used):
        labels = [recorded(entry) for entry in listed]
        return [*labels, *(value for value in used if value not in labels)]
    return []


def _is_log(space: object, values: Sequence[Any]) -> bool:
    """Whether the axis is logarithmic: as the space says, unless an earlier space's trial was at 0."""
    wanted = isinstance(space, Mapping) and bool(space.get("log"))
    return wanted and all(value > 0 for value in values if value is not None)


def _tried(sweep: Sweep, rows: Sequence[Trial]) -> list[str]:
    """The settings that one of these trials has at least."""
    return [name for name in setting_names(sweep) if any(_value(trial, name) is not None for trial in rows)]


def _value(trial: Trial, name: str) -> Any:
    return trial.params.get(name)


def parallel(sweep: Sweep) -> Figure | None:
    """Parallel coordinates: a line per trial across its settings to the objective."""
    rows = [trial for trial in sweep.rows() if trial.value is not None]
    names = _tried(sweep, rows)
    if len(rows) < 2 or not names:
        return None
    panel = Panel(
        f"parallel-{sweep.key}",
        "Parallel coordinates",
        f"A line per trial across {', '.join(short(name) for name in names)} to {sweep.objective}.",
        partial(_draw_parallel, sweep, rows, names),
        (9.2, 3.6),
    )
    winner = sweep.chosen
    states = {_line_entry(sweep, trial): trial for trial in rows}
    legend = [
        Entry(text, *look)
        for text, look in (
            ("ran to the end", (SKY,)),
            ("not to the end", (FAINT, "dash")),
            (f"trial {winner}, chosen", (BLUE,)),
        )
        if text in states
    ]
    return Figure(
        f"parallel-{sweep.key}",
        "Parallel coordinates",
        "Each axis runs from the least to the greatest value tried, on a log scale where the search is.",
        (panel,),
        tuple(legend),
        wide=True,
    )


def _line_entry(sweep: Sweep, trial: Trial) -> str:
    """The entry of the key that a trial's line belongs to."""
    if trial.number == sweep.chosen:
        return f"trial {trial.number}, chosen"
    return "ran to the end" if trial.state == "complete" else "not to the end"


def _draw_parallel(sweep: Sweep, rows: Sequence[Trial], names: Sequence[str], canvas: Canvas) -> None:
    axes = canvas.add_subplot()
    columns = []
    for name in names:
        columns.append(_unit_axis([_value(trial, name) for trial in rows], sweep.space.get(name)))
    columns.append(_unit_axis([trial.value for trial in rows], None))
    winner = sweep.chosen
    for index, trial in enumerate(rows):
        heights = [heights[index] for heights, *_ in columns]
        bold, pruned = trial.number == winner, trial.state != "complete"
        colour, width = (BLUE, 2.6) if bold else (FAINT, 1.1) if pruned else (SKY, 1.3)
        style, order = ("--", 2) if pruned else ("-", 5 if bold else 3)
        (line,) = axes.plot(range(len(columns)), heights, color=colour, lw=width, ls=style, zorder=order)
        tag(
            line,
            of=of_trial(sweep, trial.number),
            entry=_line_entry(sweep, trial),
            tip=told(sweep, trial),
            curve=f"trial {trial.number}",
        )
    for x, (_, ticks, _) in enumerate(columns):
        axes.axvline(x, color=RULE, lw=1.0, zorder=1)
        for height, text in ticks:
            end = height in (
                0.0,
                1.0,
            )  # beside the lines rather than on them: above, below, or above to the right
            axes.annotate(
                objective(sweep, float(text)) if x == len(columns) - 1 else label(text),
                (x, height),
                (0, 8 if height == 1.0 else -8) if end else (4, 5),
                textcoords="offset points",
                fontsize=7.5,
                color=MUTED,
                va="center",
                ha="center" if end else "left",
            )
    titles = [*(short(name) for name in names), sweep.objective]
    axes.set_xticks(range(len(columns)), titles)
    axes.tick_params(axis="x", labelsize=9, labelcolor=INK, length=0)
    tag_brush(axes, [{"name": title, **scale} for title, (_, _, scale) in zip(titles, columns, strict=True)])
    axes.set_yticks([])
    axes.set_ylim(-0.12, 1.1)
    axes.set_xlim(-0.35, len(columns) - 0.65)
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set_visible(False)


UnitAxis = tuple[list[float], list[tuple[float, str]], dict[str, object]]


def _unit_axis(values: Sequence[Any], space: object) -> UnitAxis:
    """Values mapped to [0, 1] (NaN where a trial lacks the setting), ticks (height, text) and a scale."""
    choices = _choices(space, values)
    if choices:
        top = max(1, len(choices) - 1)
        heights = [math.nan if value is None else choices.index(value) / top for value in values]
        ticks = [(index / top, choice(entry)) for index, entry in enumerate(choices)]
        return heights, ticks, {"choices": [text for _, text in ticks]}
    log = _is_log(space, values)
    numbers = np.array([math.nan if value is None else float(value) for value in values])
    scaled = np.log(numbers) if log else numbers
    low, high = float(np.nanmin(scaled)), float(np.nanmax(scaled))
    spread = (scaled - low) / (high - low) if high > low else np.full_like(scaled, 0.5)
    ends = [(0.0, low), (1.0, high)] if high > low else [(0.5, low)]
    ticks = [(height, significant(math.exp(end) if log else end)) for height, end in ends]
    return spread.tolist(), ticks, {"ends": [float(text) for _, text in ticks], "log": log}


def importances(sweep: Sweep) -> Figure | None:
    """How much each setting explains of the objective, where the summary says so."""
    shares = sweep.summary.importances
    if not shares:
        return None
    ordered = sorted(shares.items(), key=lambda item: item[1])
    alt = "; ".join(f"{short(name)} {share:.2f}" for name, share in reversed(ordered))

    def draw(canvas: Canvas) -> None:
        axes = canvas.add_subplot()
        bars = axes.barh(
            [short(name) for name, _ in ordered], [share for _, share in ordered], color=BLUE, height=0.55
        )
        for bar, (name, share) in zip(bars, ordered, strict=True):
            tag(bar, tip=f"{short(name)}: {share:.1%} of the explained variance")
        axes.set_xlabel("importance (share of the explained variance)")
        axes.grid(visible=False)

    panel = Panel(
        f"importances-{sweep.key}", "Hyperparameter importance", f"Importance of each setting: {alt}.", draw,
        (9.2, 0.9 + 0.3 * len(ordered)),
    )  # fmt: skip
    return Figure(
        f"importances-{sweep.key}",
        "Hyperparameter importance",
        "PED-ANOVA over the trials; with few trials these shares are rough.",
        (panel,),
        wide=True,
    )
