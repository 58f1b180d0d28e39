"""The command that says how runs stand, in a line each: status."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from evals.base.errors import UsageError
from harness.cli.app import MEASURE, Json, app, print_json


@app.command(rich_help_panel=MEASURE)
def status(
    folder: Annotated[Path, typer.Argument(help="A run, a sweep, or any folder that holds such.")] = Path(
        "runs"
    ),
    running: Annotated[bool, typer.Option("--running", help="Only what is at work now.")] = False,
    as_json: Json = False,
) -> None:
    """Says how everything below a folder stands: running, done or failed, how far, best so far, time left.

    What a sweep or a comparison holds is not listed apart; `harness sweep --status DIR` has a sweep's trials.

    Example: harness status runs --running
    """
    from harness.cli import console
    from reports.view.places import find
    from reports.view.standing import standing

    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder")
    found = [(place, standing(place)) for place in find(folder)]
    if not found:
        raise UsageError(f"{folder}: holds no run, sweep, comparison or evaluation")
    if running:
        found = [(place, one) for place, one in found if one.live]
    if as_json:
        print_json([{"folder": str(place.folder), **asdict(one)} for place, one in found])
    else:
        console.standings_table(found)
