"""Fewer points of a curve that keep its shape: a page has room for some thousand points, not for all.

The points are the curve's own, chosen by Largest-Triangle-Three-Buckets (Steinarsson 2013): its first, its
last, and of each stretch between them the one that the eye would miss most.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

POINTS = 9_000
"""Points of all curves of a figure together."""
LEAST = 24
"""Points that a curve has at least, however many there are."""


def room(curves: int) -> int:
    """How many points each of so many curves of a figure may have."""
    return max(LEAST, POINTS // max(1, curves))


def kept(x: Sequence[float] | npt.NDArray[np.float64], y: npt.NDArray[np.float64], most: int) -> list[int]:
    """The places of at most ``most`` points to draw, all where there are no more."""
    x = np.asarray(x, dtype=np.float64)
    count = len(x)
    if count <= most or most < 3:
        return list(range(count))
    edges = np.linspace(1, count - 1, most - 1).astype(int)
    chosen = [0]
    for number in range(most - 2):
        start, end = edges[number], edges[number + 1]
        after = slice(end, edges[number + 2]) if number + 2 < len(edges) else slice(count - 1, count)
        then_x, then_y = x[after].mean(), y[after].mean()
        at = chosen[-1]
        areas = np.abs((x[at] - then_x) * (y[start:end] - y[at]) - (x[at] - x[start:end]) * (then_y - y[at]))
        chosen.append(int(start) + int(np.nanargmax(areas) if np.isfinite(areas).any() else 0))
    return [*chosen, count - 1]


def told(longest: int, most: int) -> str:
    """What a caption says where points were left out."""
    if longest <= most:
        return ""
    return (
        f" Of a longer curve those {most} of its points are drawn that keep its shape; metrics.jsonl has "
        "every step, and harness view draws each run by itself."
    )
