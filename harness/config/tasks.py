"""The user's own questions: tables ``[tasks.NAME]`` of an experiment, or of a file that has nothing else."""

from __future__ import annotations

import re
from collections.abc import Mapping

from pydantic import Field, field_validator

from evals.base.errors import TaskError
from evals.tasks import own, registry
from evals.tasks.reading import USUAL
from evals.tasks.registry import Tasks
from harness.config.choice import Choice, GraderChoice
from harness.config.table import Table

NAME = re.compile(r"[A-Za-z0-9][\w.-]*")


class OwnTask(Table):
    """A data set of the user's own, named everywhere as the built-in ones are: ``NAME:split[a:b]``."""

    source: str = ""
    """A file (.jsonl, .csv, .tsv, .json, .parquet), its path from the working folder, or
    "hf:OWNER/NAME@REVISION:split"."""
    columns: dict[str, str] = {}
    """What is in which column: question, answer, id, options, tests, cases, entry_point, setup. By default
    they are found by their usual names."""
    grader: GraderChoice = Choice(kind=own.USUAL_GRADER)
    """"math", "integer", "exact", "choice", "code", "judge", or a function of yours: "file.py:function". A
    name, or a table of ``kind`` and the grader's own settings: { kind = "exact", ignore_case = true }."""
    splits: dict[str, str] = {}
    """Split -> its part of the source ("[:800]"), or a source of its own; by default there is one, "all"."""
    title: str = ""
    """What reports call it; by default its name."""
    samples: int = Field(1, ge=1)
    """The usual number of samples a question in an evaluation."""

    @field_validator("columns")
    @classmethod
    def _known_columns(cls, value: dict[str, str]) -> dict[str, str]:
        for thing in value:
            if thing not in USUAL:
                raise ValueError(f"{thing} is not a kind of column; accepted: {', '.join(USUAL)}")
        return value

    def described(self) -> own.Described:
        """The table as the tasks' own room takes it."""
        return own.Described(
            source=self.source,
            columns=self.columns,
            grader=self.grader.kind,
            grader_settings=self.grader.settings,
            splits=self.splits,
            title=self.title,
            samples=self.samples,
        )


def check_names(tables: Mapping[str, OwnTask]) -> None:
    """Refuses names that mean something else, and tables that name no source.

    Raises:
        ValueError: says which.
    """
    for name, table in tables.items():
        if not NAME.fullmatch(name):
            raise ValueError(
                f'tasks.{name}: a name must start with a letter or digit; letters, digits, ".", "_" and '
                '"-" may follow'
            )
        if name in registry.TASKS.built_in or name in registry.ALSO:
            raise ValueError(f"tasks.{name}: a task with this name already exists; choose another")
        if not table.source and not table.splits:
            raise ValueError(
                f"tasks.{name}.source: give a file, or a data set on the hub (hf:OWNER/NAME@REVISION:split)"
            )
        try:
            own.task(name, table.described())
        except TaskError as error:
            raise ValueError(str(error)) from None


def tasks_of(tables: Mapping[str, OwnTask]) -> Tasks:
    """The tasks that can be named where these tables are."""
    return Tasks({name: own.task(name, table.described()) for name, table in tables.items()})
