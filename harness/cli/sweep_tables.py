"""Sweeps and plans on the terminal: how one stands, what it found, what an experiment would take."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from evals.base.terminal import Terminal
from evals.base.text import duration
from harness.cli.console import HEADINGS, percent, plain_table, scores_row

if TYPE_CHECKING:
    from harness.jobs.sweep import SweepResult
    from harness.plan.plan import Plan
    from harness.plan.sizes import Size
    from harness.sweep.simulate import Result
    from harness.sweep.status import SweepStatus
    from harness.sweep.summary import Summary

SUPERSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
"""Digits as the marks of footnotes."""


def sweep_result(result: SweepResult) -> None:
    """The winner, how it was chosen, what it is worth on the benchmarks, and where the report is."""
    console = Terminal()
    summary = result.summary
    states = [trial.state for trial in summary.trials]
    counts = ", ".join(
        f"{states.count(state)} {state}" for state in ("complete", "pruned", "failed") if state in states
    )
    console.print(f"{len(states)} trials: {counts}", markup=False)
    console.print(summary.selection.verdict, markup=False)
    if summary.pareto is not None:
        console.print(_pareto_table(summary, summary.pareto))
    table = plain_table(None)
    for heading in HEADINGS:
        table.add_column(heading, justify="left" if heading == "benchmark" else "right", no_wrap=True)
    for name, scores in result.scores.items():
        table.add_row(f"[bold]{escape(name)}[/bold]")
        for each in scores:
            table.add_row(*scores_row(each), end_section=each is scores[-1])
    if any(result.scores.values()):
        console.print(table)
    console.print(f"Report: {result.report.resolve().as_uri()}", markup=False, soft_wrap=True)


def _pareto_table(summary: Summary, front: Sequence[int]) -> Table:
    """The trials that no other beats in every objective, the best by the first objective on top."""
    from harness.jobs.sweep_line import estimate

    objectives = summary.objectives
    first = next(iter(objectives))
    table = plain_table("Not beaten in every objective")
    for heading in (
        "trial",
        *(f"{name} ({direction})" for name, direction in objectives.items()),
        "settings",
    ):
        table.add_column(heading, justify="left" if heading == "settings" else "right")
    best = sorted(
        (trial for trial in summary.trials if trial.number in front),
        key=lambda trial: trial.history[-1].value,
        reverse=summary.direction == "maximize",
    )
    for trial in best:
        last = trial.history[-1]
        others = (f"{trial.metrics[name]:.4g}" for name in list(objectives)[1:])
        settings = ", ".join(f"{key} = {value}" for key, value in trial.params.items())
        table.add_row(str(trial.number), estimate(first, last.value, last.stderr), *others, escape(settings))
    return table


def simulation_table(rows: Sequence[tuple[str, Result]]) -> None:
    """One line per pruner: whether the best trial survives, and what it costs."""
    table = plain_table(None)
    for heading in ("pruner", "best survives", "compute", "time", "idle", "regret"):
        table.add_column(heading, justify="left" if heading == "pruner" else "right", no_wrap=True)
    for name, result in rows:
        shares = (result.survived, result.compute, result.duration, result.idle)
        table.add_row(name, *(percent(share) for share in shares), f"{result.regret:.4f}")
    Terminal().print(table)


def sweep_status(summary: SweepStatus) -> None:
    """One line per trial, and what is left to do."""
    from harness.jobs.sweep_line import estimate

    table = plain_table(None)
    for heading in ("trial", "state", "step", summary.objective, "launches", "time", "why"):
        table.add_column(heading, justify="left" if heading in ("state", "why") else "right")
    for trial in summary.trials:
        last = trial.history[-1] if trial.history else None
        step = trial.step if trial.step is not None or last is None else last.step
        table.add_row(
            str(trial.number),
            trial.state,
            "" if step is None else str(step),
            "" if trial.value is None else estimate(summary.objective, trial.value, trial.stderr),
            str(trial.attempts),
            duration(trial.seconds),
            escape(trial.reason),
        )
    console = Terminal()
    console.print(table)
    ended = sum(trial.state != "running" for trial in summary.trials)
    console.print(f"{ended} of {summary.planned} trials have ended.")
    winner = summary.winner
    console.print("No winner yet." if winner is None else f"The winner is trial {winner.trial}.")
    cost = summary.cost
    money = "" if cost.cost is None else f", {cost.cost:,.2f} at the price given"
    console.print(
        f"So far: {cost.launches} launches, {cost.device_seconds / 3600:.2f} device-hours{money}, "
        f"{cost.tokens:,} tokens, {cost.flops / 1e12:.3g} TFLOPs, lost and pruned work included."
    )


def plan_table(plan: Plan) -> None:
    """A part a line, then the sums, what they rest on, and what to beware of."""
    table = plain_table(None)
    table.add_column("run", overflow="fold")
    table.add_column("part", overflow="fold", min_width=14)
    priced = any(part.price is not None for part in plan.parts)
    for heading in ("runs", "steps", "tokens", "FLOPs", "time", *(["price"] if priced else [])):
        table.add_column(heading, justify="right", no_wrap=True)
    before, notes = "", dict.fromkeys(part.note for part in plan.parts if part.note)
    marks = {note: str(place).translate(SUPERSCRIPTS) for place, note in enumerate(notes, start=1)}
    for part in plan.parts:
        named = escape(part.run) if part.run != before else ""
        table.add_row(
            named,
            escape(part.part) + marks.get(part.note, ""),
            str(part.runs) if named else "",
            f"{part.steps:,}",
            _short(part.tokens),
            f"{part.flops:.1e}" if part.flops else "",
            duration(part.seconds),
            *([] if not priced else ["" if part.price is None else _money(part.price)]),
        )
        before = part.run
    console = Terminal()
    console.print(table)
    for note, mark in marks.items():
        console.print(f"{mark} {note}", markup=False)
    price = "" if plan.cost is None else f", {plan.cost:,.2f} at that price"
    if plan.server_cost is not None:
        price += f", {_money(plan.server_cost)} for answers of servers"
    sums = (
        f"{_short(plan.tokens)} tokens, {plan.flops:.1e} FLOPs, {plan.device_hours:,.2f} device-hours{price}"
        f", {duration(plan.elapsed)} by the clock"
    )
    console.print(f"{plan.name}: {sums}; {plan.memory_gib:,.1f} GiB per device.", markup=False)
    console.print(f"Basis: {plan.basis}.", markup=False)
    for warning in plan.warnings:
        console.print(f"Note: {warning}.", markup=False)


def sizes_table(found: Sequence[Size], devices: int) -> None:
    """A line a model and GPU: with which settings it fits, and how long a step takes."""
    from harness.plan import sizes

    table = plain_table(None)
    for heading in sizes.headings():
        table.add_column(heading, overflow="fold")
    for row in sizes.rows(found):
        table.add_row(*row)
    console = Terminal()
    console.print(table)
    console.print(
        f"Computed by data sheets, not measured: one GRPO step of {sizes.QUESTIONS} questions with G "
        f"responses each, half as long as they may be, {devices} of the GPUs at work. docs/gpus.md says "
        "what each setting is.",
        markup=False,
    )


def _money(price: float) -> str:
    """Two decimals, or four where those would show little."""
    return f"{price:,.2f}" if price >= 1 or not price else f"{price:,.4f}"


def _short(count: float) -> str:
    """1,234,567 as 1.2M; "" for 0."""
    for size, letter in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if count >= size:
            return f"{count / size:,.1f}{letter}"
    return f"{count:,.0f}" if count else ""
