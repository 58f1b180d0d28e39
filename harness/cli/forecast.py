"""The command that extrapolates learning curves: forecast."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from evals.base.errors import UsageError
from evals.base.terminal import Terminal
from evals.base.text import printable
from harness.cli.app import MEASURE, Json, app, print_json, sweep_folder

if TYPE_CHECKING:
    import pandas as pd

    from reports.outlook import Budget, Outlook

BUDGET = re.compile(r"(\d+(?:\.\d*)?(?:e\+?\d+)?)\s*(steps?|h|hours?|m|minutes?|flops)?", re.IGNORECASE)


@app.command(rich_help_panel=MEASURE)
def forecast(
    run: Annotated[
        Path,
        typer.Argument(
            metavar="RUN", callback=sweep_folder, help="A run, a sweep, or a CSV file of learning curves."
        ),
    ],
    budget: Annotated[
        str | None,
        typer.Option(
            metavar="N[steps|h|m|flops]",
            help="Additional budget: steps, device-hours, device-minutes or FLOPs. By default, up to the "
            "planned end; or, for a finished run, half as many steps again.",
        ),
    ] = None,
    metric: Annotated[
        str | None,
        typer.Option(help="Metric to forecast. By default the sweep's objective, dev/pass@1 or reward."),
    ] = None,
    worth: Annotated[
        float,
        typer.Option(min=0, help="The smallest gain that makes it worth continuing, in the metric's unit."),
    ] = 0.01,
    until: Annotated[
        int | None,
        typer.Option(
            metavar="STEP", help="Forecast from the steps up to this one, and compare with what came later."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Forecasts where a run, or each trial of a sweep, is heading, and whether it is worth continuing.

    Example: harness forecast runs/first --budget 2h

    Example: harness forecast runs/quickstart --budget 200steps --json
    """
    from reports.outlook import Track, horizon_of

    allowed = None if budget is None else _budget(budget)
    found: list[tuple[str, Outlook]] = []
    names: set[str] = set()
    tables = list(_tables(run))
    for label, frame, objective, end in tables:
        names |= {str(name) for name in frame.columns} - {"step", "stage", "time", "stderr"}
        for name in [metric] if metric else [objective, "dev/pass@1", "reward"]:
            if name is None or name not in frame or not frame[name].notna().any():
                continue
            try:
                track = Track(frame, name, until)
            except KeyError:
                continue  # not measured by then
            try:
                horizon = horizon_of(track.step, end) if allowed is None else track.further(allowed)
            except ValueError as error:
                raise UsageError(f"--budget {budget}: {label}: {error}") from None
            if allowed is None and until is not None and until < (last := int(frame["step"].max())):
                horizon = last
            found.append((label, track.outlook(horizon, worth)))
            break
    if not found:
        what = metric or "objective, dev/pass@1 or reward"
        by_then = f" by step {until}" if until is not None else ""
        there = f"; there is {', '.join(sorted(names))}" if names else ""
        raise UsageError(f"{run}: no values of {what}{by_then}{there}")
    found.sort(key=lambda each: -(each[1].gain_per_device_hour or each[1].gain))
    if as_json:
        print_json([_as_json(label, outlook) for label, outlook in found])
    else:
        _print(found)


def _budget(text: str) -> Budget:
    from reports.outlook import Budget

    match = BUDGET.fullmatch(text.strip())
    if match is None or float(match[1]) <= 0:
        raise UsageError(f"--budget {text}: must look like 200steps, 1.5h, 30m or 1e18flops")
    amount, unit = float(match[1]), (match[2] or "steps").lower()
    if unit.startswith("h"):
        return Budget(device_hours=amount)
    if unit.startswith("m"):
        return Budget(device_hours=amount / 60)
    return Budget(flops=amount) if unit == "flops" else Budget(steps=amount)


def _tables(run: Path) -> Iterator[tuple[str, pd.DataFrame, str | None, int | None]]:
    """Label, metrics, objective and planned last step of every curve in ``run``."""
    from reports.collect import collect
    from reports.curve_files import read_curves
    from reports.outlook import planned

    if run.is_file():
        for label, frame in read_curves(run):
            yield label, frame, None, None
        return
    study = collect([run])
    for sweep in study.sweeps:
        end = planned(sweep.experiment)
        for number, frame in sorted(sweep.trials.items()):
            if not frame.empty:
                yield f"trial {number}", frame, sweep.objective, end
    for training in study.runs:
        if not training.metrics.empty:
            yield training.label, training.metrics, None, planned(training.experiment)
    if not study.sweeps and not study.runs:
        raise UsageError(f"{run}: contains no run or sweep. {' '.join(study.problems)}".rstrip())


def _as_json(label: str, outlook: Outlook) -> dict[str, Any]:
    rate = outlook.gain_per_device_hour
    return {"run": label, **asdict(outlook), "gain_per_device_hour": rate, "go_on": outlook.go_on}


def _print(found: list[tuple[str, Outlook]]) -> None:
    from harness.cli.console import plain_table
    from reports.outlook import sentence

    console = Terminal()
    for label, outlook in found:
        console.print(printable(f"{label}: {sentence(outlook)}"), markup=False)
        if not outlook.held:
            continue
        table = plain_table("held out")
        for heading in ("step", "measured", "expected", "80% interval", "95% interval"):
            table.add_column(heading, justify="right")
        for each in outlook.held:
            ends = [f"{low:.4g} to {high:.4g}" for low, high in (each.interval80, each.interval95)]
            table.add_row(str(each.step), f"{each.value:.4g}", f"{each.expected:.4g}", *map(escape, ends))
        console.print(table)
