"""The page of ``harness compare``: a forest plot of every pair, its figures, its flips and its sentences."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from evals.base import io
from evals.comparison.compare import SIGNIFICANT, Comparison
from evals.comparison.ranking import Place
from reports import guide, prose, tables
from reports.comparisons import Comparisons
from reports.figures import evals
from reports.sheet import ROWS, Chapter, render_sheet
from reports.study import MOST_NAMES, some

MINUS = re.compile(r"(?<=[ (])-(?=[\d.])")
"""A terminal's minus, as sentences have it."""
SENTENCES = 24
"""Of more differences than that, the summary says what they amount to rather than each in a sentence."""
CAUTIONS = 20
"""Warnings that the page shows."""
FLIPS = 20
"""Questions of a comparison that the page shows, where it is the only one."""
ELSEWHERE = (
    "harness compare prints every place of the ranking, and with --json every pair and question that changed."
)


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
    page = render_sheet(
        title=f"{names[1]} against {names[0]}" if len(names) == 2 else f"{len(names)} evaluations compared",
        eyebrow=f"Comparison · {some(benchmarks)}",
        headline=_headline(found),
        chapters=[
            Chapter(
                "summary",
                "Summary",
                sentences=_summary(told, ranks),
                how_to=guide.how_to("summary"),
                about=guide.about(benchmarks),
            ),
            Chapter("ranking", "Ranking", () if drawn is None else (drawn, tables.ranking(ranks))),
            Chapter(
                "differences",
                "Differences",
                (*(() if figure is None else (figure,)), tables.differences(found)),
                how_to=guide.how_to("comparisons"),
            ),
            Chapter("flips", "Flips", (tables.flips(found, max(1, min(FLIPS, ROWS // len(comparisons)))),)),
            Chapter("warnings", "Warnings", sentences=_cautions(told)),
        ],
        command=shlex.join(["harness", *sys.argv[1:]]),
        elsewhere=ELSEWHERE,
    )
    io.write_text(out, page)
    return out


def _summary(told: Sequence[Comparison], ranks: Mapping[str, tuple[Place, ...]]) -> tuple[str, ...]:
    if len(told) > SENTENCES:
        return tuple(prose.crowd(Comparisons(tuple(told), (), ranks)))
    return tuple(MINUS.sub("−", one.sentence) for one in told)


def _cautions(told: Sequence[Comparison]) -> tuple[str, ...]:
    """Each caution once, with the pairs that it is about."""
    pairs: dict[str, list[str]] = {}
    for one in told:
        for text in one.cautions:
            pairs.setdefault(text, []).append(f"{one.b} and {one.a} on {one.benchmark}")
    sentences = [f"{_named(about)}: {text}" for text, about in pairs.items()]
    left = len(sentences) - CAUTIONS
    if left > 0:
        sentences[CAUTIONS:] = [f"{left} more: harness compare --json has those of every pair."]
    return tuple(sentences)


def _named(pairs: Sequence[str]) -> str:
    """The pairs, or of many the first ones and how many there are."""
    if len(pairs) <= MOST_NAMES:
        return "; ".join(pairs)
    return f"{'; '.join(pairs[: MOST_NAMES - 1])}; and {len(pairs) - MOST_NAMES + 1} more pairs"


def _headline(found: Comparisons) -> str:
    clear = sum(one.significant for one in found.differences)
    pairs = len(found.differences)
    if pairs == 1:
        return "They differ." if clear else "No difference could be shown."
    level = f"{100 * SIGNIFICANT:.0f}%"
    return f"{clear:,} of {pairs:,} differences are significant at {level} after Holm's correction."
