"""Matplotlib figures as inline SVG that follows the page's theme, and as files.

Matplotlib writes ``style`` attributes, which a strict content-security policy forbids; here they become
presentation attributes, and the page's style sheet maps each colour of the palette to the theme's
(``[fill="#0072b2"]``). Saved to a file, the same figure has the light theme's colours.
"""

from __future__ import annotations

import io
import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import matplotlib
import numpy as np
import numpy.typing as npt
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from evals.base.text import printable
from reports.cells import significant
from reports.figures.slim import SVG, XLINK, slim, written

if TYPE_CHECKING:
    from reports.study import Sweep

INK, MUTED, RULE, FAINT = "#1b2430", "#5b6675", "#dfe3e8", "#aab3be"
# Okabe and Ito's colour-blind-safe palette, without black and yellow (invisible in one of the themes).
BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY = "#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9"
SERIES = (BLUE, ORANGE, GREEN, PURPLE, VERMILION, SKY)
MODELS = (ORANGE, BLUE, GREEN, PURPLE, SKY, VERMILION)
"""Colours of models by their order on the page: the reference first."""
MARKS = {"dot": "o", "square": "s", "triangle": "^", "diamond": "D", "wedge": "v", "plus": "P", "cross": "X"}
"""What an ``Entry`` of a figure's key calls a marker of matplotlib's."""
SERIES_MARKS = ("dot", "square", "triangle", "diamond", "wedge", "plus")
MOST_SERIES = 2 * len(SERIES)
"""Series that stay apart in one figure: a colour each, and the second six dashed with other marks."""

STYLE: dict[Any, Any] = {
    "axes.edgecolor": FAINT,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "axes.labelcolor": MUTED,
    "axes.labelsize": 9,
    "axes.linewidth": 0.8,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "figure.facecolor": "none",
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "grid.color": RULE,
    "grid.linewidth": 0.7,
    "legend.frameon": False,
    "legend.labelcolor": INK,
    "lines.linewidth": 1.6,
    "svg.fonttype": "none",
    "svg.hashsalt": "grpo-harness",
    "text.color": INK,
    "xtick.color": FAINT,
    "xtick.labelcolor": MUTED,
    "xtick.labelsize": 8,
    "xtick.major.size": 3,
    "ytick.color": FAINT,
    "ytick.labelcolor": MUTED,
    "ytick.labelsize": 8,
    "ytick.major.size": 0,
}


@dataclass(frozen=True)
class Panel:
    """One picture: ``draw`` fills an empty canvas of ``size`` inches; ``alt`` says what it shows.

    ``links`` are the addresses that artists have as their url, and what each is called.
    """

    key: str
    title: str
    alt: str
    draw: Callable[[Canvas], None]
    size: tuple[float, float] = (3.7, 2.6)
    links: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Entry:
    """One line of a figure's key; ``mark`` is "line", "dash", "band" or a name of ``MARKS``."""

    label: str
    colour: str
    mark: str = "line"

    @property
    def neutral(self) -> bool:
        """Whether axes and labels have its colour too."""
        return self.colour in (INK, MUTED, RULE, FAINT)


@dataclass(frozen=True)
class Figure:
    """Panels that share a title, a caption and a key. ``wide`` ones take the page's whole width."""

    key: str
    title: str
    caption: str
    panels: tuple[Panel, ...]
    legend: tuple[Entry, ...] = ()
    wide: bool = False


def series(number: int) -> tuple[str, str, str]:
    """(colour, mark, line) of a figure's series by its place: what an ``Entry`` calls mark and line."""
    again, place = divmod(number, len(SERIES))
    return SERIES[place], SERIES_MARKS[(place + again) % len(SERIES_MARKS)], "dash" if again else "line"


def left_out(count: int) -> str:
    """What a caption says where there are more series than are drawn."""
    return f" The first {MOST_SERIES} of {count}." if count > MOST_SERIES else ""


def of_trial(sweep: Sweep, number: int) -> str:
    """What everything that shows a trial is tagged with on a page."""
    return f"{sweep.key}/{number}"


def tag(
    *artists: Artist, of: str = "", entry: str = "", tip: str = "", curve: str = "", grid: str = ""
) -> None:
    """Says what artists show, for the page's script; an exported file has nothing of it.

    ``of``: the trial (``of_trial``); ``entry``: the label in the key that switches it; ``tip``: what is
    told of a mark; ``curve``: the name of a curve, whose values are read from its vertices; ``grid``: JSON of
    a heat map's rows, columns and shares in per cent, on a rectangle that covers its cells.
    """
    told = {"of": of, "entry": entry, "tip": tip, "curve": curve, "grid": grid}
    gid = json.dumps({f"data-{key}": printable(text) for key, text in told.items() if text})
    for artist in artists:
        artist.set_gid(gid)


def _tag_axes(axes: Axes) -> None:
    """The limits that the page's script needs to tell values from places."""
    told: dict[str, Any] = {
        "x": _rounded(axes.get_xlim()),
        "y": _rounded(axes.get_ylim()),
        "log": "".join(n for n, s in (("x", axes.get_xscale()), ("y", axes.get_yscale())) if s == "log"),
        "xname": axes.get_xlabel().removesuffix(" (log scale)"),
    }
    if brush := axes.get_gid():
        told["brush"] = json.loads(brush)
        axes.set_gid(None)
    axes.patch.set_gid(json.dumps({"data-axes": json.dumps(told, separators=(",", ":"))}))


def _rounded(limits: tuple[float, float]) -> list[float]:
    return [float(f"{limit:.7g}") for limit in limits]


def tag_brush(axes: Axes, scales: Sequence[Mapping[str, object]]) -> None:
    """Says that each tick along x is an axis of parallel coordinates, between 0 and 1, with this scale.

    A scale has a ``name``, and either its ``choices`` or the values at its ``ends`` and whether it is
    ``log``.
    """
    axes.set_gid(json.dumps(scales))


def inline(panel: Panel) -> str:
    """The panel as an ``<svg>`` element: no style attributes, ids of its own, title and description."""
    root = ET.fromstring(_render(panel, "svg", tags=True))
    for element in root.iter():
        if element.get("id", "").startswith("{"):
            element.attrib |= json.loads(element.attrib.pop("id"))
    for parent in root.iter():
        for child in list(parent):
            if child.tag in (f"{{{SVG}}}metadata", f"{{{SVG}}}style"):
                parent.remove(child)
    names = {e.attrib["id"]: f"{panel.key}-{i}" for i, e in enumerate(root.iter()) if "id" in e.attrib}
    used = {
        name for e in root.iter() for value in e.attrib.values() for name in re.findall(r"#([\w.-]+)", value)
    }
    for element in root.iter():
        _restyle(element)
        if "id" in element.attrib and element.attrib["id"] not in used:
            del element.attrib["id"]
        for key, value in element.attrib.items():
            element.attrib[key] = _rename(key, value, names)
    for key in ("width", "height", "version"):
        root.attrib.pop(key, None)
    role = "group" if panel.links else "img"  # what is in an image cannot be followed
    root.attrib |= {"class": "plot", "role": role, "aria-labelledby": f"{panel.key}-t {panel.key}-d"}
    for link in root.iter(f"{{{SVG}}}a"):
        address = link.attrib[f"{{{XLINK}}}href"]
        link.attrib.pop("target", None)  # matplotlib opens a window of its own
        if address in panel.links:
            link.attrib["aria-label"] = panel.links[address]
            ET.SubElement(link, f"{{{SVG}}}title").text = panel.links[address]
    for index, (tag, text) in enumerate((("title", panel.title), ("desc", panel.alt))):
        element = ET.Element(f"{{{SVG}}}{tag}", {"id": f"{panel.key}-{tag[0]}"})
        element.text = text
        root.insert(index, element)
    slim(root)
    return written(root)


def save(panel: Panel, path: Path, legend: tuple[Entry, ...] = ()) -> None:
    """Writes the panel as ``path``'s suffix says (.png at 200 dpi, .svg), on white, with the figure's key."""
    path.write_bytes(_render(panel, path.suffix[1:], legend, background="white"))


ET.register_namespace("", SVG)
ET.register_namespace("xlink", XLINK)


def _render(
    panel: Panel,
    kind: str,
    legend: tuple[Entry, ...] = (),
    background: str = "none",
    tags: bool = False,
) -> bytes:
    with matplotlib.rc_context(STYLE):
        figure = Canvas(figsize=panel.size, layout="constrained")
        FigureCanvasSVG(figure) if kind == "svg" else FigureCanvasAgg(figure)
        panel.draw(figure)
        for artist in figure.findobj():
            if not tags:
                artist.set_gid(None)
            elif isinstance(artist, Axes):
                _tag_axes(artist)
        if legend:
            handles = [_handle(entry) for entry in legend]
            figure.legend(handles=handles, loc="outside lower center", ncols=3, fontsize=7)
        target = io.BytesIO()
        dated = {"Date": None} if kind == "svg" else None  # the same data gives the same file
        figure.savefig(target, format=kind, dpi=200, facecolor=background, metadata=dated)
    return target.getvalue()


def _handle(entry: Entry) -> Line2D:
    lines: dict[str, Literal["-", "--"]] = {"line": "-", "dash": "--", "band": "-"}
    band = entry.mark == "band"
    return Line2D(
        [],
        [],
        color=entry.colour,
        linestyle=lines.get(entry.mark, "none"),
        linewidth=6 if band else 1.6,
        marker=MARKS.get(entry.mark, "none"),
        alpha=0.35 if band else 1.0,
        label=label(entry.label),
    )


LABEL = 40
"""Characters of a name on an axis or in a key."""


def within_share(percent: npt.ArrayLike, reach: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """How far intervals of shares reach down and up, (2, n) in points: a share stays within 0 and 100%."""
    values, reaches = np.atleast_1d(percent), np.atleast_1d(reach)
    return np.stack([np.minimum(reaches, values), np.minimum(reaches, 100 - values)]).astype(np.float64)


def label(name: str) -> str:
    """A name as matplotlib draws it: no formula, nothing that cannot be seen, not endless."""
    shown = printable(name)
    shown = shown if len(shown) <= LABEL else f"{shown[: LABEL - 13]}…{shown[-12:]}"
    return shown.replace("$", r"\$")


def _restyle(element: ET.Element) -> None:
    """Turns ``style`` into attributes; the page's style sheet decides on fonts."""
    for rule in filter(None, element.attrib.pop("style", "").split(";")):
        key, _, value = (part.strip() for part in rule.partition(":"))
        if key == "font":
            size = re.search(r"([\d.]+)px", value)
            if size:
                element.attrib["font-size"] = size.group(1)
            if "bold" in value or "700" in value:
                element.attrib["font-weight"] = "600"
        elif key == "font-size":
            element.attrib["font-size"] = value.removesuffix("px")
        elif key != "font-family":
            element.attrib[key] = value


def _rename(key: str, value: str, names: dict[str, str]) -> str:
    """Ids of the panel's own, and coordinates with two decimals."""
    if key == "id":
        return names[value]
    if key == f"{{{XLINK}}}href" and value.startswith("#"):
        return f"#{names.get(value[1:], value[1:])}"
    if value.startswith("url(#"):
        return f"url(#{names[value[5:-1]]})"
    if key in ("d", "points", "transform", "x", "y", "width", "height", "cx", "cy", "r"):
        return re.sub(
            r"-?\d+\.\d{3,}", lambda found: f"{float(found.group()):.2f}".rstrip("0").rstrip("."), value
        )
    return value


def log_ticks(axis: Axis) -> None:
    """Labels a logarithmic axis on which everything is drawn: 0.001 rather than 10⁻³ while that is short.

    Powers of ten, and where there are fewer than two of them 2 and 5 between them.
    """
    low, high = sorted(axis.get_view_interval())
    between = (1.0, 2.0, 5.0) if high < 100 * low else (1.0,)
    axis.set_major_locator(LogLocator(subs=between, numticks=6))
    axis.set_major_formatter(FuncFormatter(lambda value, _: significant(value, 6)))
    axis.set_minor_formatter(NullFormatter())


def slug(text: str) -> str:
    """``text`` as part of an id or a file name."""
    return re.sub(r"[^\w.]+", "-", text).strip("-.") or "item"
