"""How a sweep, a run or an evaluation stands, read from its folder at this moment."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from evals.base import io
from evals.base.errors import UsageError
from evals.base.text import duration
from evals.task import TaskError
from harness.config import read_experiment
from harness.sweep import attempts
from harness.sweep.attempts import Attempt
from harness.sweep.evaluation import is_share
from harness.sweep.status import SweepStatus, TrialStatus, fresh_runs, read_summary
from harness.sweep.summary import Chosen
from harness.sweep.timeleft import left_by_files
from harness.train.advice import advice_on
from harness.train.ledger import LEDGER
from harness.train.status import STATUS, read_status
from reports.cells import plain, signed
from reports.reading import read_metrics, read_toml
from reports.view import places
from reports.view.places import Kind, Place

QUIET = 90.0
"""Seconds without a sign of life after which a running job is said to be quiet."""
PACE = 20
"""The last steps that say how long the next ones take."""


@dataclass(frozen=True)
class Standing:
    """``state``: running, quiet, done, pruned, failed, interrupted or unfinished; ``progress`` in words.

    ``seen``: its last sign of life, and ``left``: how long it still takes, both in seconds; None where
    nothing tells.
    """

    kind: Kind
    state: str
    reason: str = ""
    progress: str = ""
    best: str = ""
    cost: str = ""
    seen: float | None = None
    left: float | None = None
    advice: tuple[str, ...] = ()
    """What training was warned of."""

    @property
    def live(self) -> bool:
        return self.state in ("running", "quiet")


def standing(place: Place) -> Standing:
    """How a place stands; what cannot be read is left out, and said in ``reason``."""
    try:
        match place.kind:
            case "sweep":
                return sweep_standing(place.folder, read_summary(place.folder))
            case "run":
                return run_standing(place.folder)
            case "comparison":
                return _comparison(place.folder)
            case "evaluation":
                return _evaluation(place.folder)
    except (UsageError, TaskError, OSError, ValueError) as error:
        return Standing(place.kind, "unreadable", str(error))


def sweep_standing(folder: Path, summary: SweepStatus) -> Standing:
    """Of a sweep whose ``summary`` is at hand."""
    ended = [trial for trial in summary.trials if trial.state != "running"]
    state, reason = _state(folder, seen := _newest(folder))
    left = None if state in ("done", "failed") else _sweep_left(folder, summary)
    cost = duration(summary.cost.device_seconds)
    if summary.cost.cost is not None:
        cost += f" · {summary.cost.cost:,.2f}"
    return Standing(
        "sweep", state, reason,
        progress=f"{len(ended)} of {max(summary.planned, len(ended))} trials",
        best=best_so_far(summary), cost=cost, seen=seen, left=left,
    )  # fmt: skip


def best_so_far(summary: SweepStatus) -> str:
    """The winner as fresh seeds confirmed it, or the best trial up to now."""
    if summary.winner is not None and (confirmed := _confirmed(summary.winner)) is not None:
        gain = ""
        base = summary.winner.base
        if base is not None and base.value is not None and is_share(summary.objective):
            gain = f" ({signed(confirmed - base.value)} points)"
        return f"{shown(summary.objective, confirmed)}{gain}, trial {summary.winner.trial}"
    best = best_trial(summary)
    return "" if best is None else f"{shown(summary.objective, best.value)}, trial {best.number}"


def best_trial(summary: SweepStatus) -> TrialStatus | None:
    """Of the trials that have a value, pruned and running ones left out unless there is no other."""
    sign = -1 if summary.direction == "minimize" else 1
    known = [trial for trial in summary.trials if trial.value is not None and trial.feasible]
    known = [trial for trial in known if trial.state == "complete"] or known
    return max(known, key=lambda trial: sign * (trial.value or 0.0), default=None)


def _confirmed(winner: Chosen) -> float | None:
    values = [fresh.value for fresh in winner.confirmation if fresh.value is not None]
    return sum(values) / len(values) if values else winner.selection.value


def _sweep_left(folder: Path, summary: SweepStatus) -> float | None:
    """Seconds that its runs still take, confirmation included; None before any step was done."""
    experiment = read_experiment([folder / "experiment.toml"])
    fresh = fresh_runs(folder, summary.objective)
    return left_by_files(experiment, summary.trials, list(fresh.values()))


def planned_steps(experiment: Mapping[str, Any]) -> int:
    """The steps of all stages together, as far as experiment.toml says."""
    steps = [stage.get("steps") for stage in experiment.get("stages") or []]
    return sum(step for step in steps if isinstance(step, int))


def run_standing(folder: Path, metrics: pd.DataFrame | None = None) -> Standing:
    """Of a training run, or of one launch of a trial."""
    frame = read_metrics(folder / "metrics.jsonl", []) if metrics is None else metrics
    seen = attempts.last_activity(folder) or None
    state, reason = _state(folder, seen)
    experiment = read_toml(folder / "experiment.toml", []) or _job(folder)
    steps = planned_steps(experiment)
    step = 0 if frame.empty else int(frame["step"].max())
    rows = frame.sort_values("step").tail(PACE) if not frame.empty else frame
    left = None
    if state in ("running", "quiet") and len(rows) > 1 and "time" in rows:
        took = float(rows["time"].max() - rows["time"].min()) / max(
            1, int(rows["step"].max() - rows["step"].min())
        )
        left = took * max(0, steps - step)
    ledger = io.read_json(folder / LEDGER) if (folder / LEDGER).exists() else {}
    paid = io.number(ledger.get("paid_device_seconds"))
    return Standing(
        "run", state, reason,
        progress=f"step {step} of {steps}" if steps else f"step {step}",
        best=latest(frame), cost="" if paid is None else duration(paid), seen=seen, left=left,
        advice=tuple(map(str, advice_on(frame.to_dict("records"), experiment))),
    )  # fmt: skip


def _job(folder: Path) -> dict[str, Any]:
    """The experiment of an attempt that has not yet written its own."""
    return read_toml(folder.parent / "experiment.toml", [])


def latest(frame: pd.DataFrame) -> str:
    """The best figure on dev and the last one, or the last reward where there is none."""
    for metric, name in (("dev/pass@1", "dev pass@1"), ("reward", "reward"), ("loss", "loss")):
        values = frame[metric].dropna() if metric in frame else pd.Series(dtype=float)
        if not values.empty:
            best = values.max() if metric == "dev/pass@1" else values.iloc[-1]
            return f"{name} {shown(metric, float(best))}"
    return ""


def shown(metric: str, value: float | None) -> str:
    """A value as people read it."""
    if value is None:
        return "–"
    return f"{100 * value:.1f}%" if is_share(metric) else plain(value)


def _comparison(folder: Path) -> Standing:
    seen = _newest(folder)
    state, reason = _state(folder, seen)
    arms = [path for path in (folder / "arms").iterdir() if path.is_dir()]
    return Standing("comparison", state, reason, f"{len(arms)} arms", seen=seen)


def _evaluation(folder: Path) -> Standing:
    found = places.benchmarks(folder)
    scored = [path for path in found if (path / "scores.json").exists()]
    best = []
    for path in scored:
        figure = io.read_json(path / "scores.json").get("pass@1")
        value = io.number(figure.get("value")) if isinstance(figure, dict) else None
        if value is not None:
            best.append(f"{path.name} {100 * value:.1f}%")
    seen = _newest(folder)
    unfinished = "quiet" if seen is None or time.time() - seen > QUIET else "running"
    state = "done" if len(scored) == len(found) else unfinished
    more = f" and {len(best) - 3} more" if len(best) > 3 else ""
    progress = f"{len(scored)} of {len(found)} benchmarks"
    return Standing("evaluation", state, "", progress, ", ".join(best[:3]) + more, seen=seen)


def _state(folder: Path, seen: float | None) -> tuple[str, str]:
    """(state, reason): what status.json says, an attempt's end, and whether there is a sign of life."""
    status = read_status(folder) if (folder / STATUS).exists() else None
    attempt = _attempt(folder)
    if attempt is not None and attempt.outcome in ("died", "failed", "interrupted"):
        return ("failed" if attempt.outcome == "died" else attempt.outcome), attempt.reason
    if status is not None and status.state != "running":
        return status.state, status.reason
    alive = seen is not None and time.time() - seen <= QUIET
    return ("running" if alive else "quiet"), ""


def _attempt(folder: Path) -> Attempt | None:
    return next((each for each in attempts.attempts_of(folder.parent) if each.folder == folder), None)


def _newest(folder: Path) -> float | None:
    newest = attempts.newest_change(folder)
    return newest / 1e9 if newest else None


def ago(seen: float | None) -> str:
    """How long ago that was."""
    return "" if seen is None else f"{duration(max(0.0, time.time() - seen))} ago"


def scores_of(folder: Path) -> dict[str, Any]:
    """scores.json of a benchmark's folder; {} where there is none that can be read."""
    try:
        return io.read_json(folder / "scores.json")
    except (OSError, UsageError, ValueError):
        return {}
