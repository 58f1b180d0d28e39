"""summary.json and trials.csv: the whole sweep for people and for the report, made from the study alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from harness import files
from harness.config import Experiment
from harness.sweep.study import STATE_NAME, Record, Study


def trial_rows(study: Study, running: Mapping[int, Record]) -> list[dict[str, Any]]:
    """One entry per trial that was begun, as in the summary's ``trials``."""
    rows = []
    for trial in study.trials():
        state = STATE_NAME.get(trial.state, "running")
        record = Record.of(trial) if trial.state.is_finished() else running.get(trial.number)
        if record is None:  # enqueued, or asked for by a dispatcher that is gone
            continue
        last = record.history[-1] if record.history else None
        rows.append(
            {
                "number": trial.number,
                "params": study.settings(trial),
                "state": state,
                "value": None if last is None else last.value,
                "stderr": None if last is None else last.stderr,
                "history": [asdict(evaluation) for evaluation in record.history],
                "attempts": record.attempts,
                "seconds": round(record.seconds, 3),
                "reason": record.reason,
                "run": record.run,
            }
        )
    return rows


def best_trial(rows: list[dict[str, Any]], maximize: bool) -> dict[str, Any] | None:
    """The complete trial with the best last evaluation; of equals the first."""
    complete = [row for row in rows if row["state"] == "complete"]
    sign = 1 if maximize else -1
    return max(complete, key=lambda row: sign * row["value"], default=None)


def write(
    folder: Path,
    experiment: Experiment,
    study: Study,
    rows: list[dict[str, Any]],
    selected: Mapping[str, Any],
) -> dict[str, Any]:
    """Writes summary.json and trials.csv and returns the summary.

    ``selected`` holds its entries ``winner``, ``selection`` and ``importances``.
    """
    sweep = experiment.sweep
    assert sweep is not None
    winner = selected["winner"]
    confirmed = [] if winner is None else winner["confirmation"]
    summary = {
        "name": experiment.name,
        "objective": sweep.objective,
        "direction": sweep.direction,
        "sampler": sweep.sampler,
        "pruner": sweep.pruner,
        "planned": study.total,
        "trials": rows,
        **selected,
        "seconds": round(sum(row["seconds"] for row in rows), 3),
        "evals": {
            "base": "evals/base",
            "winner": [f"evals/winner-{Path(c['run']).parts[1]}" for c in confirmed],
        },
    }
    files.write_json(folder / "summary.json", summary)
    files.write_text(folder / "trials.csv", trials_csv(rows))
    return summary


def trials_csv(rows: list[dict[str, Any]]) -> str:
    """The trials as CSV: a column per setting, empty where a trial did not have it."""
    flat = []
    for row in rows:
        evaluated = {
            "evaluations": len(row["history"]),
            "step": row["history"][-1]["step"] if row["history"] else None,
        }
        plain = {key: row[key] for key in ("number", "state", "value", "stderr")}
        rest = {key: row[key] for key in ("attempts", "seconds", "reason", "run")}
        flat.append({**plain, **evaluated, **row["params"], **rest})
    frame = pd.DataFrame(flat)
    if "step" in frame:
        frame["step"] = frame["step"].astype("Int64")
    return frame.to_csv(index=False)
