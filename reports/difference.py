"""Two runs, sweeps or evaluations beside each other: the settings that differ, and the figures of both."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from evals.base.errors import UsageError
from evals.base.text import duration, printable
from harness.config.keys import join_key
from harness.config.mistakes import name_of
from harness.sweep.evaluation import is_share
from reports.cells import percent, plain
from reports.collect import collect
from reports.costs import costs
from reports.study import Evaluation, Study

LAST = ("reward", "dev/pass@1", "length", "kl", "entropy", "truncated", "mfu", "memory_gib")
"""Metrics of which the last logged value is compared; rewards by function come besides."""
TIME = "seconds"
"""What the processes took, start-up and retries included."""
IGNORED = ("name", "sweep_of")
"""Settings in which any two runs differ."""


@dataclass(frozen=True)
class Setting:
    """A setting in which they differ; None where one has none."""

    key: str
    a: Any
    b: Any


@dataclass(frozen=True)
class Figure:
    """A figure of both, a ``share`` as a fraction of 1; ``ci95`` are the intervals of a and b where both have
    one."""

    name: str
    share: bool
    a: float | None
    b: float | None
    ci95: tuple[tuple[float, float], tuple[float, float]] | None = None

    @property
    def difference(self) -> float | None:
        """b − a."""
        return None if self.a is None or self.b is None else self.b - self.a

    def shown(self, value: float | None) -> str:
        """A value of it as people read it: shares in percent, "42 s", "7 min"."""
        if value is None:
            return "–"
        if self.share:
            return f"{100 * value:.1f}%"
        return duration(value) if self.name == TIME else plain(value)

    @property
    def gap(self) -> str:
        """b − a as people read it, signed."""
        gap = self.difference
        if gap is None:
            return "–"
        sign, size = "−" if gap < 0 else "+", abs(gap)
        if self.share:
            return f"{sign}{100 * size:.1f} points"
        return sign + (duration(size) if self.name == TIME else plain(size))


@dataclass(frozen=True)
class Difference:
    """``problems`` are sentences on what could not be read of either."""

    settings: tuple[Setting, ...]
    figures: tuple[Figure, ...]
    problems: tuple[str, ...]


def difference(a: Path, b: Path) -> Difference:
    """What differs between the folders ``a`` and ``b``.

    Raises:
        UsageError: one of them holds no run, sweep or evaluation.
    """
    studies = [collect([folder]) for folder in (a, b)]
    for study in studies:
        if study.empty:
            raise UsageError(" ".join(study.problems))
    first, second = (_settings(study) for study in studies)
    keys = [key for key in dict.fromkeys([*first, *second]) if first.get(key) != second.get(key)]
    return Difference(
        tuple(Setting(key, first.get(key), second.get(key)) for key in keys),
        tuple(_figures(*studies)),
        tuple(problem for study in studies for problem in study.problems),
    )


def _settings(study: Study) -> dict[str, Any]:
    """The settings of the experiment, by dotted keys in which stages go by their names."""
    source = next(iter(study.sources()), None)
    if source is None:
        return {}
    raw = {key: value for key, value in source.experiment.items() if key not in (*IGNORED, "stages")}
    stages = {name_of(stage): stage for stage in source.experiment.get("stages") or []}
    return dict(_flat({**raw, **stages}, ()))


def _flat(table: Mapping[str, Any], above: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, (*above, key))
        else:
            yield printable(join_key((*above, key))), value


def _figures(a: Study, b: Study) -> Iterator[Figure]:
    evaluated = [_trained(study) for study in (a, b)]
    if not all(evaluated):  # of a sweep without a winner there is the base alone
        evaluated = [study.evaluations for study in (a, b)]
    several = any(len({each.model for each in found}) > 1 for found in evaluated)
    scored = [_scored(found, several) for found in evaluated]
    for name in dict.fromkeys([*scored[0], *scored[1]]):
        cells = [percent(scores.get(name)) for scores in scored]
        bounds = [(cell.low, cell.high) for cell in cells if cell.low is not None and cell.high is not None]
        both = (bounds[0], bounds[1]) if len(bounds) == 2 else None
        yield Figure(name, True, cells[0].value, cells[1].value, both)
    logged = [_logged(study) for study in (a, b)]
    for name in dict.fromkeys([*logged[0], *logged[1]]):
        share = is_share(name.partition(",")[0])
        yield Figure(name, share, logged[0].get(name), logged[1].get(name))


def _trained(study: Study) -> list[Evaluation]:
    return [each for each in study.evaluations if each.role == "trained"]


def _scored(found: Sequence[Evaluation], several: bool) -> dict[str, Any]:
    """pass@1 as scores.json has it, by benchmark and, where either side has several models, by model."""
    return {
        f"{each.benchmark}, {each.model}" if several else each.benchmark: each.scores.get("pass@1")
        for each in found
    }


def _logged(study: Study) -> dict[str, float]:
    """The last value of what a run logged, its steps, and what the whole study took."""
    found: dict[str, float] = {}
    for run in study.runs[:1]:
        names = [*LAST, *sorted(name for name in run.metrics.columns if str(name).startswith("reward/"))]
        for name in names:
            values = run.metrics[name].dropna() if name in run.metrics else pd.Series(dtype=float)
            if not values.empty:
                found[name] = float(values.iloc[-1])
        if not run.metrics.empty:
            found["steps"] = float(run.metrics["step"].max())
    for sweep in study.sweeps[:1]:
        if sweep.candidate is not None and sweep.candidate.selection.value is not None:
            found[f"{sweep.objective}, chosen trial"] = sweep.candidate.selection.value
        fresh = [run.value for run in sweep.candidate.confirmation] if sweep.candidate else []
        known = [value for value in fresh if value is not None]
        if known:
            found[f"{sweep.objective}, fresh seeds"] = sum(known) / len(known)
    spent = [cost for cost in costs(study) if cost.wall is not None]
    if spent:
        found["tokens"] = sum(cost.tokens or 0.0 for cost in spent)
        found[TIME] = sum(cost.wall or 0.0 for cost in spent)
    return found
