"""A sweep at work on the terminal: a table drawn again and again, or lines where there is no terminal."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from rich.console import Group
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from evals.base.terminal import Terminal
from evals.base.text import duration, printable
from harness.cli.console import plain_table
from harness.config import Experiment, read_experiment
from harness.jobs.sweep_line import estimate, run_figures, shown
from harness.sweep.selection import confirmation_experiment
from harness.sweep.status import SweepStatus, TrialStatus, fresh_runs, read_summary
from harness.sweep.timeleft import left_by_files
from reports.view.standing import Standing, ago, best_trial, sweep_standing

EVERY = 2.0
"""Seconds between two looks at the folder."""
ROOM = 6
"""Lines of the terminal that are not for trials."""


@dataclass(frozen=True)
class Look:
    """What a look at a sweep's folder found."""

    experiment: Experiment
    summary: SweepStatus
    fresh: Mapping[tuple[int, int], TrialStatus]
    standing: Standing

    @property
    def over(self) -> bool:
        return not self.standing.live

    def steps(self, confirmed: bool) -> int:
        """How many a run is to do."""
        one = confirmation_experiment(self.experiment, self.experiment, 1) if confirmed else self.experiment
        return sum(stage.steps for stage in one.stages)


def look(folder: Path) -> Look:
    """Reads what is in the folder; it asks nothing of the sweep that is at work there.

    Raises:
        UsageError: there is no sweep in the folder.
    """
    summary = read_summary(folder)
    experiment = read_experiment([folder / "experiment.toml"])
    fresh = fresh_runs(folder, summary.objective)
    return Look(experiment, summary, fresh, sweep_standing(folder, summary))


def watch(folder: Path, sleep: Callable[[float], object] = time.sleep) -> None:
    """Shows a sweep until it is over, or until Ctrl-C, which ends the watching alone.

    Raises:
        UsageError: there is no sweep in the folder.
    """
    terminal = Terminal()
    found = look(folder)
    if not terminal.is_terminal:
        return _lines(folder, found, terminal, sleep)
    with Live(console=terminal, auto_refresh=False, vertical_overflow="crop") as live:
        while True:
            live.update(picture(found, terminal.height - ROOM), refresh=True)
            if found.over:
                return
            sleep(EVERY)
            found = look(folder)


def _lines(folder: Path, found: Look, terminal: Terminal, sleep: Callable[[float], object]) -> None:
    """A line whenever something has changed besides the time left."""
    before = ""
    while True:
        told = line(found)
        if told != before:
            left = _left(found)
            terminal.print(told + (f" · about {left} left" if left else ""), markup=False, soft_wrap=True)
            before = told
        if found.over:
            return
        sleep(EVERY)
        found = look(folder)


def line(found: Look) -> str:
    """trial 4: step 12/18, reward 0.9, dev 26.2% · best 33.9% (trial 3) · 3 of 10 trials · running"""
    objective = found.summary.objective
    at_work = [(f"trial {t.number}", t, False) for t in found.summary.trials if t.state == "running"]
    at_work += [
        (f"trial {trial}, seed {seed}", run, True)
        for (trial, seed), run in found.fresh.items()
        if run.state == "running"
    ]
    told = [
        f"{name}: step {run.reached}/{found.steps(confirmed)}{run_figures(objective, run.reward, run.value)}"
        for name, run, confirmed in at_work
    ]
    state = found.standing.state
    told += [
        *_best(found),
        found.standing.progress,
        f"{state} ({reason})" if (reason := found.standing.reason) else state,
    ]
    return " · ".join(told)


def _best(found: Look) -> list[str]:
    best = best_trial(found.summary)
    if best is None or best.value is None:
        return []
    return [f"best {shown(found.summary.objective, best.value)} (trial {best.number})"]


def _left(found: Look) -> str:
    if found.over:
        return ""
    return duration(left_by_files(found.experiment, found.summary.trials, list(found.fresh.values())))


def picture(found: Look, rows: int) -> Group:
    """The table: fresh seeds and what is at work first, then what ended last, ``rows`` of them at most."""
    table = plain_table(None)
    for heading in ("run", "state", "step", "reward", found.summary.objective, "time", "why it ended"):
        table.add_column(
            heading, justify="left" if heading in ("run", "state", "why it ended") else "right",
            no_wrap=True, overflow="ellipsis",
        )  # fmt: skip
    best = best_trial(found.summary)
    trials = sorted(found.summary.trials, key=lambda t: (t.state != "running", -t.number))
    names = [(f"trial {trial}, seed {seed}", run, True) for (trial, seed), run in found.fresh.items()]
    names += [(f"trial {trial.number}", trial, False) for trial in trials]
    for name, run, confirmed in names[: max(1, rows)]:
        leads = best is not None and run is best
        _row(table, name + (", best" if leads else ""), run, found, confirmed, "bold" if leads else "")
    hidden = len(names) - max(1, rows)
    stand = found.standing
    parts = [stand.progress, *_best(found), f"about {left} left" if (left := _left(found)) else ""]
    parts += [
        f"cost {stand.cost}" if stand.cost else "",
        stand.state + (f": {stand.reason}" if stand.reason else ""),
    ]
    parts += [f"last sign of life {ago(stand.seen)}"] if stand.state == "quiet" else []
    parts += [f"{hidden} more not shown"] if hidden > 0 else []
    return Group(table, Text(printable(" · ".join(part for part in parts if part))))


def _row(table: Table, name: str, run: TrialStatus, found: Look, confirmed: bool, style: str) -> None:
    colours = {"running": "green", "pruned": "yellow", "failed": "red"}
    state = f"[{colours[run.state]}]{run.state}[/]" if run.state in colours else run.state
    table.add_row(
        name,
        state,
        f"{run.reached}/{found.steps(confirmed)}",
        "" if run.reward is None else f"{run.reward:.3g}",
        "" if run.value is None else estimate(found.summary.objective, run.value, run.stderr),
        duration(run.seconds),
        escape(run.reason),
        style=style,
    )
