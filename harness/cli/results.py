"""The commands that send results elsewhere: export, push."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from evals.base.errors import UsageError
from harness.cli.app import AROUND, MEASURE, Json, app, print_json


@app.command(rich_help_panel=MEASURE)
def export(
    folder: Annotated[Path, typer.Argument(help="An evaluation's folder, a run's or a sweep's.")],
    to: Annotated[str, typer.Option(help="inspect (.eval logs), lm-eval (results and samples) or parquet.")],
    out: Annotated[
        Path | None, typer.Option(help="Where the files go; by default export/ in the folder.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Writes evaluations as the files of other programs; `harness compare` reads all of them back.

    Example: harness export runs/eval-tiny --to inspect && inspect view --log-dir runs/eval-tiny/export

    Example: harness export runs/quickstart --to parquet --out tables
    """
    from evals import export as exports

    written = [str(path) for path in exports.export(folder, to, out)]
    if as_json:
        print_json({"files": written})
    else:
        typer.echo("\n".join(written))


@app.command(rich_help_panel=AROUND)
def push(
    run: Annotated[Path, typer.Argument(help="A run's folder or a sweep's (its winner).")],
    name: Annotated[str, typer.Argument(help="The repository on the Hugging Face hub: OWNER/NAME.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only write what would be sent.")] = False,
    out: Annotated[
        Path | None, typer.Option(help="With --dry-run: the new folder; by default hub/ in the run's.")
    ] = None,
    private: Annotated[
        bool, typer.Option("--private", help="A repository that only its owner sees.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Sends a trained model to the Hugging Face hub: weights, a model card with scores, report and samples.

    It signs in as `hf auth login` or HF_TOKEN say. The optimizer's state stays here.

    Example: harness push runs/quickstart me/tiny-reasoner --dry-run
    """
    from harness.jobs import push as hub

    if out is not None and not dry_run:
        raise UsageError("push: --out is for --dry-run")
    sent = str(hub.write_folder(run, name, out or run / "hub")) if dry_run else hub.push(run, name, private)
    if as_json:
        print_json({"written" if dry_run else "sent": sent})
    else:
        typer.echo(f"{'Written' if dry_run else 'Sent'}: {sent}")
