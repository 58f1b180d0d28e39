"""The application that the commands join, and the options that several of them have."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from evals.base.text import printable_json

if TYPE_CHECKING:
    from evals.base.progress import Progress
    from harness.config.choice import Choice

Dtype = Literal["float32", "bfloat16"]
Device = Literal["auto", "cpu", "cuda"]
EngineKind = Annotated[
    str, typer.Option(help='What samples: "transformers", "vllm", or one of your own ("file.py:name").')
]
EngineSettings = Annotated[
    list[str] | None,
    typer.Option(
        "--engine-set",
        metavar="KEY=VALUE",
        help="A setting of the engine, such as vLLM's tensor_parallel=8; may be repeated.",
    ),
]

app = typer.Typer(
    name="harness",
    help="Sweep GRPO settings, train small reasoning models, measure honestly whether they got better.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)

RUN, MEASURE, AROUND = "Train", "Measure and show", "Around it"
"""Panels of `harness --help`."""

Experiments = Annotated[
    list[Path],
    typer.Argument(
        help="Experiment files (TOML), or a run's or sweep's folder; later ones are laid over earlier."
    ),
]

Overrides = Annotated[
    list[str] | None,
    typer.Option("-s", "--set", metavar="KEY=VALUE", help="Override one setting: -s grpo.beta=0.01"),
]

Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, only results.")]

Json = Annotated[bool, typer.Option("--json", help="Print figures as JSON on standard output.")]


def watched(folder: Path, quiet: bool) -> Progress:
    """The progress of what works in ``folder``; once it has begun, it says which command shows it."""
    from evals.base.progress import Progress

    return Progress(quiet, first=f"To watch it: harness view {shlex.quote(str(folder))}")


def engine_of(kind: str, settings: list[str] | None) -> Choice:
    """The engine of that kind with settings of its own.

    Raises:
        UsageError: a setting is not KEY=VALUE, or the engine does not take it.
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
