"""The report's sections with their tables and figures: what the page shows and what is exported."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from reports import arms, costs, curves, figures, passages, sweep_figures, tables
from reports.collect import Study
from reports.comparisons import Comparisons
from reports.svg import Figure
from reports.tables import Table


@dataclass(frozen=True)
class Part:
    """A section: ``id`` is its anchor, ``items`` what it shows, in order."""

    id: str
    title: str
    items: tuple[Table | Figure, ...]


def parts(study: Study, compared: Comparisons) -> Iterator[Part]:
    """The sections that the study has anything to show in."""
    found = [
        _part(
            "results",
            "Results",
            tables.results(study),
            figures.at_k(study),
            tables.at_k(study),
            figures.cost(study),
        ),
        _part(
            "comparisons",
            "Comparisons",
            figures.forest(compared),
            tables.differences(compared),
            tables.flips(compared),
        ),
    ]
    several = len(study.sweeps) > 1
    for number, sweep in enumerate(study.sweeps, start=1):
        mark, name = (f"-{number}", f": {sweep.name}") if several else ("", "")
        found.append(_part(f"training{mark}", f"Training{name}", curves.learning(sweep)))
        found.append(
            _part(
                f"sweep{mark}",
                f"Sweep{name}",
                sweep_figures.timeline(sweep),
                sweep_figures.slices(sweep),
                sweep_figures.importances(sweep),
                sweep_figures.parallel(sweep),
                *sweep_figures.pareto(sweep),
                tables.selection(sweep),
                tables.trials(sweep),
            )
        )
    found.append(
        _part("runs", "Training runs", arms.figure(study), curves.runs(study), passages.table(study))
    )
    found.append(_part("questions", "Questions", figures.heat_maps(study)))
    found.append(_part("cost", "Cost", costs.table(study)))
    yield from (part for part in found if part.items)


def _part(key: str, title: str, *items: Table | Figure | None) -> Part:
    """A section without the items that have nothing to show."""
    shown = (item for item in items if item is not None and (isinstance(item, Figure) or item.rows))
    return Part(key, title, tuple(shown))
