"""The application that the commands join, and the options that several of them have."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

EngineKind = Literal["transformers", "vllm"]

app = typer.Typer(
    name="harness",
    help="Sweep GRPO settings, train small reasoning models, measure honestly whether they got better.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)

RUN, MEASURE, AROUND = "Train", "Measure and show", "Around it"
"""Panels of `harness --help`."""

Experiments = Annotated[
    list[Path], typer.Argument(help="Experiment files (TOML); later ones are laid over earlier ones.")
]

Overrides = Annotated[
    list[str] | None,
    typer.Option("-s", "--set", metavar="KEY=VALUE", help="Override one setting: -s grpo.beta=0.01"),
]

Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, only results.")]

Json = Annotated[bool, typer.Option("--json", help="Print figures as JSON on standard output.")]


def print_json(value: Any) -> None:
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))
