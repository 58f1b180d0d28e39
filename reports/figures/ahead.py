"""The way ahead in learning curves: a forecast's band, and in words whether it is worth going on."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes

from harness.sweep.evaluation import is_share
from reports.figures.svg import tag
from reports.outlook import Track, horizon_of, sentence

METRICS = ("dev/pass@1", "reward")
"""What has a way ahead to draw; other metrics have no height that they are heading for."""
WORTH = 0.01
"""The least gain worth going on for, as the forecast command has it."""
MEASURED = 3
"""From so many evaluations on there is a forecast to draw."""
MOST_TOLD = 2
"""Runs of whose forecasts a caption tells."""


def draw(
    axes: Axes, frame: pd.DataFrame, metric: str, colour: str, end: int | None, of: str, entry: str
) -> None:
    """The 80% interval of what is to come, up to the planned last step ``end``, or half as far again."""
    track = _track(frame, metric)
    if track is None:
        return
    band = track.band(horizon_of(track.step, end))
    low, middle, high = (band[name] * (100 if is_share(metric) else 1) for name in ("low", "middle", "high"))
    area = axes.fill_between(band["step"], low, high, color=colour, alpha=0.12, lw=0, zorder=1)
    line = axes.plot(band["step"], middle, color=colour, lw=1.0, ls=(0, (3, 2)), zorder=2)
    tag(area, of=of, entry=entry)
    tag(*line, of=of, entry=entry, curve="forecast")


def told(runs: Sequence[tuple[str, pd.DataFrame, int | None]]) -> str:
    """What the bands are, and whether it is worth going on; "" where there is no band."""
    sentences: list[str] = []
    for label, frame, end in runs[:MOST_TOLD]:
        track = next((found for name in METRICS if (found := _track(frame, name)) is not None), None)
        if track is not None:
            sentences.append(f" {label}: {sentence(track.outlook(horizon_of(track.step, end), WORTH))}")
    return " Shaded ahead: an 80% interval of the forecast." + "".join(sentences) if sentences else ""


def _track(frame: pd.DataFrame, metric: str) -> Track | None:
    """None where there is too little to forecast from."""
    if metric not in METRICS or metric not in frame or frame[metric].count() < MEASURED:
        return None
    track = Track(frame, metric)
    return track if len(track.values) >= MEASURED else None
