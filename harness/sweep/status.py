"""How a sweep stands, read from its folder alone: it may be at work, at its end, or dead."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from harness import files
from harness.config import read_experiment
from harness.errors import UsageError
from harness.sweep import attempts
from harness.sweep.attempts import Progress
from harness.sweep.ledger import ledger


def read_summary(folder: Path) -> dict[str, Any]:
    """The summary of the sweep in ``folder``, its running trials as they are at this moment.

    The dispatcher writes summary.json when trials end; what goes on between is in the trials' own folders.

    Raises:
        UsageError: there is no sweep in the folder.
    """
    if not (folder / "experiment.toml").exists():
        raise UsageError(f"{folder}: holds no sweep (no experiment.toml); name a folder that `sweep` wrote")
    sweep = read_experiment([folder / "experiment.toml"]).sweep
    if sweep is None:
        raise UsageError(f"{folder}: holds a run, not a sweep: its experiment has no [sweep] table")
    path = folder / "summary.json"
    empty = {"objective": sweep.objectives[0], "planned": sweep.trials, "trials": [], "winner": None}
    summary: dict[str, Any] = files.read_json(path) if path.exists() else empty
    rows = {row["number"]: row for row in summary["trials"] if row["state"] != "running"}
    for job in (folder / "trials").glob("*/experiment.toml"):
        number = int(job.parent.name)
        if number not in rows:
            rows[number] = _from_folder(job.parent, number, sweep.objectives[0])
    cost = ledger(folder, sweep.device_hour_price)["total"]
    return {**summary, "trials": [rows[number] for number in sorted(rows)], "cost": cost}


def _from_folder(job: Path, number: int, objective: str) -> dict[str, Any]:
    """A trial that the summary does not have yet."""
    launched = attempts.attempts_of(job)
    row: dict[str, Any] = {"number": number, "state": "running", "value": None, "stderr": None, "reason": ""}
    row |= {"attempts": len(launched), "seconds": attempts.seconds(launched), "step": None, "history": []}
    if not launched:
        return row
    last = launched[-1]
    progress = Progress(last.folder / "metrics.jsonl", objective)
    progress.refresh()
    history = sorted(progress.history.values(), key=lambda e: e.step)
    row |= {"step": max(progress.step, 0), "history": [asdict(evaluation) for evaluation in history]}
    if history:
        row |= {"value": history[-1].value, "stderr": history[-1].stderr}
    if last.outcome in ("done", "pruned"):
        row |= {"state": "complete" if last.outcome == "done" else "pruned", "reason": last.reason}
    elif last.ended is None:
        row["seconds"] += max(0.0, attempts.last_activity(last.folder) - last.launched)
    return row
