"""The command `reproduce`: a paper's tables, measured."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from evals.base.text import printable
from harness.cli.app import MEASURE, EngineKind, Json, Quiet, app, print_json


@app.command(rich_help_panel=MEASURE)
def reproduce(
    table: Annotated[str, typer.Argument(help="table2, table4, table5, table6, or one of a --paper.")],
    recorded: Annotated[
        list[Path] | None,
        typer.Option("--from", metavar="DIR", help="Judge by the samples recorded here; run nothing."),
    ] = None,
    papers: Annotated[
        list[Path] | None,
        typer.Option("--paper", metavar="FILE", help="Another paper's values: a CSV as in reports/paper/."),
    ] = None,
    models: Annotated[
        str | None, typer.Option(help="Run these alone: published names with commas between.")
    ] = None,
    samples: Annotated[
        int | None, typer.Option(min=1, help="Samples per question; by default the plan's.")
    ] = None,
    hours: Annotated[float, typer.Option(min=0.0, help="Start no evaluation that would take longer.")] = 24.0,
    max_tokens: Annotated[
        int | None, typer.Option(min=1, help="The longest response; other than 32768: nothing is judged.")
    ] = None,
    template: Annotated[
        str | None, typer.Option(help="The prompt template; other than chat-boxed: nothing is judged.")
    ] = None,
    engine: EngineKind = "transformers",
    out: Annotated[
        Path | None, typer.Option(help="Where evaluations and tables go; by default runs/reproduce-TABLE.")
    ] = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Measures a table of the DeepSeek-R1 paper: ours beside the published value, and a verdict per cell.

    Runs or resumes what this machine can do; what it cannot says why. Writes Markdown, CSV, LaTeX and HTML.
    Where no cell was measured it exits with 1.

    Example: harness reproduce table5 --models DeepSeek-R1-Distill-Qwen-1.5B --engine vllm

    Example: harness reproduce table5 --from runs/recorded
    """
    from evals import templates
    from evals.base.progress import Progress
    from harness.cli import console
    from harness.jobs import reproduce as job

    folder, progress = out or Path("runs") / f"reproduce-{table}", Progress(quiet)
    if recorded:
        done = job.from_recordings(table, recorded, folder, progress, papers or ())
    else:
        names = tuple(name.strip() for name in models.split(",")) if models else ()
        if template is not None:
            templates.check(template)
        settings = job.Settings(engine, names, samples, hours, max_tokens, template)
        done = job.run_plan(table, folder, progress, settings, papers or ())
    if as_json:
        print_json([cell.to_json() for cell in done.cells])
    else:
        console.reproduction(done.cells, done.files)
    for problem in done.problems:
        typer.echo(printable(problem), err=True)
    if not done.measured:
        raise typer.Exit(1)
