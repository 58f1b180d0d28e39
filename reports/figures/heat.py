"""Question by model: the share of correct samples as a heat map, each column leading to its samples."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from functools import partial

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator, PercentFormatter

from evals.base.text import printable
from reports.figures.svg import INK, Figure, Panel, label, slug, tag
from reports.samples.anchors import NOWHERE, Anchors
from reports.study import Evaluation, Study


def heat_maps(study: Study, anchors: Anchors = NOWHERE) -> Figure | None:
    """Question by model, sorted by difficulty, a panel per benchmark; a question leads to its samples."""
    panels = []
    for benchmark in study.benchmarks():
        shown = [e for e in study.evaluations if e.benchmark == benchmark and e.questions]
        if not shown:
            continue
        table = rates(shown)
        never = int((table.max() == 0).sum())
        alt = (
            f"Share of correct samples for each of {len(table.columns)} questions of {benchmark} and "
            f"{len(shown)} models, hardest first; {never} questions are never answered rightly."
        )
        size = (9.2, 0.95 + 0.3 * len(shown))
        panels.append(
            Panel(
                f"heat-{slug(benchmark)}",
                benchmark,
                alt,
                partial(_draw_heat, benchmark, table, anchors),
                size,
                links={
                    address: printable(f"{benchmark}, question {key}")
                    for key in table.columns
                    if (address := anchors.question(benchmark, str(key)))
                },
            )
        )
    if not panels:
        return None
    return Figure(
        "heat",
        "Question by question",
        "Each column is a question, the hardest on the left; the colour is the share of correct samples."
        + (" A column leads to its samples, where they are on this page." if anchors.questions else ""),
        tuple(panels),
        wide=True,
    )


def rates(shown: Sequence[Evaluation]) -> pd.DataFrame:
    """A row per model, a column per question: the share of correct samples; hardest question first."""
    table = pd.DataFrame({e.model: {key: q.rate for key, q in e.questions.items()} for e in shown}).T
    means = table.mean().to_dict()
    return table[sorted(table.columns, key=lambda question: (means[question], str(question)))]


def _draw_heat(benchmark: str, table: pd.DataFrame, anchors: Anchors, canvas: Canvas) -> None:
    axes = canvas.add_subplot()
    axes.set_title(label(benchmark))
    span = (0.5, len(table.columns) + 0.5, len(table) - 0.5, -0.5)
    shares = 100 * table.to_numpy()
    image = axes.imshow(
        shares, aspect="auto", cmap="cividis", vmin=0, vmax=100, interpolation="none", extent=span
    )
    if shares.size <= CELLS_TOLD:
        _tell_cells(axes, table)
    for place, key in enumerate(table.columns, start=1):
        if address := anchors.question(benchmark, str(key)):
            axes.add_patch(
                Rectangle((place - 0.5, -0.5), 1, len(table), fc="white", alpha=0, lw=0, url=address)
            )
    axes.set_yticks(range(len(table)), [label(str(name)) for name in table.index])
    axes.tick_params(axis="y", labelsize=8.5, labelcolor=INK)
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    axes.set_xlabel("question, from hardest to easiest")
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set_visible(False)
    bar = canvas.colorbar(image, ax=axes, pad=0.015, aspect=8, format=PercentFormatter(100, decimals=0))
    bar.outline.set_visible(False)
    bar.set_ticks([0, 50, 100])


CELLS_TOLD = 20_000
"""Cells of a heat map up to which each is told under the pointer: some 8 bytes of the page each."""


def _tell_cells(axes: Axes, table: pd.DataFrame) -> None:
    """What the page's script tells of a cell: the model, the question and its share in per cent."""
    whole = Rectangle((0.5, -0.5), len(table.columns), len(table), fc="white", alpha=0, lw=0)
    shares = [
        [None if math.isnan(share) else round(100 * share) for share in row] for row in table.to_numpy()
    ]
    grid = {
        "rows": [printable(str(name)) for name in table.index],
        "columns": [printable(str(key)) for key in table.columns],
        "shares": shares,
    }
    tag(whole, grid=json.dumps(grid, separators=(",", ":")))
    axes.add_patch(whole)
