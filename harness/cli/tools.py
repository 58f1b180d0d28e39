"""The commands around it: data, track, doctor."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from evals.base.text import printable
from harness.cli.app import AROUND, Json, app, print_json

DataAction = Literal["list", "fetch", "check"]
TrackAction = Literal["sync"]


@app.command(rich_help_panel=AROUND)
def data(
    action: Annotated[DataAction, typer.Argument(help="list, fetch or check.")],
    names: Annotated[
        list[str] | None,
        typer.Argument(
            help='Data files or tasks by name, by default all; or your own questions: "mine.csv[:800]".'
        ),
    ] = None,
    model: Annotated[str | None, typer.Option(help="Show and count prompts as this model gets them.")] = None,
    template: Annotated[str, typer.Option(help="The prompt template that they are put into.")] = "auto",
    against: Annotated[
        list[str] | None, typer.Option(help="Other questions that yours must not share: mine.csv[800:]")
    ] = None,
    task_file: Annotated[
        Path | None, typer.Option(help=r"A file with tables \[tasks.NAME], such as an experiment.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Lists the data files of the benchmarks, fetches them for offline use, or checks what is there.

    Files live in the folder that HARNESS_DATA names. Your own questions are checked by how they are read,
    duplicates, what they share with benchmarks, prompts' lengths, and answers that the grader cannot read.
    Of examples to learn from (messages, prompts with completions, texts) the first is shown with its
    learned part.

    Example: harness data fetch gsm8k math500

    Example: harness data check mine.csv --model smollm2
    """
    from harness import config
    from harness.cli import console, examples, questions
    from harness.cli import data as data_files

    own = [name for name in names or [] if name not in data_files.known()]
    if action == "check" and own:
        tasks = config.read_tasks(task_file)
        learned = [name for name in own if examples.holds_examples(name, tasks)]
        asked = [name for name in own if name not in learned]
        checks = [questions.check_questions(name, tasks, model, template, against or []) for name in asked]
        looked = [examples.check_examples(name, model, template) for name in learned]
        if as_json:
            print_json([vars(check) for check in (*checks, *looked)])
            return
        for check in checks:
            typer.echo(printable("\n".join(questions.lines(check))))
        for found in looked:
            typer.echo(printable("\n".join(examples.lines(found))))
        return
    files = data_files.act(action, names or [])
    if as_json:
        print_json([vars(file) for file in files])
    else:
        console.data_table(files)


@app.command(rich_help_panel=AROUND)
def tasks(as_json: Json = False) -> None:
    """Lists the tasks that can be trained on and measured by name, and where their questions are from.

    "not checked": nobody has compared the rows with the published ones. Your own: docs/your-own-data.md.

    Example: harness tasks --json
    """
    from harness.cli import console, questions

    found = questions.listed()
    if as_json:
        print_json([vars(task) for task in found])
    else:
        console.tasks_table(found)


@app.command(rich_help_panel=AROUND)
def track(
    action: Annotated[TrackAction, typer.Argument(help="sync.")],
    folder: Annotated[Path, typer.Argument(help="A run, a sweep, or any folder that holds such.")],
) -> None:
    """Uploads the W&B runs that were recorded offline, those of a resumed run as one.

    Example: harness track sync runs/quickstart
    """
    from harness.train.sinks import wandb

    sent = wandb.sync(folder)
    typer.echo(f"{action}: {sent} uploaded" if sent else "Everything was uploaded before.")


@app.command(rich_help_panel=AROUND)
def plugins(as_json: Json = False) -> None:
    """Lists what an experiment can name: rewards, losses, graders, engines and others, and whose they are.

    With the settings that each takes; --json tells where each is, and what its settings mean. How to add one
    of your own: docs/extending.md.

    Example: harness plugins --json
    """
    from harness.cli import console
    from harness.cli import plugins as known

    found = known.listed()
    if as_json:
        print_json([vars(plugin) for plugin in found])
    else:
        console.plugins_table(found)


@app.command(rich_help_panel=AROUND)
def doctor(
    model: Annotated[
        str | None, typer.Argument(help='A hub id, a folder or "tiny": what can be done with it here.')
    ] = None,
    dtype: Annotated[
        Literal["float32", "bfloat16"], typer.Option(help="The dtype of the model's forward pass.")
    ] = "float32",
    as_json: Json = False,
) -> None:
    """Says what this machine has (device, vLLM, sandbox, W&B, data) and what to do about what is missing.

    With a model: whether its training, its adapters and each engine find its own log-probabilities, tried on
    a few tokens. What is refused here is refused by training and evaluation in the same words.

    Example: harness doctor Qwen/Qwen2.5-1.5B
    """
    from harness import config
    from harness.cli import console
    from harness.cli import doctor as checks

    found = checks.examine_model(config.Policy(model=model, dtype=dtype)) if model else checks.examine()
    if as_json:
        print_json([vars(check) for check in found])
    else:
        console.doctor_table(found)
