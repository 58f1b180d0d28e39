"""Right and wrong before and after, question by question: what a difference is made of.

A question counts as right where more than half of its samples are, over a group's training seeds together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from evals.base.text import printable
from evals.comparison.compare import Comparison
from reports.cells import Cell, Column, Table, count
from reports.comparisons import Comparisons, members, shared_questions
from reports.samples.anchors import Anchors
from reports.study import Evaluation, Study

LISTED = 6
"""Questions that are named of each way, the largest change first."""


@dataclass(frozen=True)
class Turned:
    """The shared questions of a comparison by what they were under ``a`` and are under ``b``."""

    right: int
    wrong: int
    became_right: tuple[str, ...]
    became_wrong: tuple[str, ...]


def turned(study: Study, one: Comparison) -> Turned:
    """What became of each question; those that turned by the size of the change, then by id."""
    sides = [members(study, one.benchmark, group) for group in (one.a, one.b)]
    shared = shared_questions([each for side in sides for each in side])
    rates = {key: (_rate(sides[0], key), _rate(sides[1], key)) for key in shared}
    by_size = sorted(shared, key=lambda key: (-abs(rates[key][1] - rates[key][0]), key))
    ways = {key: (rates[key][0] > 0.5, rates[key][1] > 0.5) for key in by_size}
    return Turned(
        right=list(ways.values()).count((True, True)),
        wrong=list(ways.values()).count((False, False)),
        became_right=tuple(key for key, way in ways.items() if way == (False, True)),
        became_wrong=tuple(key for key, way in ways.items() if way == (True, False)),
    )


def _rate(side: Sequence[Evaluation], key: str) -> float:
    return sum(each.questions[key].rate for each in side) / len(side)


def table(study: Study, compared: Comparisons, anchors: Anchors) -> Table:
    """A row per comparison: how many questions stayed and turned, and which did."""
    rows = []
    for one in compared.listed:
        found = turned(study, one)
        rows.append(
            (
                Cell(one.benchmark),
                Cell(f"{one.b} − {one.a}"),
                count(len(found.became_right)),
                count(len(found.became_wrong)),
                count(found.right),
                count(found.wrong),
                _names(one.benchmark, found.became_right, anchors),
                _names(one.benchmark, found.became_wrong, anchors),
            )
        )
    return Table(
        key="turned",
        title="What turned",
        caption="Questions by whether most of their samples are right under the first model of the "
        "comparison "
        f"and under the baseline. Up to {LISTED} of those that turned are named, the largest change first; a "
        "few turn by chance alone where samples are few.",
        columns=(
            Column("benchmark", "Benchmark", "text", filter=True),
            Column("pair", "Comparison", "text", filter=True),
            Column("became_right", "Wrong → right", help="wrong under the baseline, right under the model"),
            Column("became_wrong", "Right → wrong", help="right under the baseline, wrong under the model"),
            Column("right", "Both right"),
            Column("wrong", "Both wrong"),
            Column("which_right", "Became right", "text", prose=True),
            Column("which_wrong", "Became wrong", "text", prose=True),
        ),
        rows=tuple(rows),
    )


def _names(benchmark: str, keys: Sequence[str], anchors: Anchors) -> Cell:
    links = [(printable(key), anchors.question(benchmark, key)) for key in keys[:LISTED]]
    if len(keys) > LISTED:
        links.append((f"{len(keys) - LISTED} more", ""))
    return Cell(", ".join(name for name, _ in links), links=tuple(links))
