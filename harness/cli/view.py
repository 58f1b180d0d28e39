"""The command that shows what runs and what ran: view."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from evals.base.errors import UsageError
from harness.cli.app import MEASURE, app


@app.command(rich_help_panel=MEASURE)
def view(
    folder: Annotated[Path, typer.Argument(help="A run, a sweep, or any folder that holds such.")] = Path(
        "runs"
    ),
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="By default 8765, or one that is free.")
    ] = None,
    browser: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
    bundle: Annotated[
        Path | None,
        typer.Option(metavar="OUT", help="Write a static copy into this new folder, and serve nothing."),
    ] = None,
) -> None:
    """Serves pages about all runs below a folder, live, with every sample; or writes a copy of them.

    On this machine alone (127.0.0.1): from another one, go through `ssh -L 8765:localhost:8765 HOST`.

    Example: harness view runs --open

    Example: harness view runs/quickstart --bundle quickstart-pages
    """
    if bundle is not None:
        if port is not None or browser:
            raise UsageError("--bundle: writes files and serves nothing; leave out --port and --open")
        from reports.view.bundle import write_bundle

        written = write_bundle(folder, bundle)
        typer.echo(f"{written} files: {(bundle / 'index.html').resolve()}")
        return
    from reports.view.server import start

    with start(folder, port) as server:
        typer.echo(f"{folder}: {server.url}  (Ctrl-C ends it)")
        if browser:
            webbrowser.open(server.url)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            typer.echo()
