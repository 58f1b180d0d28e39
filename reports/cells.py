"""What the page's tables are made of: cells of plain data, for HTML, Markdown, CSV and LaTeX alike.

Shares are fractions of 1 in the data and in CSV, and percent with one decimal where people read them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeGuard

from evals.base import io as files
from evals.comparison import compare


@dataclass(frozen=True)
class Column:
    """``help`` explains the heading; ``filter`` offers a choice of this column's values on the page; "
    "``prose``
    holds sentences, which are wrapped."""

    key: str
    title: str
    kind: Literal["text", "number", "interval"] = "number"
    help: str = ""
    filter: bool = False
    prose: bool = False


@dataclass(frozen=True)
class Cell:
    """What is shown, the number behind it (what sorting and CSV use), and its interval where it has one.

    ``unit`` is how the interval is shown: shares in percent, their differences in signed points, and what is
    no share as it is. ``href`` is where the text leads to on a page; ``links`` are the (text, address) that a
    text is made of where it leads to several places.
    """

    text: str
    value: float | None = None
    low: float | None = None
    high: float | None = None
    strong: bool = False
    unit: Literal["percent", "points", "plain"] = "percent"
    href: str = ""
    links: tuple[tuple[str, str], ...] = ()

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

    @property
    def told(self) -> str:
        """The number behind the text for the page's script; "" where the text is that number itself."""
        if self.value is None or self.text.replace(",", "") == _short(self.value):
            return ""
        return _short(self.value)

    @property
    def ends(self) -> str:
        """The interval's ends for the page's script."""
        return "" if self.low is None or self.high is None else f"{_short(self.low)} {_short(self.high)}"


def _short(value: float) -> str:
    """A number with six digits, whole ones in full."""
    return str(int(value)) if math.isfinite(value) and value == int(value) else f"{value:.6g}"


@dataclass(frozen=True)
class Table:
    """``key`` names its files; rows hold a cell per column.

    ``of``: for each row the trial that it is of, as figures tag it, and what that is called.
    """

    key: str
    title: str
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    of: tuple[tuple[str, str], ...] = ()

    def position(self, column: Column) -> int:
        """The column's index."""
        return self.columns.index(column)

    @property
    def told(self) -> tuple[Column, ...]:
        """The columns that have something to explain."""
        return tuple(column for column in self.columns if column.help)

    @property
    def leading(self) -> int:
        """How many columns at the left say what a row is of (at most two): they stay where a table is "
        "wide."""
        texts = [column.kind == "text" and not column.prose for column in self.columns[:2]]
        return max(1, texts.index(False) if False in texts else len(texts))

    def split(self) -> tuple[Table, dict[str, str]]:
        """The table without its columns that say the same in every row, and what these say by their title.

        Of a single row those go that are empty. What was measured with an interval stays.
        """
        same = [
            position
            for position in range(0 if self.leading > 1 else 1, len(self.columns))
            if len({(row[position].text, row[position].bounds) for row in self.rows}) == 1
            and (len(self.rows) > 1 or not self.rows[0][position].text)
            and not self.rows[0][position].bounds
        ]
        if len(same) > len(self.columns) - 2:  # nothing would be left to read
            return self, {}
        told = {self.columns[position].title: self.rows[0][position] for position in same}
        kept = [position for position in range(len(self.columns)) if position not in same]
        lean = replace(
            self,
            columns=tuple(self.columns[position] for position in kept),
            rows=tuple(tuple(row[position] for position in kept) for row in self.rows),
        )
        return lean, {
            title: f"{cell.text} ({cell.bounds})" if cell.bounds else cell.text
            for title, cell in told.items()
            if cell.text not in ("", "–")
        }

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


def significant(value: float, digits: int = 3) -> str:
    """A setting or a tick: 0.001 and 1500 as they are, 1.1e-5 and 2e6 where that would be long."""
    return re.sub(r"e([+-])0*", lambda found: "e" + found[1].strip("+"), f"{value:.{digits}g}")


def finite(value: Any) -> TypeGuard[float]:
    """Whether ``value`` is a number with a place on an axis."""
    return files.number(value) is not None
