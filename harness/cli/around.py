"""The commands around it: data, track, doctor."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from harness.cli.app import AROUND, Json, app, print_json

DataAction = Literal["list", "fetch", "check"]
TrackAction = Literal["sync"]


@app.command(rich_help_panel=AROUND)
def data(
    action: Annotated[DataAction, typer.Argument(help="list, fetch or check.")],
    names: Annotated[
        list[str] | None, typer.Argument(help="Data files by name; by default all of them.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Lists the data files of the benchmarks, fetches them for offline use, or checks what is there.

    Files live in the folder that HARNESS_DATA names.

    Example: harness data fetch gsm8k_test math500
    """
    from harness import data_files, show

    found = data_files.act(action, names or [])
    if as_json:
        print_json([vars(file) for file in found])
    else:
        show.data_table(found)


@app.command(rich_help_panel=AROUND)
def track(
    action: Annotated[TrackAction, typer.Argument(help="sync.")],
    folder: Annotated[Path, typer.Argument(help="A run, a sweep, or any folder that holds such.")],
) -> None:
    """Uploads the W&B runs that were recorded offline, those of a resumed run as one.

    Example: harness track sync runs/quickstart
    """
    from harness import tracking

    sent = tracking.sync(folder)
    typer.echo(f"{action}: {sent} uploaded" if sent else "Everything was uploaded before.")


@app.command(rich_help_panel=AROUND)
def doctor(as_json: Json = False) -> None:
    """Says what this machine has (device, vLLM, sandbox, W&B, data) and what to do about what it has not.

    Example: harness doctor
    """
    from harness import doctor as checks
    from harness import show

    found = checks.examine()
    if as_json:
        print_json([vars(check) for check in found])
    else:
        show.doctor_table(found)
