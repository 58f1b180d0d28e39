"""How a sweep's objective and its settings are shown."""

from __future__ import annotations

import json
import re
from typing import Any, Literal

from evals.base.text import printable
from harness.sweep.evaluation import is_share
from harness.sweep.summary import Figure
from reports.cells import Cell, finite, plain, signed, significant
from reports.study import Sweep


def setting_names(sweep: Sweep) -> list[str]:
    """The settings that the trials vary, in the order of the search space."""
    seen = dict.fromkeys(sweep.space)
    seen |= dict.fromkeys(name for trial in sweep.rows() for name in trial.params)
    return list(seen)


def short(name: str) -> str:
    """A setting's name without its stage: ``grpo.learning_rate`` -> ``learning_rate``."""
    return name.partition(".")[2] or name


def setting(value: object) -> Cell:
    """A setting's value with four significant digits."""
    if isinstance(value, bool) or value is None:
        return Cell("–" if value is None else str(value).lower())
    if isinstance(value, int):
        return Cell(str(value), float(value))
    if isinstance(value, float):
        return Cell(significant(value), value)
    return Cell(choice(value))


def recorded(entry: object) -> Any:
    """A choice of the search space as trials record it: tables and lists by their JSON."""
    return json.dumps(entry, sort_keys=True) if isinstance(entry, dict | list) else entry


def choice(value: object) -> str:
    """A choice of a search space as it is shown; tables and lists go by JSON, here without its quotes."""
    return re.sub(r'["{}]', "", printable(str(value)))


def on_dev(sweep: Sweep) -> str:
    """ " on the dev questions" where that is what the objective is measured on."""
    return " on the dev questions" if sweep.objective.startswith("dev/") else ""


def sampled_otherwise(sweep: Sweep) -> str:
    """A sentence where the dev questions were sampled at another temperature than the benchmarks; else ""."""
    measured = sweep.experiment.get("eval") or {}
    benchmarks = measured.get("temperature") if measured.get("benchmarks") else None
    stages = [stage.get("temperature") for stage in sweep.experiment.get("stages") or ()]
    used = {each for each in stages if isinstance(each, int | float)}
    if not on_dev(sweep) or not isinstance(benchmarks, int | float) or not used - {benchmarks}:
        return ""
    told = " and ".join(f"{each:g}" for each in sorted(used))
    return (
        f" The dev questions were sampled at temperature {told} and benchmarks at {benchmarks:g}: "
        "do not compare one with the other."
    )


def objective(sweep: Sweep, value: float) -> str:
    """A value of the objective as people read it: "43.3%", or "352" where it is no share."""
    return f"{100 * value:.1f}%" if is_share(sweep.objective) else plain(value)


def objective_gap(sweep: Sweep, gap: float) -> str:
    """A difference of two values of the objective, signed: "+4.2 points", "−31"."""
    if is_share(sweep.objective):
        return f"{signed(gap)} points"
    return ("+" if gap > 0 else "") + plain(gap)


def objective_cell(sweep: Sweep, estimate: Figure, strong: bool = False) -> Cell:
    """A value of the objective with its interval, normal, and within 0 and 1 where it is a share."""
    value, stderr = estimate.value, estimate.stderr
    if not finite(value):
        return Cell("–")
    share = is_share(sweep.objective)
    text = f"{100 * value:.1f}" if share else plain(value)
    unit: Literal["percent", "plain"] = "percent" if share else "plain"
    if not finite(stderr):
        return Cell(text, float(value), strong=strong, unit=unit)
    low, high = value - 1.96 * stderr, value + 1.96 * stderr
    if share:
        low, high = max(0.0, low), min(1.0, high)
    return Cell(text, float(value), low, high, strong, unit)
