"""Errors that a person can mend: shown as one sentence, never as a traceback."""

from __future__ import annotations


class UsageError(Exception):
    """Bad input (a file, key, value or name): the command exits with 2."""


class DamagedFileError(UsageError):
    """A file that a run or sweep wrote cannot be read any more; the sentence names it and the place."""


class TaskError(UsageError):
    """A task, split or data file that is not there or not readable: one sentence for the user."""


class JobError(Exception):
    """The job itself failed (disk full, broken checkpoint, training diverged): the command exits with 1."""


def first_line(error: BaseException) -> str:
    """What an error of a library says, in one line; its type where it says nothing.

    A first line that ends with a colon is only a heading: what it announces is told with it.
    """
    lines = [line.strip() for line in str(error).strip().splitlines()]
    if not lines:
        return type(error).__name__
    return " ".join(lines) if lines[0].endswith(":") else lines[0]
