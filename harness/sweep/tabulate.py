"""The trials of a study as summary.json and trials.csv have them."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from evals.base import io
from harness.config import Experiment, Sweep
from harness.sweep.selection import Selected
from harness.sweep.study import STATE_NAME, Record, Study
from harness.sweep.summary import SUMMARY, Chosen, EvalFolders, Summary, Trial


def trials_of(study: Study, running: Mapping[int, Record]) -> list[Trial]:
    """Every trial that was begun; ``running``: the records of those that are at work."""
    allowed = study.experiment.sweep.constraints if study.experiment.sweep is not None else {}
    found = []
    for trial in study.trials():
        record = Record.of(trial) if trial.state.is_finished() else running.get(trial.number)
        if record is None:  # enqueued, or asked for by a dispatcher that is gone
            continue
        last = record.history[-1] if record.history else None
        found.append(
            Trial(
                number=trial.number,
                params=study.settings(trial),
                state=STATE_NAME.get(trial.state, "running"),
                value=None if last is None else last.value,
                stderr=None if last is None else last.stderr,
                history=tuple(record.history),
                attempts=record.attempts,
                seconds=round(record.seconds, 3),
                reason=record.reason,
                run=record.run,
                metrics=record.metrics,
                feasible=all(record.metrics.get(name, most) <= most for name, most in allowed.items()),
            )
        )
    return found


def best_trials(trials: Sequence[Trial], maximize: bool, count: int) -> list[Trial]:
    """The complete trials within the constraints that have the best last evaluations; of equals the first."""
    complete = [trial for trial in trials if trial.state == "complete" and trial.feasible]
    sign = 1 if maximize else -1
    return sorted(complete, key=lambda trial: -sign * trial.history[-1].value)[:count]


def pareto_set(trials: Sequence[Trial], sweep: Sweep) -> tuple[int, ...]:
    """The complete trials within the constraints that no other one equals or beats in every objective.

    Of trials with the same values all are in it.
    """
    signs = [1 if direction == "maximize" else -1 for direction in sweep.directions]
    points = {
        trial.number: [
            sign * value
            for sign, value in zip(
                signs,
                [trial.history[-1].value, *(trial.metrics[name] for name in sweep.objectives[1:])],
                strict=True,
            )
        ]
        for trial in trials
        if trial.state == "complete" and trial.feasible
    }
    return tuple(
        number
        for number, own in points.items()
        if not any(other != own and all(map(operator.ge, other, own)) for other in points.values())
    )


def write(
    folder: Path,
    experiment: Experiment,
    study: Study,
    trials: Sequence[Trial],
    selected: Selected,
    importances: Mapping[str, float],
) -> Summary:
    """Writes summary.json and trials.csv and returns the summary."""
    sweep = experiment.sweep
    assert sweep is not None
    candidate = selected.selection.candidate
    doubtful = candidate if selected.winner is None and sweep.evaluate_unconfirmed else None
    summary = Summary(
        name=experiment.name,
        objective=sweep.objectives[0],
        direction=sweep.directions[0],
        objectives=dict(zip(sweep.objectives, sweep.directions, strict=True)),
        constraints=sweep.constraints,
        pareto=pareto_set(trials, sweep) if len(sweep.objectives) > 1 else None,
        sampler=sweep.sampler,
        pruner=sweep.pruner if len(sweep.objectives) == 1 else "none",
        planned=study.total,
        trials=tuple(trials),
        winner=selected.winner,
        selection=selected.selection,
        importances=dict(importances),
        seconds=round(sum(trial.seconds for trial in trials), 3),
        evals=EvalFolders(
            base="evals/base",
            winner=_eval_folders("winner", selected.winner),
            unconfirmed=_eval_folders("unconfirmed", doubtful),
        ),
    )
    summary.write(folder / SUMMARY)
    io.write_text(folder / "trials.csv", trials_csv(trials))
    return summary


def _eval_folders(name: str, chosen: Chosen | None) -> tuple[str, ...]:
    """Where each fresh training of a trial is evaluated."""
    fresh = () if chosen is None else chosen.confirmation
    return tuple(f"evals/{name}-{Path(each.run).parts[2]}" for each in fresh)


def trials_table(trials: Sequence[Trial]) -> pd.DataFrame:
    """A row a trial, a column per setting, empty where a trial did not have it."""
    flat = []
    for trial in trials:
        plain = {key: getattr(trial, key) for key in ("number", "state", "value", "stderr")}
        evaluated = {
            "evaluations": len(trial.history),
            "step": trial.history[-1].step if trial.history else None,
        }
        watched = {**trial.metrics, "feasible": trial.feasible} if trial.metrics else {}
        rest = {key: getattr(trial, key) for key in ("attempts", "seconds", "reason", "run")}
        flat.append({**plain, **evaluated, **watched, **trial.params, **rest})
    frame = pd.DataFrame(flat)
    if "step" in frame:
        frame["step"] = frame["step"].astype("Int64")
    return frame


def trials_csv(trials: Sequence[Trial]) -> str:
    """``trials_table`` as CSV; no text of it is a formula to a spreadsheet."""
    frame = trials_table(trials).rename(columns=io.csv_text)
    return frame.map(lambda cell: io.csv_text(cell) if isinstance(cell, str) else cell).to_csv(index=False)
