"""The page of ``harness compare``: a forest plot of every pair, its figures, its flips and its sentences."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from evals.base import io
from evals.comparison.compare import SIGNIFICANT, Comparison
from evals.comparison.ranking import Place
from reports import tables
from reports.comparisons import Comparisons
from reports.figures import evals
from reports.sheet import Chapter, render_sheet


def write_page(
    comparisons: Sequence[Comparison], out: Path, ranks: Mapping[str, tuple[Place, ...]] | None = None
) -> Path:
    """Writes the page of comparisons that were made together; returns ``out``.

    Where many evaluations were given, ``ranks`` has their places: a ranking then stands before the
    differences, of which only those from the first evaluation are drawn and told in sentences.
    """
    ranks = ranks or {}
    found = Comparisons(tuple(comparisons), ())
    told = [one for one in comparisons if not ranks or one.a == comparisons[0].a]
    figure = evals.forest(Comparisons(tuple(told), ()))
    drawn = evals.ranking(ranks)
    names = list(dict.fromkeys(name for one in comparisons for name in (one.a, one.b)))
    benchmarks = list(dict.fromkeys(one.benchmark for one in comparisons))
    cautions = [f"{one.b} and {one.a} on {one.benchmark}: {text}" for one in told for text in one.cautions]
    page = render_sheet(
        title=f"{names[1]} against {names[0]}" if len(names) == 2 else f"{len(names)} evaluations compared",
        eyebrow=f"Comparison · {', '.join(benchmarks)}",
        headline=_headline(found),
        chapters=[
            Chapter("summary", "Summary", sentences=tuple(one.sentence for one in told)),
            Chapter("ranking", "Ranking", () if drawn is None else (drawn, tables.ranking(ranks))),
            Chapter(
                "differences",
                "Differences",
                (*(() if figure is None else (figure,)), tables.differences(found)),
            ),
            Chapter("flips", "Flips", (tables.flips(found, most=20),)),
            Chapter("warnings", "Warnings", sentences=tuple(cautions)),
        ],
        command=shlex.join(["harness", *sys.argv[1:]]),
    )
    io.write_text(out, page)
    return out


def _headline(found: Comparisons) -> str:
    clear = sum(one.significant for one in found.differences)
    pairs = len(found.differences)
    if pairs == 1:
        return "They differ." if clear else "No difference could be shown."
    level = f"{100 * SIGNIFICANT:.0f}%"
    return f"{clear} of {pairs} differences are significant at {level} after Holm's correction."
