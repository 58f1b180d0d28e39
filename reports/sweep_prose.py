"""A sweep in plain sentences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.sweep.evaluation import is_share
from reports.cells import plain
from reports.measures import objective, objective_gap, on_dev
from reports.study import Sweep, some


def headline(sweeps: Sequence[Sweep]) -> str:
    """What sweeps came to of which no benchmark was measured."""
    if any(sweep.state == "running" or sweep.candidate is None for sweep in sweeps):
        return "Training so far; nothing has been evaluated yet."
    return " ".join(f"{_best(sweep)}; no benchmark was measured." for sweep in sweeps)


def _best(sweep: Sweep) -> str:
    chosen = sweep.candidate
    assert chosen is not None
    value = chosen.selection.value
    at = "" if value is None else f", {objective(sweep, value)}{on_dev(sweep)}"
    return f"Trial {chosen.trial} did best{at}" + ("" if chosen.confirmation else ", and was not confirmed")


def sentences(sweep: Sweep) -> Iterator[str]:
    """What was tried, what was chosen, and what fresh seeds made of it."""
    rows = sweep.rows()
    if not rows:
        return
    states = [str(trial.state) for trial in rows]
    names = (
        ("complete", "ran to the end"),
        ("pruned", "were pruned"),
        ("failed", "failed"),
        ("running", "still run"),
    )
    parts = [f"{states.count(state)} {text}" for state, text in names if state in states]
    spent = sum(trial.seconds for trial in rows)
    ended = ", pruned and failed ones included" if {"pruned", "failed"} & set(states) else ""
    took = f" They took {_duration(spent)} in all{ended}." if spent else ""
    yield f"The sweep tried {len(rows)} settings: {some(parts)}.{took}"
    chosen = sweep.candidate
    if chosen is None:
        if sweep.state != "running":
            yield "No trial finished, so there is no winner."
        return
    at = chosen.selection.value
    fresh = [run.value for run in chosen.confirmation if run.value is not None]
    if at is not None and fresh:
        mean = sum(fresh) / len(fresh)
        seeds = "a fresh seed" if len(fresh) == 1 else f"{len(fresh)} fresh seeds"
        seeds += f" for {sweep.confirm_steps} steps" if sweep.confirm_steps else ""
        yield (
            f"Trial {chosen.trial} was chosen at {objective(sweep, at)}{on_dev(sweep)}; trained "
            f"again with {seeds} its settings reach {objective(sweep, mean)}, {_gap(sweep, mean - at)}."
        )
    gain = sweep.summary.selection.improvement
    if gain:
        low, high = (objective_gap(sweep, bound).removesuffix(" points") for bound in gain.ci95)
        over = "over" if is_share(sweep.objective) else "against"
        value, interval = objective_gap(sweep, gain.value), f"(95% interval {low} to {high})"
        if sweep.winner:
            yield f"Confirmed: {value} {over} the base policy{on_dev(sweep)} {interval}."
        else:
            change = f"the change from the base policy{on_dev(sweep)}"
            yield f"No winner: with fresh seeds {change} is {value} {interval}."
    elif sweep.winner is None:
        yield "No winner is declared."
    elif not chosen.confirmation:
        luck, many = sweep.summary.selection.expected_luck, sweep.summary.selection.complete_trials
        told = (
            f"; of {many} equally good trials the best would look {_size(sweep, luck)} too good by luck"
            if luck and many
            else ""
        )
        yield f"{_best(sweep)}{told}."


def _duration(seconds: float) -> str:
    """ "48 seconds", "12 minutes", "3.4 hours"."""
    if seconds < 120:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 7200 else f"{seconds / 3600:.1f} hours"


def _gap(sweep: Sweep, gap: float) -> str:
    size = _size(sweep, gap)
    return "the same" if size in ("0.0 points", "0") else f"{size} {'lower' if gap < 0 else 'higher'}"


def _size(sweep: Sweep, gap: float) -> str:
    return f"{100 * abs(gap):.1f} points" if is_share(sweep.objective) else plain(abs(gap))
