"""How results show themselves in a notebook: escaped, small, and without anything from elsewhere."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pandas import DataFrame

ROWS_SHOWN = 20
CELL_SHOWN = 80
"""Characters of a cell: responses may be endless."""
BARS = "▁▂▃▄▅▆▇█"


def shown(title: str, table: DataFrame, *notes: str) -> str:
    """HTML of a title, sentences and the first rows of a table; every text in it is escaped."""
    lines = [f"<p><strong>{html.escape(title)}</strong></p>"]
    lines += [f"<p>{html.escape(note)}</p>" for note in notes if note]
    if len(table):
        cells = table.head(ROWS_SHOWN).map(lambda cell: _short(cell) if isinstance(cell, str) else cell)
        lines.append(
            cells.to_html(index=False, escape=True, na_rep="–", border=0, float_format="{:.4g}".format)
        )
    if len(table) > ROWS_SHOWN:
        lines.append(f"<p>{len(table) - ROWS_SHOWN:,} more rows</p>")
    return f"<div>{''.join(lines)}</div>"


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= CELL_SHOWN else line[: CELL_SHOWN - 1] + "…"


def sparkline(values: Sequence[float], width: int = 40) -> str:
    """A curve in one line of text, its last ``width`` values; "" where there are none.

    >>> sparkline([0, 1, 2, 3])
    '▁▃▆█'
    """
    known = [value for value in values if math.isfinite(value)][-width:]
    if not known:
        return ""
    low, span = min(known), max(known) - min(known)
    return "".join(BARS[round((value - low) / span * (len(BARS) - 1)) if span else 0] for value in known)
