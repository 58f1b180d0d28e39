"""The command line: parse, call, print. Exit codes: 0 success, 1 the job failed, 2 invalid input."""

from __future__ import annotations

import logging
import os
import sys
from importlib import metadata
from typing import Annotated, Any

import typer

from evals.base.errors import JobError, UsageError
from evals.base.secrets import mask
from evals.base.text import printable
from evals.task import TaskError

# Importing these modules registers their commands.
from harness.cli import (  # noqa: F401
    diff,
    evals,
    files,
    forecast,
    papers,
    probe,
    prompts,
    results,
    status,
    tools,
    train,
    view,
)
from harness.cli.app import app, place

app.registered_commands.sort(key=place)
WrongUsage: Any = typer.BadParameter.__base__  # click's UsageError, wherever this typer keeps it
INTERRUPTED = 130
_debug = False


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"grpo-harness {metadata.version('grpo-harness')}")
        raise typer.Exit


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options that apply to every command."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Printable("%(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    # Libraries read these when they are imported. They would draw their own progress bars over ours.
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TQDM_DISABLE", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    # On a busy machine, a thread that spins while waiting takes the core from the thread it waits for.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    global _debug  # noqa: PLW0603
    _debug = debug


class _Printable(logging.Formatter):
    """Escapes control characters, which a quoted file or a server's answer may contain."""

    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))


def main() -> None:
    """The entry point: turns errors that a user can fix into one sentence and an exit code."""
    try:
        code = app(standalone_mode=False) or 0
        if code == INTERRUPTED:
            typer.echo("Interrupted. Run the same command again to resume.", err=True)
        sys.exit(code)
    except WrongUsage as error:
        if not error.format_message():  # empty when the help was printed
            sys.exit(2)
        _explain(UsageError(_usage_sentence(error)), 2)
    except (UsageError, TaskError) as error:
        _explain(error, 2)
    except (JobError, OSError) as error:  # OSError: for example a full disk or a file without read permission
        _explain(error, 1)


def _usage_sentence(error: Any) -> str:
    """What is wrong with the command line, and how to get help."""
    command = error.ctx.command_path if error.ctx is not None else "harness"
    said = " ".join(str(error.format_message()).split()).rstrip(".").replace("Value error, ", "")
    return f"{said}{' See' if said.endswith('?') else '; see'} {command} --help"


def _explain(error: BaseException, code: int) -> None:
    if _debug:
        raise error
    typer.echo(f"error: {printable(mask(str(error)))}", err=True)
    sys.exit(code)
