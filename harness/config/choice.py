"""A choice by name with settings of its own: what an experiment names and a registry looks up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from pydantic import AfterValidator, ConfigDict, WithJsonSchema, model_serializer, model_validator

from evals.base.registry import Registry, absolute
from evals.graders.registry import GRADERS
from harness.config import kinds
from harness.config.table import Table

Named = Annotated[str, AfterValidator(absolute)]
"""The name of something that a registry knows; "file.py:name" with the file's whole path."""


class Choice(Table):
    """``"name"``, or ``{ kind = "name", … }`` with the settings that the named thing takes.

    They are checked when the thing is loaded, which is before anything runs (harness/train/checks.py).
    """

    model_config = ConfigDict(extra="allow")

    kind: str
    """The name: built in, of an installed package, or one's own ("file.py:name", "module:name")."""

    @model_validator(mode="before")
    @classmethod
    def _by_name(cls, value: object) -> object:
        raw = {"kind": value} if isinstance(value, str) else value
        if isinstance(raw, dict) and isinstance(raw.get("kind"), str):
            return {**raw, "kind": absolute(raw["kind"])}
        return raw

    @property
    def settings(self) -> dict[str, Any]:
        """The thing's own settings, as the experiment has them."""
        return dict(self.model_extra or {})

    @model_serializer
    def _as_written(self) -> str | dict[str, Any]:
        return {"kind": self.kind, **self.settings} if self.settings else self.kind


def _known(registry: Registry) -> Callable[[Choice], Choice]:
    def check(choice: Choice) -> Choice:
        if not registry.knows(choice.kind):
            raise ValueError(registry.unknown(choice.kind))
        return choice

    return check


def _schema(registry: Registry) -> WithJsonSchema:
    """What editors offer: the built-in names, any other name, or a table."""
    names = {"enum": list(registry.built_in)}
    table = {"type": "object", "properties": {"kind": {"type": "string"}}, "required": ["kind"]}
    return WithJsonSchema({"anyOf": [names, {"type": "string"}, table]})


EngineChoice = Annotated[Choice, AfterValidator(_known(kinds.ENGINES)), _schema(kinds.ENGINES)]
ExecutorChoice = Annotated[Choice, AfterValidator(_known(kinds.EXECUTORS)), _schema(kinds.EXECUTORS)]
LossChoice = Annotated[Choice, AfterValidator(_known(kinds.LOSSES)), _schema(kinds.LOSSES)]
AdvantageChoice = Annotated[Choice, AfterValidator(_known(kinds.ADVANTAGES)), _schema(kinds.ADVANTAGES)]
GraderChoice = Annotated[Choice, AfterValidator(_known(GRADERS)), _schema(GRADERS)]
TrackerChoice = Annotated[Choice, AfterValidator(_known(kinds.TRACKERS)), _schema(kinds.TRACKERS)]
