"""The Typer application, and the options that several commands share."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from evals.base.errors import UsageError
from evals.base.text import printable_json

if TYPE_CHECKING:
    from evals.base.progress import Progress
    from harness.config.choice import Choice

Dtype = Literal["float32", "bfloat16"]
Device = Literal["auto", "cpu", "cuda"]
EngineKind = Annotated[
    str,
    typer.Option(
        help='What generates the samples: "transformers", "vllm", or your own engine ("file.py:name").'
    ),
]
EngineSettings = Annotated[
    list[str] | None,
    typer.Option(
        "--engine-set",
        metavar="KEY=VALUE",
        help="A setting of the engine, such as vLLM's tensor_parallel=8. Can be repeated.",
    ),
]

app = typer.Typer(
    name="harness",
    help="Sweep GRPO settings, train small reasoning models, and measure whether they really got better.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)

RUN, MEASURE, AROUND = "Train", "Evaluate and report", "Set up and share"
"""Panels of `harness --help`."""
FIRST = ("quickstart", "train", "sweep", "plan", "eval", "score", "compare", "report")
"""Commands at the top of their panels."""


def place(command: Any) -> tuple[int, int]:
    """Where `harness --help` shows a command: its panel, and its place there."""
    name = command.name or command.callback.__name__
    panel = (RUN, MEASURE, AROUND).index(command.rich_help_panel)
    return panel, FIRST.index(name) if name in FIRST else len(FIRST)


def sweep_folder(given: Any) -> Any:
    """``given``, with a sweep's folder in place of its summary.json: a callback of what names a folder."""
    if isinstance(given, list | tuple):
        return [sweep_folder(each) for each in given]
    path = None if given is None else Path(given)
    if path is None or path.name != "summary.json" or not path.is_file():
        return given
    return type(given)(path.parent)


EXPERIMENTS = typer.Argument(
    callback=sweep_folder,
    help="Experiment files (TOML), or the folder of a run or sweep. Settings in later files override "
    "those in earlier ones.",
)
Experiments = Annotated[list[Path], EXPERIMENTS]
Below = Annotated[
    Path, typer.Argument(callback=sweep_folder, help="A run, a sweep, or a folder that contains some.")
]

Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "-s", "--set", metavar="KEY=VALUE", help="Override a setting: -s grpo.beta=0.01. Can be repeated."
    ),
]

Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print results only, no progress.")]

Json = Annotated[bool, typer.Option("--json", help="Print the results as JSON on standard output.")]


View = Annotated[
    bool,
    typer.Option("--view", help="Serve live pages of it while it runs, as `harness view` does."),
]


def watched(folder: Path, quiet: bool, view: bool = False) -> Progress:
    """Progress of a job that writes to ``folder``. Its first line says where to see the job.

    With ``view`` that is the address of live pages, else the command that serves them.
    """
    from evals.base.progress import Progress

    if view and quiet:
        raise UsageError("--view prints an address, which --quiet hides: leave one of them out")

    def where() -> str:
        command = f"harness view {shlex.quote(str(folder))}"
        if view:
            from harness.cli.live import serve

            if (address := serve(folder)) is not None:
                return f"To watch it: {address} while it runs, and afterwards: {command}"
        return f"To watch it: {command}"

    return Progress(quiet, first=where)


def engine_of(kind: str, settings: list[str] | None) -> Choice:
    """The engine named ``kind``, with the settings given as ``--engine-set``.

    Raises:
        UsageError: a setting is not KEY=VALUE, or the engine has no such setting.
    """
    from harness.config.choice import Choice
    from harness.config.kinds import ENGINES
    from harness.config.load import parse_override

    given = [parse_override(each, "--engine-set", "tensor_parallel=8") for each in settings or ()]
    choice = Choice.model_validate({"kind": kind, **dict(given)})
    if given:
        ENGINES.factory(choice.kind, choice.settings, "--engine-set")
    return choice


def print_json(value: Any) -> None:
    """Strict JSON on standard output."""
    typer.echo(printable_json(value))
