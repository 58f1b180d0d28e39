"""The commands that take results to other programs: export, push."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from evals.base.errors import UsageError
from harness.cli.app import AROUND, MEASURE, Json, app, print_json, sweep_folder


@app.command(rich_help_panel=MEASURE)
def export(
    folder: Annotated[
        Path, typer.Argument(callback=sweep_folder, help="The folder of an evaluation, a run or a sweep.")
    ],
    to: Annotated[str, typer.Option(help="inspect (.eval logs), lm-eval (results and samples) or parquet.")],
    out: Annotated[
        Path | None, typer.Option(help="Output folder. By default export/ in the given folder.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Writes evaluations in the formats of other programs. `harness compare` reads them all back.

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
    run: Annotated[
        Path,
        typer.Argument(callback=sweep_folder, help="The folder of a run, or of a sweep (for its winner)."),
    ],
    name: Annotated[str, typer.Argument(help="Repository on the Hugging Face hub: OWNER/NAME.")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Write the files that would be uploaded, and upload nothing.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(help="With --dry-run: the folder to write. By default hub/ in the run's folder."),
    ] = None,
    private: Annotated[bool, typer.Option("--private", help="Create a private repository.")] = False,
    as_json: Json = False,
) -> None:
    """Uploads a trained model to the Hugging Face hub: weights, model card with scores, report and samples.

    Uses the credentials of `hf auth login` or HF_TOKEN. The optimizer state is not uploaded.

    Example: harness push runs/quickstart me/tiny-reasoner --dry-run
    """
    from harness.jobs import push as hub

    if out is not None and not dry_run:
        raise UsageError("push: --out only applies to --dry-run")
    sent = str(hub.write_folder(run, name, out or run / "hub")) if dry_run else hub.push(run, name, private)
    if as_json:
        print_json({"written" if dry_run else "sent": sent})
    else:
        typer.echo(f"{'Written' if dry_run else 'Uploaded'}: {sent}")
