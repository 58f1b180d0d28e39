"""The command that shows how two runs differ: diff."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from evals.base.terminal import Terminal
from evals.base.text import printable
from harness.cli.app import MEASURE, Json, app, print_json, sweep_folder

if TYPE_CHECKING:
    from reports.difference import Difference


@app.command(rich_help_panel=MEASURE)
def diff(
    a: Annotated[
        Path, typer.Argument(metavar="A", callback=sweep_folder, help="A run, a sweep or an evaluation.")
    ],
    b: Annotated[
        Path, typer.Argument(metavar="B", callback=sweep_folder, help="Another run, sweep or evaluation.")
    ],
    as_json: Json = False,
) -> None:
    """Prints the settings in which two runs or sweeps differ, and the metrics of both.

    To test whether a difference is significant, use `harness compare`.

    Example: harness diff runs/first runs/second
    """
    from reports.difference import difference

    found = difference(a, b)
    if as_json:
        print_json(_as_json(found))
        return
    _print(found, str(a), str(b))


def _as_json(found: Difference) -> dict[str, Any]:
    return {
        "settings": [asdict(each) for each in found.settings],
        "figures": [{**asdict(each), "difference": each.difference} for each in found.figures],
        "problems": list(found.problems),
    }


def _print(found: Difference, a: str, b: str) -> None:
    from harness.cli.console import plain_table

    console = Terminal()
    console.print(f"a = {printable(a)}, b = {printable(b)}", markup=False)
    if found.settings:
        table = plain_table("settings")
        for heading in ("setting", "a", "b"):
            table.add_column(heading, overflow="fold")
        for setting in found.settings:
            table.add_row(escape(setting.key), _value(setting.a), _value(setting.b))
        console.print(table)
    else:
        console.print("No setting differs.")
    table = plain_table("metrics")
    for heading in ("metric", "a", "b", "b − a"):
        table.add_column(heading, overflow="fold", justify="left" if heading == "metric" else "right")
    for figure in found.figures:
        name = escape(printable(figure.name))
        table.add_row(name, figure.shown(figure.a), figure.shown(figure.b), figure.gap)
    if found.figures:
        console.print(table)
    for problem in found.problems:
        console.print(printable(problem), markup=False)


def _value(value: object) -> str:
    return "[dim]not set[/dim]" if value is None else escape(printable(str(value)))
