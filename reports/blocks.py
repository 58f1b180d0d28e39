"""A page's sections with their figures drawn: once each, however often its links to samples change."""

from __future__ import annotations

from typing import Any

from reports import sections
from reports.cells import Table
from reports.comparisons import Comparisons
from reports.figures.svg import Figure
from reports.samples.anchors import Anchors
from reports.sheet import drawn
from reports.study import Study

COMPLETIONS = "runs"
"""The section that shows what was written in training."""
AFTER_RUNS = ("questions", "cost")
"""Sections that come after the training runs."""


class Blocks:
    """``problems`` gets a sentence for whatever cannot be made or drawn."""

    def __init__(self, study: Study, compared: Comparisons, completions: bool, problems: list[str]) -> None:
        self._study = study
        self._compared = compared
        self._completions = completions
        self._problems = problems
        self._memory = sections.Memory()
        self._drawn: dict[int, tuple[Table | Figure, Table | dict[str, object] | None]] = {}

    def parts(self, anchors: Anchors) -> list[dict[str, Any]]:
        """The sections with what they show, linked to where samples stand."""
        made = sections.parts(self._study, self._compared, self._problems, anchors, self._memory)
        parts: list[dict[str, Any]] = [
            {"id": part.id, "title": part.title, "blocks": blocks}
            for part in made
            if (blocks := [each for item in part.items if (each := self._draw(item)) is not None])
        ]
        if self._completions and COMPLETIONS not in [part["id"] for part in parts]:
            later = [number for number, part in enumerate(parts) if part["id"] in AFTER_RUNS]
            title = "Training runs" if self._study.runs else sections.COMPLETIONS
            parts.insert(later[0] if later else len(parts), {"id": COMPLETIONS, "title": title, "blocks": []})
        return parts

    def _draw(self, item: Table | Figure) -> Table | dict[str, object] | None:
        if id(item) not in self._drawn:
            self._drawn[id(item)] = item, drawn(item, self._problems)
        return self._drawn[id(item)][1]
