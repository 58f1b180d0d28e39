"""The tables of a sweep: its trials, and how the best was chosen."""

from __future__ import annotations

from harness.sweep.evaluation import is_share
from harness.sweep.summary import Trial
from reports.cells import Cell, Column, Table, count, finite, number, plain
from reports.figures.svg import of_trial
from reports.measures import (
    objective_cell,
    on_dev,
    sampled_otherwise,
    setting,
    setting_names,
    short,
)
from reports.study import Sweep


def trials(sweep: Sweep) -> Table:
    """A row per trial: its settings, how it ended, and its last value on dev."""
    settings = setting_names(sweep)
    unit = " in percent" if is_share(sweep.objective) else ""
    rows = []
    for trial in sweep.rows():
        chosen = trial.number == sweep.chosen
        cells = [Cell(str(trial.number), float(trial.number), strong=chosen)]
        cells += [setting(trial.params.get(name)) for name in settings]
        cells.append(Cell(trial.state))
        cells.append(objective_cell(sweep, trial, chosen))
        cells += [_limited(sweep, trial, name) for name in sweep.watched]
        cells.append(count(trial.history[-1].step if trial.history else None))
        cells.append(number(trial.seconds, 0))
        cells.append(count(trial.attempts))
        cells.append(Cell(trial.reason))
        rows.append(tuple(cells))
    columns = [Column("trial", "Trial")]
    columns += [Column(name, short(name), help=name) for name in settings]
    columns += [
        Column("state", "State", "text", filter=True),
        Column("value", sweep.objective, "interval", f"last value{on_dev(sweep)}{unit}"),
        *(Column(name, name, help=_watched_help(sweep, name)) for name in sweep.watched),
        Column("step", "Step", help="the last evaluated step"),
        Column("seconds", "Seconds", help="of all attempts"),
        Column("attempts", "Tries", help="process launches"),
        Column("reason", "Why it ended", "text", prose=True),
    ]
    return Table(
        key="trials",
        title="All trials",
        caption=f"{sweep.objective}{unit}, with the 95% interval from its standard error. "
        f"Bold: the trial that was chosen.{sampled_otherwise(sweep)}",
        columns=tuple(columns),
        rows=tuple(rows),
        of=tuple((of_trial(sweep, trial.number), f"trial {trial.number}") for trial in sweep.rows()),
    )


def _limited(sweep: Sweep, trial: Trial, metric: str) -> Cell:
    """A further objective or constrained metric of a trial; beyond its limit it says so."""
    value = trial.metrics.get(metric)
    most = sweep.summary.constraints.get(metric)
    if value is None:
        return Cell("")
    return Cell(f"{value:.3g}" + (" (too much)" if most is not None and value > most else ""), float(value))


def _watched_help(sweep: Sweep, metric: str) -> str:
    most = sweep.summary.constraints.get(metric)
    told = [f"at most {most:g}"] if most is not None else []
    told += [f"objective: {sweep.other_objectives[metric]}"] if metric in sweep.other_objectives else []
    return "; ".join(told)


def selection(sweep: Sweep) -> Table:
    """What the winner showed when it was chosen, and what fresh seeds showed afterwards."""
    winner = sweep.candidate
    longer = f", {sweep.confirm_steps} steps" if sweep.confirm_steps else ""
    rows: list[tuple[Cell, ...]] = []
    if winner:
        if winner.base is not None:
            rows.append((Cell("base policy, untrained"), objective_cell(sweep, winner.base)))
        chosen = f"trial {winner.trial}, when it was chosen"
        rows.append((Cell(chosen), objective_cell(sweep, winner.selection)))
        for fresh in winner.confirmation:
            label = f"trained again with seed {fresh.seed}{longer}"
            rows.append((Cell(label), objective_cell(sweep, fresh)))
    judged = sweep.summary.selection
    for other in judged.others:
        rows.append(
            (Cell(f"trial {other.trial}, when it was chosen"), objective_cell(sweep, other.selection))
        )
        for fresh in other.confirmation:
            rows.append((Cell(f"seed {fresh.seed}{longer}"), objective_cell(sweep, fresh)))
    caption = "The best of several noisy figures is flattered by luck; the runs with fresh seeds are not."
    if finite(judged.expected_luck):
        luck = judged.expected_luck
        size = f"{100 * luck:.1f} points" if is_share(sweep.objective) else plain(luck)
        caption += (
            f" Were all {judged.complete_trials} finished trials equally good, "
            f"the best would still look better by {size} on average."
        )
    return Table(
        key="selection",
        title="Selection and confirmation",
        caption=caption,
        columns=(
            Column("what", f"Measured{on_dev(sweep)}", "text"),
            Column("value", sweep.objective, "interval"),
        ),
        rows=tuple(rows),
    )
