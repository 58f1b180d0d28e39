"""The command that measures a paper's tables again: reproduce."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evals.base.errors import UsageError
from evals.base.text import printable
from harness.cli import served
from harness.cli.app import MEASURE, EngineKind, Json, Quiet, app, print_json

if TYPE_CHECKING:
    from evals.templates import Template


@app.command(rich_help_panel=MEASURE)
def reproduce(
    table: Annotated[
        str, typer.Argument(help="table2, table4, table5, table6, or a table of a --paper file.")
    ],
    recorded: Annotated[
        list[Path] | None,
        typer.Option(
            "--from",
            metavar="DIR",
            help="Use the samples recorded in this folder, and run nothing. Can be repeated.",
        ),
    ] = None,
    papers: Annotated[
        list[Path] | None,
        typer.Option(
            "--paper",
            metavar="FILE",
            help="Another paper's values: a CSV file like those in reports/paper/. Can be repeated.",
        ),
    ] = None,
    models: Annotated[
        str | None, typer.Option(help="Only these models: comma-separated published names.")
    ] = None,
    samples: Annotated[
        int | None, typer.Option(min=1, help="Samples per question. By default, the paper's number.")
    ] = None,
    hours: Annotated[
        float, typer.Option(min=0.0, help="Skip evaluations estimated to take longer than this.")
    ] = 24.0,
    max_tokens: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Maximum length of a response, in tokens. Other than 32768, no verdicts are given.",
        ),
    ] = None,
    template: Annotated[
        str | None,
        typer.Option(help="Prompt template. With one other than chat-boxed, no verdicts are given."),
    ] = None,
    system_prompt: Annotated[
        str | None, typer.Option(help="A system message. The paper has none: no verdicts are given.")
    ] = None,
    engine: EngineKind = "transformers",
    server: served.Addresses = None,
    api: served.Api = None,
    key_env: served.KeyEnv = None,
    served_model: served.ServedModel = None,
    chat_template_kwargs: served.ChatTemplateKwargs = None,
    concurrency: served.Concurrency = None,
    price: served.Price = None,
    out: Annotated[Path | None, typer.Option(help="Output folder. By default runs/reproduce-TABLE.")] = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Reproduces a table of the DeepSeek-R1 paper: our value next to the published one, a verdict per cell.

    Runs, or resumes, the evaluations that this machine can do, and says why the others were skipped. Writes
    Markdown, CSV, LaTeX and HTML. The exit code is 1 if no cell was measured.

    Example: harness reproduce table5 --models DeepSeek-R1-Distill-Qwen-1.5B --engine vllm

    Example: harness reproduce table5 --from runs/recorded

    Example: harness reproduce table5 --server http://localhost:8000/v1
    """
    from evals.base.progress import Progress
    from harness.cli import console
    from harness.jobs import reproduce as job

    folder, progress = out or Path("runs") / f"reproduce-{table}", Progress(quiet)
    asked = served.server_of(server, api, key_env, served_model, concurrency, price)
    if asked is not None and (recorded or engine != "transformers"):
        raise UsageError(f"--{'from' if recorded else 'engine'} has no effect with --server: leave one out")
    if recorded:
        _check_unused(
            engine=None if engine == "transformers" else engine,
            models=models,
            samples=samples,
            max_tokens=max_tokens,
            template=template,
            system_prompt=system_prompt,
            chat_template_kwargs=chat_template_kwargs,
        )
        done = job.from_recordings(table, recorded, folder, progress, papers or ())
    else:
        names = tuple(name.strip() for name in models.split(",")) if models else ()
        wording = _wording(template, system_prompt, chat_template_kwargs)
        settings = job.Settings(engine, names, samples, hours, max_tokens, wording, asked)
        done = job.run_plan(table, folder, progress, settings, papers or ())
    if as_json:
        print_json([cell.to_json() for cell in done.cells])
    else:
        console.reproduction(done)
    for problem in done.problems:
        typer.echo(printable(problem), err=True)
    if not done.measured:
        raise typer.Exit(1)


def _check_unused(**options: object) -> None:
    """Refuses options that say how to sample, where recorded samples are read."""
    for name, given in options.items():
        if given is not None:
            raise UsageError(f"--{name.replace('_', '-')} has no effect with --from: leave one out")


def _wording(template: str | None, system: str | None, settings: str | None) -> str | Template | None:
    """The template that the options choose; None: the paper's.

    Raises:
        UsageError: no such template, or not one of the kind that the other options change.
    """
    from evals import protocols, templates
    from harness.cli.prompts import with_system
    from reports.papers.verdicts import PROTOCOL

    if template is not None:
        templates.check(template)
    if system is None and settings is None:
        return template
    chosen = template or protocols.get(PROTOCOL).template
    return served.with_chat_settings(chosen if system is None else with_system(chosen, system), settings)
