"""The command that serves pages about runs: view."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from evals.base.errors import UsageError
from harness.cli.app import MEASURE, Below, app


@app.command(rich_help_panel=MEASURE)
def view(
    folder: Below = Path("runs"),
    port: Annotated[
        int | None,
        typer.Option(
            min=0, max=65535, help="Port to serve on. By default 8765, or a free one if it is taken."
        ),
    ] = None,
    browser: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
    bundle: Annotated[
        Path | None,
        typer.Option(metavar="OUT", help="Write a static copy of the pages to this new folder, and exit."),
    ] = None,
) -> None:
    """Serves live web pages about all runs below a folder, with every sample; or writes a static copy.

    The server listens on 127.0.0.1 only. To see it from another machine, use
    `ssh -L 8765:localhost:8765 HOST`.

    Example: harness view runs --open

    Example: harness view runs/quickstart --bundle quickstart-pages
    """
    if bundle is not None:
        if port is not None or browser:
            raise UsageError("--bundle writes files and serves nothing: leave out --port and --open")
        from reports.view.bundle import write_bundle

        written = write_bundle(folder, bundle)
        typer.echo(f"{written} files: {(bundle / 'index.html').resolve()}")
        return
    from reports.view.server import start

    with start(folder, port) as server:
        typer.echo(f"{folder}: {server.url}  (press Ctrl-C to stop)")
        if browser:
            webbrowser.open(server.url)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            typer.echo()
