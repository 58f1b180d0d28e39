"""Evaluations in pictures: differences, what more samples buy, accuracy against length."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial

from matplotlib.figure import Figure as Canvas

from evals.comparison.compare import Comparison
from evals.comparison.ranking import Place
from evals.stats.tables import FigureTable
from reports.cells import signed
from reports.comparisons import Comparisons
from reports.figures.svg import (
    BLUE,
    INK,
    LABEL,
    MARKS,
    MODELS,
    MUTED,
    ORANGE,
    RULE,
    SERIES_MARKS,
    Entry,
    Figure,
    Panel,
    label,
    slug,
    tag,
)
from reports.study import Evaluation, Study
from reports.tables import powers


def ranking(ranks: Mapping[str, Sequence[Place]]) -> Figure | None:
    """Models by pass@1 with their intervals, a panel per benchmark; neighbouring groups differ in colour."""
    panels = []
    for benchmark, places in ranks.items():
        first = [place for place in places if place.group == 1]
        alt = (
            f"{len(places)} models by pass@1 on {benchmark}, from {100 * places[0].estimate.value:.1f}% to "
            f"{100 * places[-1].estimate.value:.1f}%; {len(first)} in the first of {places[-1].group} groups."
        )
        size = (9.2, 0.9 + 0.2 * len(places))
        panels.append(
            Panel(
                f"ranking-{slug(benchmark)}", benchmark, alt, partial(_draw_ranking, benchmark, places), size
            )
        )
    if not panels:
        return None
    return Figure(
        "ranking",
        "Ranking",
        "pass@1 with its 95% interval over questions. The models of a group do not differ significantly from "
        "its first. Pairs are compared question by question, so intervals of different groups may overlap.",
        tuple(panels),
        (Entry(ODD, BLUE, "dot"), Entry(EVEN, ORANGE, "dot")),
        wide=True,
    )


ODD, EVEN = "group 1, 3, 5 …", "group 2, 4, 6 …"


def _draw_ranking(benchmark: str, places: Sequence[Place], canvas: Canvas) -> None:
    axes = canvas.add_subplot()
    axes.set_title(label(benchmark))
    for row, place in enumerate(places):
        colour, entry = (BLUE, ODD) if place.group % 2 else (ORANGE, EVEN)
        bounds = [100 * bound for bound in place.estimate.ci95]
        value = 100 * place.estimate.value
        tag(*axes.plot(bounds, [row, row], color=colour, lw=1.6, zorder=3), entry=entry)
        told = f"{place.name}: {_told(value, *bounds)}, group {place.group}"
        tag(*axes.plot([value], [row], "o", color=colour, ms=5, zorder=4), entry=entry, tip=told)
        if row and place.group != places[row - 1].group:
            axes.axhline(row - 0.5, color=RULE, lw=0.8, zorder=1)
    axes.set_yticks(range(len(places)), [label(place.name) for place in places])
    axes.tick_params(axis="y", labelsize=8, labelcolor=INK)
    axes.set_ylim(len(places) - 0.4, -0.6)
    axes.set_xlim(0, 100)
    axes.set_xlabel("pass@1 (%)")
    axes.grid(visible=False)
    axes.xaxis.grid(visible=True)
    axes.spines["left"].set_visible(False)


def forest(comparisons: Comparisons) -> Figure | None:
    """Paired differences with their intervals around zero; of a crowd only what is not ranked."""
    every = [
        one
        for one in comparisons.differences
        if not (comparisons.crowded and one.benchmark in comparisons.ranks)
    ]
    if not every:
        return None
    found = _told_best(every)
    alt = "; ".join(
        f"{_label(one, found)}: {signed(one.difference.value)} points "
        f"({signed(one.difference.low)} to {signed(one.difference.high)})"
        for one in found
    )
    panel = Panel("forest", "Differences", alt, partial(_draw_forest, found), (9.2, 1.0 + 0.42 * len(found)))
    several = any(len(one.per_seed) > 1 for one in found)
    clear = {one.significant for one in found}
    legend = [Entry(CLEAR, BLUE, "dot")] if True in clear else []
    legend += [Entry(UNCLEAR, MUTED, "dot")] if False in clear else []
    legend += [Entry(ONE_SEED, ORANGE, "square")] if several else []
    against = f" against {found[0].a}" if _one_reference(found) else ", pair by pair"
    left = len(every) - len(found)
    return Figure(
        "forest",
        f"pass@1{against}",
        "Paired by question; the bar is the 95% interval for new questions (and new training seeds, "
        "where a model has several)."
        + (f" {left} more differences are in the table below only." if left else ""),
        (panel,),
        tuple(legend),
        wide=True,
    )


MOST_ROWS = 42
"""Differences that are drawn."""


def _told_best(every: Sequence[Comparison]) -> list[Comparison]:
    """All where there is room; else those against the first model, and of these the largest."""
    if len(every) <= MOST_ROWS:
        return list(every)
    found = [one for one in every if one.a == every[0].a]
    largest = sorted(found, key=lambda one: -abs(one.difference.value))[:MOST_ROWS]
    return [one for one in found if one in largest]


APART = " · "
"""Between a benchmark and a pair."""
CLEAR, UNCLEAR, ONE_SEED = "significant at 5% (Holm)", "not significant", "one training seed"


def _draw_forest(found: Sequence[Comparison], canvas: Canvas) -> None:
    axes = canvas.add_subplot()
    axes.axvline(0, color=MUTED, lw=1.0, zorder=1)
    for row, one in enumerate(found):
        colour, entry = (BLUE, CLEAR) if one.significant else (MUTED, UNCLEAR)
        difference = one.difference
        bounds = [100 * difference.low, 100 * difference.high]
        tag(*axes.plot(bounds, [row, row], color=colour, lw=2.2, zorder=3), entry=entry)
        told = (
            f"{_label(one, found)}: {signed(difference.value)} points "
            f"({signed(difference.low)} to {signed(difference.high)}), {entry}"
        )
        point = axes.plot([100 * difference.value], [row], "o", color=colour, ms=8, zorder=5)
        tag(*point, entry=entry, tip=told)
        for value in one.per_seed if len(one.per_seed) > 1 else ():
            seed = axes.plot([100 * value], [row + 0.2], "s", color=ORANGE, ms=4, zorder=4)
            tag(*seed, entry=ONE_SEED, tip=f"{_label(one, found)}, one seed: {signed(value)} points")
    axes.set_yticks(range(len(found)), _ticks([_label(one, found) for one in found]))
    axes.tick_params(axis="y", labelsize=9, labelcolor=INK)
    axes.set_ylim(len(found) - 0.4, -0.6)
    source = f" from {found[0].a}" if _one_reference(found) else ""
    axes.set_xlabel(f"difference in pass@1{source} (percentage points)")
    axes.grid(visible=False)
    axes.xaxis.grid(visible=True)
    axes.spines["left"].set_visible(False)


def _one_reference(found: Sequence[Comparison]) -> bool:
    return len({one.a for one in found}) == 1


def _label(one: Comparison, found: Sequence[Comparison]) -> str:
    """What tells a row of the forest apart from the others."""
    pair = one.b if _one_reference(found) else f"{one.b} − {one.a}"
    if len({other.benchmark for other in found}) == 1:
        return pair
    several = len({(other.a, other.b) for other in found}) > 1
    return f"{one.benchmark}{APART}{pair}" if several else one.benchmark


def _ticks(texts: Sequence[str]) -> list[str]:
    """The rows' labels; where one is long, benchmarks have lines of their own."""
    long = any(len(text) > LABEL for text in texts)
    return ["\n".join(map(label, text.split(APART))) if long else label(text) for text in texts]


def at_k(study: Study) -> Figure | None:
    """pass@k and cons@k against the number of samples, a panel per benchmark."""
    colours = _colours(study)
    panels = []
    for benchmark in study.benchmarks():
        shown = [e for e in study.evaluations if e.benchmark == benchmark and e.model in colours]
        if any(len(e.scores.get("pass@k") or {}) > 1 or len(e.scores.get("cons@k") or {}) > 1 for e in shown):
            ends = "; ".join(f"{e.model} has pass@1 {100 * e.value:.1f}%" for e in shown)
            alt = f"pass@k and cons@k on {benchmark} against k: {ends}."
            panels.append(
                Panel(
                    f"at-k-{slug(benchmark)}", benchmark, alt, partial(_draw_at_k, benchmark, shown, colours)
                )
            )
    if not panels:
        return None
    legend = [Entry(model, colour) for model, colour in colours.items()]
    legend += [
        Entry("pass@k: any of k correct", MUTED, "dash"),
        Entry("cons@k: majority of k", MUTED, "line"),
    ]
    return Figure(
        "at-k",
        "What more samples buy",
        "Bands are 95% intervals of cons@k where scores.json has them." + _shown_of(colours, study),
        tuple(panels),
        tuple(legend),
    )


def _colours(study: Study) -> dict[str, str]:
    """Colours by model, in order of appearance; of more models than colours those with the highest pass@1."""
    models = study.models()
    if len(models) > len(MODELS):
        values: dict[str, list[float]] = {}
        for evaluation in study.evaluations:
            values.setdefault(evaluation.model, []).append(evaluation.value)
        best = sorted(models, key=lambda model: -sum(values[model]) / len(values[model]))[: len(MODELS)]
        models = [model for model in models if model in best]
    return dict(zip(models, MODELS, strict=False))


def _shown_of(colours: Mapping[str, str], study: Study) -> str:
    """What a figure that has no colour for every model says of that."""
    several = len(study.models())
    return f" The best {len(colours)} of {several} models." if several > len(colours) else ""


def _draw_at_k(
    benchmark: str, shown: Sequence[Evaluation], colours: Mapping[str, str], canvas: Canvas
) -> None:
    axes = canvas.add_subplot()
    axes.set_title(label(benchmark))
    ks: set[int] = set()
    for evaluation in shown:
        colour, marker = colours[evaluation.model], MARKS[SERIES_MARKS[list(colours).index(evaluation.model)]]
        passes, votes = evaluation.scores.get("pass@k") or {}, evaluation.scores.get("cons@k") or {}
        by_metric: tuple[tuple[str, str, Mapping[str, float | FigureTable]], ...]
        by_metric = ("pass@k", "--", passes), ("cons@k", "-", votes)
        for metric, style, by_k in by_metric:
            points = sorted((int(k), _estimate(v)) for k, v in by_k.items())
            if not points:
                continue
            x = [k for k, _ in points]
            ks |= set(x)
            y = [100 * value for _, (value, _, _) in points]
            every = x if len(x) < 12 else []  # a mark per point only where they stay apart
            model = evaluation.model
            curve = axes.plot(x, y, style, color=colour, lw=1.5, zorder=4)
            tag(*curve, entry=model, curve=f"{model} · {metric}")
            tag(*axes.plot(every, y[: len(every)], marker, color=colour, ms=3.5, zorder=4), entry=model)
            bounded = [(k, 100 * low, 100 * high) for k, (_, low, high) in points if not math.isnan(low)]
            if metric == "cons@k" and bounded:
                at, low, high = zip(*bounded, strict=True)
                band = axes.fill_between(at, low, high, color=colour, alpha=0.13, lw=0, zorder=2)
                tag(band, entry=model)
    axes.set_xscale("log", base=2)
    axes.set_xticks(powers(ks), [str(k) for k in powers(ks)])
    axes.minorticks_off()
    axes.set_ylim(0, 103)
    axes.set_xlabel("samples per question k (log scale)")
    axes.set_ylabel("questions (%)")


def _told(value: float, low: float, high: float) -> str:
    """A percentage with its interval, where it has one."""
    return f"{value:.1f}%" + ("" if math.isnan(low) else f" [{low:.1f}, {high:.1f}]")


def _estimate(entry: float | FigureTable | None) -> tuple[float, float, float]:
    """(value, low, high) of a number or a {"value", "ci95"}; NaN where there is none."""
    if not isinstance(entry, Mapping):
        return (math.nan if entry is None else float(entry)), math.nan, math.nan
    low, high = entry.get("ci95") or (math.nan, math.nan)
    return float(entry.get("value", math.nan)), float(low), float(high)


def cost(study: Study) -> Figure | None:
    """pass@1 against the length of a response, a panel per benchmark: up and to the left is better."""
    colours = _colours(study)
    panels = []
    for benchmark in study.benchmarks():
        shown = [e for e in study.evaluations if e.benchmark == benchmark and e.model in colours]
        shown = [e for e in shown if e.mean_length]
        if len(shown) > 1:
            points = "; ".join(f"{e.model} {e.mean_length:.0f} tokens" for e in shown)
            alt = f"pass@1 on {benchmark} against the mean length of a response: {points}."
            draw = partial(_draw_cost, benchmark, shown, colours)
            panels.append(Panel(f"cost-{slug(benchmark)}", benchmark, alt, draw))
    if not panels:
        return None
    legend = [Entry(model, colour, SERIES_MARKS[i]) for i, (model, colour) in enumerate(colours.items())]
    return Figure(
        "cost",
        "Accuracy against length",
        "Each model's pass@1, with its 95% interval, against the mean number of tokens that it writes."
        + _shown_of(colours, study),
        tuple(panels),
        tuple(legend),
    )


def _draw_cost(
    benchmark: str, shown: Sequence[Evaluation], colours: Mapping[str, str], canvas: Canvas
) -> None:
    axes = canvas.add_subplot()
    axes.set_title(label(benchmark))
    for evaluation in shown:
        colour, marker = colours[evaluation.model], MARKS[SERIES_MARKS[list(colours).index(evaluation.model)]]
        value, low, high = (100 * share for share in _estimate(evaluation.scores.get("pass@1")))
        reach = None if math.isnan(low) else [[value - low], [high - value]]
        tokens = evaluation.mean_length
        drawn = axes.errorbar(tokens, value, yerr=reach, fmt=marker, color=colour, ms=6, elinewidth=1.2)
        point, *bars = drawn.get_children()
        told = f"{evaluation.model}: {_told(value, low, high)} at {tokens:.0f} tokens"
        tag(point, entry=evaluation.model, tip=told)
        tag(*bars, entry=evaluation.model)
    axes.margins(x=0.25)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("tokens per response (mean)")
    axes.set_ylabel("pass@1 (%)")
