"""What the page's tables are made of: cells of plain data, for HTML, Markdown, CSV and LaTeX alike.

Shares are fractions of 1 in the data and in CSV, and percent with one decimal where people read them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeGuard

from evals.base import io as files
from evals.stats import compare


@dataclass(frozen=True)
class Column:
    """``help`` explains the heading; ``filter`` offers a choice of this column's values on the page."""

    key: str
    title: str
    kind: Literal["text", "number", "interval"] = "number"
    help: str = ""
    filter: bool = False


@dataclass(frozen=True)
class Cell:
    """What is shown, the number behind it (what sorting and CSV use), and its interval where it has one.

    ``unit`` is how the interval is shown: shares in percent, their differences in signed points, and what is
    no share as it is. ``href`` is where the text leads to on a page.
    """

    text: str
    value: float | None = None
    low: float | None = None
    high: float | None = None
    strong: bool = False
    unit: Literal["percent", "points", "plain"] = "percent"
    href: str = ""

    @property
    def bounds(self) -> str:
        """The interval: "51.2–65.4", "−2.0 to +20.0"; "" where there is none."""
        if self.low is None or self.high is None:
            return ""
        if self.unit == "points" or (self.unit == "percent" and self.low < 0):
            return f"{signed(self.low)} to {signed(self.high)}"
        if self.unit == "plain":
            return f"{plain(self.low)} to {plain(self.high)}"
        return f"{100 * self.low:.1f}–{100 * self.high:.1f}"


@dataclass(frozen=True)
class Table:
    """``key`` names its files; rows hold a cell per column."""

    key: str
    title: str
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]

    def position(self, column: Column) -> int:
        """The column's index."""
        return self.columns.index(column)

    def values(self, position: int) -> list[str]:
        """The different texts of a column, in order of first appearance."""
        return list(dict.fromkeys(row[position].text for row in self.rows))


def percent(share: Any, strong: bool = False) -> Cell:
    """A share of 1, or a {"value", "ci95"} of them, in percent with one decimal."""
    if isinstance(share, Mapping):
        value, bounds = share.get("value"), share.get("ci95") or (None, None)
    else:
        value, bounds = share, (None, None)
    if not finite(value):
        return Cell("–")
    low, high = (float(bound) if finite(bound) else None for bound in bounds)
    return Cell(f"{100 * value:.1f}", float(value), low, high, strong)


def points(value: float, low: float, high: float, strong: bool) -> Cell:
    """A difference in percentage points, signed."""
    return Cell(signed(value), value, low, high, strong, "points")


def signed(value: float) -> str:
    """+12.3 or −4.5: a difference of shares in percentage points, with a real minus sign."""
    return compare.points(value).replace("-", "−")


def count(value: Any) -> Cell:
    """A whole number."""
    return Cell(f"{int(value):,}", float(value)) if finite(value) else Cell("–")


def number(value: Any, decimals: int) -> Cell:
    """A number with a fixed number of decimals."""
    return Cell(f"{value:,.{decimals}f}", float(value)) if finite(value) else Cell("–")


def plain(value: float) -> str:
    """A number as it is, with four significant digits; whole thousands are not shortened."""
    text = f"{value:,.0f}" if 1000 <= abs(value) < 1e9 else f"{value:.4g}"
    return text.replace("-", "−")


def finite(value: Any) -> TypeGuard[float]:
    """Whether ``value`` is a number with a place on an axis."""
    return files.number(value) is not None
