"""Data sets of the Hugging Face hub by their address: "hf:OWNER/NAME@REVISION", "hf:OWNER/NAME/CONFIG"."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from evals.base.errors import first_line
from evals.task import TaskError
from evals.tasks.data import Row, offline_where_unreachable
from evals.tasks.rows import Rows

_ADDRESS = re.compile(r"hf:(?P<repo>[\w.-]+/[\w.-]+)(?:/(?P<config>[\w.-]+))?(?:@(?P<revision>[\w./-]+))?")


def parts_of(source: str) -> tuple[str, str | None, str | None]:
    """Repository, configuration and revision of an address.

    Raises:
        TaskError: it is not an address of the hub.
    """
    found = _ADDRESS.fullmatch(source)
    if found is None:
        raise TaskError(
            f"{source!r} is not an address of the hub: it must be hf:OWNER/NAME@REVISION:split, with a "
            "configuration as hf:OWNER/NAME/CONFIG@REVISION:split"
        )
    return found["repo"], found["config"], found["revision"]


def read(source: str, split: str) -> Rows:
    """The rows of a split, in the files that ``datasets`` keeps; nothing of them is held in memory.

    Raises:
        TaskError: the hub cannot be reached, or has no such data set or split.
    """
    import datasets

    repo, config, revision = parts_of(source)
    try:
        with offline_where_unreachable():
            found = datasets.load_dataset(repo, config, split=split, revision=revision)
    except Exception as error:  # the hub's clients raise dozens of types for "no network" alone
        raise TaskError(f"{source}:{split} cannot be loaded: {first_line(error)}") from None
    return _Numbered(found)


class _Numbered:
    """A ``datasets.Dataset`` as ``Rows``."""

    def __init__(self, rows: Any) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, number: int, /) -> Row:
        return dict(self._rows[number])

    def __iter__(self) -> Iterator[Row]:
        return (dict(row) for row in self._rows)

    def where(self, number: int) -> str:
        return f"row {number + 1}"
