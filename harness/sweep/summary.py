"""summary.json and trials.csv: the whole sweep for people and for the report, made from the study alone."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from harness import files
from harness.config import Experiment, Sweep
from harness.sweep.study import STATE_NAME, Record, Study


def trial_rows(study: Study, running: Mapping[int, Record]) -> list[dict[str, Any]]:
    """One entry per trial that was begun, as in the summary's ``trials``."""
    allowed = study.experiment.sweep.constraints if study.experiment.sweep is not None else {}
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
                "metrics": record.metrics,
                "feasible": all(record.metrics.get(name, most) <= most for name, most in allowed.items()),
            }
        )
    return rows


def best_trials(rows: list[dict[str, Any]], maximize: bool, count: int) -> list[dict[str, Any]]:
    """The complete trials within the constraints that have the best last evaluations; of equals the first."""
    complete = [row for row in rows if row["state"] == "complete" and row["feasible"]]
    sign = 1 if maximize else -1
    return sorted(complete, key=lambda row: -sign * row["value"])[:count]


def pareto_set(rows: list[dict[str, Any]], sweep: Sweep) -> list[int]:
    """The complete trials within the constraints that no other one equals or beats in every objective.

    Of trials with the same values all are in it.
    """
    signs = [1 if direction == "maximize" else -1 for direction in sweep.directions]
    points = {
        row["number"]: [
            sign * value
            for sign, value in zip(
                signs, [row["value"], *(row["metrics"][name] for name in sweep.objectives[1:])], strict=True
            )
        ]
        for row in rows
        if row["state"] == "complete" and row["feasible"]
    }
    return [
        number
        for number, own in points.items()
        if not any(other != own and all(map(operator.ge, other, own)) for other in points.values())
    ]


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
        "objective": sweep.objectives[0],
        "direction": sweep.directions[0],
        "objectives": dict(zip(sweep.objectives, sweep.directions, strict=True)),
        "constraints": sweep.constraints,
        "pareto": pareto_set(rows, sweep) if len(sweep.objectives) > 1 else None,
        "sampler": sweep.sampler,
        "pruner": sweep.pruner if len(sweep.objectives) == 1 else "none",
        "planned": study.total,
        "trials": rows,
        **selected,
        "seconds": round(sum(row["seconds"] for row in rows), 3),
        "evals": {
            "base": "evals/base",
            "winner": [f"evals/winner-{Path(c['run']).parts[2]}" for c in confirmed],
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
        watched = {**row["metrics"], "feasible": row["feasible"]} if row.get("metrics") else {}
        flat.append({**plain, **evaluated, **watched, **row["params"], **rest})
    frame = pd.DataFrame(flat)
    if "step" in frame:
        frame["step"] = frame["step"].astype("Int64")
    return frame.to_csv(index=False)
