"""A page of sentences, tables and figures in the report's dress: for what is not a study's folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from evals.base.text import printable
from reports.cells import Table
from reports.figures import svg
from reports.figures.svg import Figure
from reports.sections import failure
from reports.templating import policy, script_text, template, template_text, version

ROWS = 150
"""Rows of a table that a page shows."""


@dataclass(frozen=True)
class Chapter:
    """A section of a sheet: ``id`` is its anchor; sentences come before tables and figures.

    Folded above them: ``how_to`` read it, and ``about`` the benchmarks, (name, what it consists of).
    """

    id: str
    title: str
    items: tuple[Table | Figure, ...] = ()
    sentences: tuple[str, ...] = ()
    how_to: tuple[str, ...] = ()
    about: Sequence[tuple[str, str]] = ()


def render_sheet(
    title: str, eyebrow: str, headline: str, chapters: Sequence[Chapter], command: str, elsewhere: str
) -> str:
    """The page as HTML; chapters with nothing in them are left out. ``command`` made it.

    ``elsewhere`` says where all rows of a table are, of which the page has the first ``ROWS``.
    """
    style, script = template_text("page.css"), script_text()
    problems: list[str] = []
    shown = [
        {**vars(chapter), "blocks": [b for item in chapter.items if (b := drawn(item, problems)) is not None]}
        for chapter in chapters
        if chapter.items or chapter.sentences
    ]
    if problems:
        shown.append({**vars(Chapter("not-drawn", "Not drawn", sentences=tuple(problems))), "blocks": []})
    return template("sheet.html").render(
        policy=policy(style, script),
        style=Markup(style),
        script=Markup(script),
        title=printable(title),
        eyebrow=printable(eyebrow),
        headline=headline,
        chapters=shown,
        command=command,
        rows=ROWS,
        elsewhere=elsewhere,
        version=version(),
    )


def drawn(item: Table | Figure, problems: list[str]) -> Table | dict[str, object] | None:
    """A table as it is; a figure with its panels drawn.

    A panel that cannot be drawn is left out, with a sentence in ``problems``; None where no panel is left.
    """
    if isinstance(item, Table):
        return item
    panels = []
    for panel in item.panels:
        try:
            panels.append({"svg": Markup(svg.inline(panel)), "title": panel.title})
        except Exception as error:
            problems.append(failure(f"{item.title}, {panel.title}", error))
    return {**vars(item), "panels": panels} if panels else None
