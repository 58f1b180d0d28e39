"""TensorBoard: event files in RUN/tensorboard (`tensorboard --logdir runs` shows every run below).

Each number of metrics.jsonl is a scalar under its name; samples are texts; settings and the figures of the
end are a row of the HParams table. TensorBoard keeps no files, so a file is a text that says where it lies.
"""

from __future__ import annotations

import numbers
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from harness.train.sinks.base import About

SHOWN = 20
"""Rows of a table; TensorBoard draws a text as a whole."""
CUT = 1000
"""Characters of a cell."""
NOT_FIGURES = ("step", "stage", "time")


class TensorboardSink:
    """One folder of event files, over all launches of a run."""

    def __init__(self, about: About) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._about = about
        self._folder = about.folder / "tensorboard"
        self._summary: dict[str, float] = {}
        self.sent = _newest_step(self._folder)
        self._writer = SummaryWriter(str(self._folder))

    def log(self, row: Mapping[str, Any]) -> None:
        for name, value in row.items():
            if name not in NOT_FIGURES and _is_figure(value):
                self._writer.add_scalar(name, value, row["step"], walltime=row.get("time"))
        self._writer.flush()

    def summary(self, values: Mapping[str, Any]) -> None:
        self._summary |= {name: float(value) for name, value in values.items() if _is_figure(value)}

    def table(self, name: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        lines = ["|".join(columns), "|".join("---" for _ in columns)]
        lines += ["|".join(map(_cell, row)) for row in islice(rows, SHOWN)]
        self._writer.add_text(name, "\n".join(lines), max(self.sent, 0))

    def file(self, path: Path, kind: str, name: str) -> None:
        self._writer.add_text(f"{kind}/{name}", _cell(path.resolve()), max(self.sent, 0))

    def close(self) -> None:
        if self._summary:
            config = {
                name: value if isinstance(value, bool | int | float | str) else str(value)
                for name, value in self._about.config.items()
            }
            self._writer.add_hparams(config, self._summary, run_name=".")
        self._writer.close()


def _is_figure(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def _cell(value: Any) -> str:
    """A value as one cell of a Markdown table: what a model wrote must not end it."""
    text = str("" if value is None else value)
    text = text if len(text) <= CUT else f"{text[:CUT]} … {len(text) - CUT:,} characters more"
    return "`" + text.replace("`", "'").replace("|", "\\|").replace("\r", "").replace("\n", " ⏎ ") + "`"


def _newest_step(folder: Path) -> int:
    """The newest step that event files of earlier launches hold; -1 for none. A torn end is passed over."""
    from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader

    steps = [-1]
    for path in sorted(folder.glob("events.out.tfevents.*")):
        for event in LegacyEventFileLoader(str(path)).Load():
            values = event.summary.value
            if any(value.HasField("simple_value") or value.HasField("tensor") for value in values):
                steps.append(event.step)
    return max(steps)
