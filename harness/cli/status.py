"""The command that shows the state of runs, one line each: status."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from evals.base.errors import UsageError
from evals.base.terminal import Terminal
from evals.base.text import duration
from harness.cli.app import MEASURE, Below, Json, app, print_json

if TYPE_CHECKING:
    from reports.view.places import Place
    from reports.view.standing import Standing


@app.command(rich_help_panel=MEASURE)
def status(
    folder: Below = Path("runs"),
    running: Annotated[bool, typer.Option("--running", help="Show only what is running now.")] = False,
    as_json: Json = False,
) -> None:
    """Shows the state of every run below a folder: running, done or failed; progress, best value, time left.

    Runs inside a sweep or a comparison are not listed; `harness sweep --status DIR` shows a sweep's trials.

    Example: harness status runs --running
    """
    from reports.view.places import find
    from reports.view.standing import standing

    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder")
    found = [(place, standing(place)) for place in find(folder)]
    if not found:
        raise UsageError(f"{folder}: contains no run, sweep, comparison or evaluation")
    if running:
        found = [(place, one) for place, one in found if one.live]
    if as_json:
        print_json([{"folder": str(place.folder), **asdict(one)} for place, one in found])
    else:
        _table(found)


def _table(found: Sequence[tuple[Place, Standing]]) -> None:
    """One line per run, sweep, comparison or evaluation."""
    from harness.cli import console
    from reports.view.standing import ago

    table = console.plain_table(None)
    for heading in ("folder", "what", "state", "progress", "best", "cost", "last seen", "left"):
        table.add_column(heading, overflow="fold")
    for place, one in found:
        cells = (str(place.folder), one.kind, one.state, one.progress, one.best, one.cost)
        table.add_row(*map(escape, cells), ago(one.seen), duration(one.left))
    terminal = Terminal()
    terminal.print(table)
    for place, one in found:
        if one.reason:
            terminal.print(f"{place.folder}: {one.reason}", markup=False, soft_wrap=True)
        for advice in one.advice:
            terminal.print(f"{place.folder}: {advice}", markup=False, soft_wrap=True)
