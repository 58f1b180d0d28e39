"""The commands about experiment files: init, schema."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated

import typer

from evals.base import io
from evals.base.errors import UsageError
from harness.cli.app import AROUND, app


@app.command(rich_help_panel=AROUND)
def init(
    file: Annotated[Path, typer.Argument(help="The file to write.")] = Path("experiment.toml"),
) -> None:
    """Writes a starter experiment file with comments, ready to run and edit.

    Example: harness init mine.toml && harness train mine.toml
    """
    from harness.config import validate
    from harness.config.mistakes import Sources
    from harness.config.starter import starter

    if file.exists():
        raise UsageError(f"{file}: already exists; choose another name")
    text = starter(file.stem)
    validate(tomllib.loads(text), str(file), Sources([(file, text)]))  # the file's name is the experiment's
    io.write_text(file, text)
    typer.echo(f"Wrote {file}. Next: harness train {file}")


@app.command(rich_help_panel=AROUND)
def schema(
    as_markdown: Annotated[
        bool,
        typer.Option("--markdown", help="Print a reference page in Markdown instead of the JSON schema."),
    ] = False,
) -> None:
    """Prints the JSON schema of experiment files, for completion and validation in an editor.

    Example: harness schema > experiment.schema.json
    """
    from harness.config import reference

    typer.echo(reference.markdown() if as_markdown else reference.json_schema_text(), nl=False)
