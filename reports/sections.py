"""The report's sections with their tables and figures: what the page shows and what is exported."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from evals.base.errors import first_line
from reports import advice, contamination, controls, costs, tables, trials, turned
from reports.cells import Table
from reports.comparisons import Comparisons
from reports.figures import arms, evals, heat, pareto, training
from reports.figures import sweep as sweep_figures
from reports.figures.svg import Figure
from reports.samples import passages
from reports.samples.anchors import NOWHERE, Anchors
from reports.study import Study, Sweep

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Part:
    """A section: ``id`` is its anchor, ``items`` what it shows, in order."""

    id: str
    title: str
    items: tuple[Table | Figure, ...]


Made = Table | Figure | list[Figure] | None
Make = Callable[[], Made]


@dataclass
class Memory:
    """What was made before, by its section and place in it, and the best group of each benchmark."""

    items: dict[tuple[str, int], list[Table | Figure]] = field(default_factory=dict)
    best: dict[str, str | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Linked:
    """What has links to samples, and is made again where these come to stand elsewhere."""

    make: Callable[[Anchors], Made]


def parts(
    study: Study,
    compared: Comparisons,
    problems: list[str] | None = None,
    anchors: Anchors = NOWHERE,
    memory: Memory | None = None,
) -> list[Part]:
    """The sections that the study has anything to show in; ``anchors`` are where their links lead.

    With the ``memory`` of an earlier call only what has such links is made again.

    Whatever is on disk was written by earlier versions, other programs, half-finished runs: a table or figure
    that fails costs itself and a sentence in ``problems``, never the others.
    """
    problems = [] if problems is None else problems
    memory = Memory() if memory is None else memory
    makers: list[tuple[str, str, list[Make | Linked]]] = [
        (
            "results",
            "Results",
            [
                partial(tables.ranking, compared.ranks),
                partial(evals.ranking, compared.ranks),
                Linked(partial(_results, study, memory)),
                partial(evals.at_k, study),
                partial(evals.cost, study),
                partial(tables.at_k, study),
                partial(tables.suites, study),
            ],
        ),
        (
            "comparisons",
            "Comparisons",
            [
                partial(evals.forest, compared),
                partial(tables.differences, compared),
                Linked(partial(turned.table, study, compared)),
                Linked(
                    partial(tables.flips, compared, max(1, min(5, 40 // max(1, len(compared.differences)))))
                ),
            ],
        ),
    ]
    makers.append(
        ("controls", "Is it real?", [partial(controls.table, study), partial(contamination.table, study)])
    )
    for number, sweep in enumerate(study.sweeps, start=1):
        several = len(study.sweeps) > 1
        mark, name = (f"-{number}", f": {sweep.name}") if several else ("", "")
        makers.append((f"training{mark}", f"Training{name}", _training(sweep)))
        makers.append((f"sweep{mark}", f"Sweep{name}", _sweep(sweep)))
    makers += [
        (
            "runs",
            "Training runs" if study.runs else COMPLETIONS,
            [
                partial(arms.figure, study),
                partial(advice.table, study),
                partial(training.runs, study),
                partial(training.rewards, *study.in_turn()[:MOST_REWARDS], key="run-rewards"),
                partial(training.run_resources, study),
                partial(passages.table, study),
            ],
        ),
        ("questions", "Questions", [Linked(partial(heat.heat_maps, study))]),
        ("cost", "Cost", [partial(costs.table, study)]),
    ]
    found = []
    for key, title, makes in makers:
        items: list[Table | Figure] = []
        for place, make in enumerate(makes):
            if isinstance(make, Linked):
                items += _made(partial(make.make, anchors), title, problems)
                continue
            if (key, place) not in memory.items:
                memory.items[key, place] = _made(make, title, problems)
            items += memory.items[key, place]
        found.append(Part(key, title, tuple(items)))
    return [part for part in found if part.items]


def _results(study: Study, memory: Memory, anchors: Anchors) -> Table:
    if not memory.best:  # every pair of models takes a test
        memory.best |= tables.leaders(study)
    return tables.results(study, anchors, memory.best)


COMPLETIONS = "Completions of training"
"""The section of the training runs where there are none outside a sweep."""
MOST_REWARDS = 6
"""Runs whose rewards are shown by function."""


def _training(sweep: Sweep) -> list[Make | Linked]:
    return [
        partial(training.learning, sweep),
        partial(training.sweep_rewards, sweep),
        partial(training.resources, sweep),
    ]


def _sweep(sweep: Sweep) -> list[Make | Linked]:
    return [
        partial(sweep_figures.timeline, sweep),
        partial(sweep_figures.slices, sweep),
        partial(sweep_figures.importances, sweep),
        partial(sweep_figures.parallel, sweep),
        partial(pareto.pareto, sweep),
        partial(trials.selection, sweep),
        partial(trials.trials, sweep),
    ]


def _made(make: Make, section: str, problems: list[str]) -> list[Table | Figure]:
    """What ``make`` makes that has something to show; nothing, and a problem told, where it fails."""
    try:
        made = make()
    except Exception as error:
        name = getattr(getattr(make, "func", make), "__name__", "item").replace("_", " ").strip()
        told = failure(f"{section}, {name}", error)
        problems += [told] if told not in problems else []
        return []
    items = made if isinstance(made, list) else [made]
    return [item for item in items if item is not None and (isinstance(item, Figure) or item.rows)]


def failure(what: str, error: Exception) -> str:
    """The sentence on a part of a page that could not be made."""
    log.debug("%s", what, exc_info=error)
    return f"{what}: could not be made from these folders ({type(error).__name__}: {first_line(error)})."
