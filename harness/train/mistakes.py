"""Mistakes of an experiment that are found one by one and told all at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from evals.base.errors import UsageError
from evals.task import TaskError


class Mistakes:
    """What was refused inside ``noted``, until ``tell``."""

    def __init__(self) -> None:
        self._found: list[UsageError | TaskError] = []

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Keeps what is refused inside for later."""
        try:
            yield
        except (UsageError, TaskError) as error:
            self._found.append(error)

    def tell(self) -> None:
        """Refuses what was refused: nothing, the one mistake, or a line for each.

        Raises:
            UsageError, TaskError: there is one.
        """
        if len(self._found) == 1:
            raise self._found[0]
        if self._found:
            raise UsageError("\n".join(dict.fromkeys(map(str, self._found))))
