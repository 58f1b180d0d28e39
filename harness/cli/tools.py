"""The commands data, tasks, track, plugins and doctor."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from evals.base.text import printable
from harness.cli.app import AROUND, Below, Json, app, print_json

DataAction = Literal["list", "fetch", "check"]
TrackAction = Literal["sync"]


@app.command(rich_help_panel=AROUND)
def data(
    action: Annotated[DataAction, typer.Argument(help="What to do: list, fetch or check.")],
    names: Annotated[
        list[str] | None,
        typer.Argument(
            help='Names of data files or tasks (by default all), or your own questions: "mine.csv[:800]".'
        ),
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Show prompts as this model sees them, and count their tokens.")
    ] = None,
    template: Annotated[str, typer.Option(help="Prompt template.")] = "auto",
    against: Annotated[
        list[str] | None,
        typer.Option(help="Questions that yours must not overlap with: mine.csv[800:]. Can be repeated."),
    ] = None,
    task_file: Annotated[
        Path | None, typer.Option(help=r"A TOML file with \[tasks.NAME] tables, such as an experiment.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Lists the benchmarks' data files, fetches them for offline use, or checks data, your own included.

    The files are kept in the folder named by HARNESS_DATA. `check` on your own questions shows how they are
    read, and reports duplicates, overlap with benchmarks, prompt lengths, and gold answers that the grader
    cannot read. On training examples (messages, prompts with completions, texts) it shows the first one and
    marks the part that is learned.

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
    """Lists the built-in tasks, for training or evaluation, and where their questions come from.

    "not checked" means that the rows were not compared with the published ones. --json adds titles, and the
    commits that data sets are pinned to. To use your own questions, see docs/your-own-data.md.

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
    action: Annotated[TrackAction, typer.Argument(help="What to do: sync.")],
    folder: Below,
) -> None:
    """Uploads W&B runs that were recorded offline. A resumed run is uploaded as one.

    Example: harness track sync runs/quickstart
    """
    from harness.train.sinks import wandb

    sent = wandb.sync(folder)
    typer.echo(f"{action}: {sent} uploaded" if sent else "Nothing to upload.")


@app.command(rich_help_panel=AROUND)
def plugins(as_json: Json = False) -> None:
    """Lists the rewards, losses, graders, engines and so on that an experiment can name, with their settings.

    --json adds where each one is defined and what its settings mean. To add your own, see docs/extending.md.

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
        str | None,
        typer.Argument(help='Check a model too: a Hugging Face model (OWNER/NAME), a folder or "tiny".'),
    ] = None,
    dtype: Annotated[
        Literal["float32", "bfloat16"], typer.Option(help="Data type of the model's forward pass.")
    ] = "float32",
    as_json: Json = False,
) -> None:
    """Checks this machine (device, vLLM, sandbox, W&B, data) and says how to install what is missing.

    With a model: also checks on a few tokens that training, LoRA and each engine compute the model's
    log-probabilities correctly. Training and evaluation run the same checks.

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
