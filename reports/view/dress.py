"""What the pages of the view share: sections, and the template around them with its policy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from evals.base.text import duration, printable
from reports.cells import Table
from reports.templating import policy, script_text, served_policy, template, template_text, version
from reports.view.links import Links
from reports.view.pictures import Block
from reports.view.sample_pages import Listed
from reports.view.standing import Standing, ago

REFRESH = 4
"""Seconds after which a page about something that runs asks for itself again."""


@dataclass(frozen=True)
class Link:
    text: str
    href: str


@dataclass(frozen=True)
class Section:
    """A part of a page: sentences, links, tables and figures, samples, text as it stands (a log).

    ``title`` is "" where the only table has one.
    """

    id: str
    title: str
    blocks: tuple[Table | Block, ...] = ()
    sentences: tuple[str, ...] = ()
    links: tuple[Link, ...] = ()
    text: str = ""
    folded: bool = False
    rows: tuple[Listed, ...] = ()

    @property
    def empty(self) -> bool:
        return not (self.blocks or self.sentences or self.links or self.text or self.rows)


def style() -> str:
    return template_text("page.css") + template_text("view.css")


def script() -> str:
    return script_text() + template_text("view.js")


def header_policy() -> str:
    """The policy that goes with every page that is served."""
    return served_policy(style(), script())


def render(name: str, links: Links, title: str, crumbs: list[Link], *, live: bool, **content: Any) -> str:
    """A page as HTML. ``live``: it refreshes itself, where a server is there to be asked."""
    own_style, own_script = style(), script()
    return template(name).render(
        policy="" if links.served else policy(own_style, own_script),
        style=Markup(own_style),
        script=Markup(own_script),
        title=printable(title),
        crumbs=crumbs,
        refresh=REFRESH if live and links.served else 0,
        links=links,
        version=version(),
        **content,
    )


def crumbs(links: Links, root: str, key: str, known: set[str]) -> list[Link]:
    """The way from the index to the folder ``key``; only folders in ``known`` have pages to lead to."""
    parts = key.split("/") if key else []
    places = ["/".join(parts[: number + 1]) for number in range(len(parts))]
    return [
        Link(root, links.index()),
        *(Link(place.rpartition("/")[2], links.folder(place) if place in known else "") for place in places),
    ]


def facts(standing: Standing, *more: tuple[str, str]) -> list[tuple[str, str]]:
    """The line under a headline."""
    told = [
        ("State", standing.state),
        ("Progress", standing.progress),
        ("Best", standing.best),
        *more,
        ("Left, about", duration(standing.left) if standing.live else ""),
        ("Device time", standing.cost),
        ("Last sign of life", ago(standing.seen) if standing.live else ""),
    ]
    return [(name, printable(value)) for name, value in told if value]
