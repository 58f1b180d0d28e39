"""Figures drawn once and kept: a page that is loaded every few seconds draws only what has changed."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from dataclasses import replace

from reports.figures.svg import Figure
from reports.sheet import drawn

KEPT = 64
"""Drawings in memory."""
REST = 10.0
"""A figure that took a second to draw is drawn again after so many seconds at the earliest."""

Block = dict[str, object]


class Pictures:
    """Drawings by figure and by a stamp of the data behind them. Threads may share it."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, tuple[object, float, float, Block | None]] = OrderedDict()
        self._lock = threading.Lock()  # matplotlib's settings are the process's

    def draw(self, place: str, figure: Figure | None, stamp: object, panels: int = 99) -> Block | None:
        """The first ``panels`` of a figure, as a template shows them; None where nothing can be drawn.

        ``place`` tells figures of one name on different pages apart.
        """
        if figure is None:
            return None
        name = f"{place} {figure.key}"
        with self._lock:
            known = self._kept.get(name)
            if known is not None:
                made_of, when, took, block = known
                if made_of == stamp or time.monotonic() - when < REST * took:
                    self._kept.move_to_end(name)
                    return block
            began = time.monotonic()
            found = drawn(replace(figure, panels=figure.panels[:panels]), [])
            block = found if isinstance(found, dict) else None
            now = time.monotonic()
            self._kept[name] = (stamp, now, now - began, block)
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
            return block
