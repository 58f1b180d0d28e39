"""The command line: parse, call, print. Exit code 0: the job was done; 1: it failed; 2: bad input."""

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

# Importing them adds their commands.
from harness.cli import diff, evals, files, forecast, papers, prompts, results, status, tools, train, view  # noqa: F401
from harness.cli.app import app

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
    """Settings of every command."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Printable("%(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    # Libraries read these when they are imported: one progress bar at a time is enough, and it is ours.
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TQDM_DISABLE", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    # On a busy machine a thread that spins while it waits takes the core from the one it waits for.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    global _debug  # noqa: PLW0603
    _debug = debug


class _Printable(logging.Formatter):
    """Log lines quote libraries, servers and files: nothing of that may steer the terminal."""

    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))


def main() -> None:
    """The entry point: turns errors that a person can mend into one sentence and an exit code."""
    try:
        code = app(standalone_mode=False) or 0
        if code == INTERRUPTED:
            typer.echo("Interrupted; the same command resumes from here.", err=True)
        sys.exit(code)
    except WrongUsage as error:
        if not error.format_message():  # no words at all: the help was printed
            sys.exit(2)
        _explain(UsageError(_usage_sentence(error)), 2)
    except (UsageError, TaskError) as error:
        _explain(error, 2)
    except (JobError, OSError) as error:  # OSError: a full disk, a file that may not be read
        _explain(error, 1)


def _usage_sentence(error: Any) -> str:
    """What is wrong with the words on the command line, and where help is."""
    command = error.ctx.command_path if error.ctx is not None else "harness"
    said = " ".join(str(error.format_message()).split()).rstrip(".")
    return f"{said}; see {command} --help"


def _explain(error: BaseException, code: int) -> None:
    if _debug:
        raise error
    typer.echo(f"error: {printable(mask(str(error)))}", err=True)
    sys.exit(code)
