"""JSON files that one part of the program writes and others read: one class for both, with a version."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from evals.base import io
from evals.base.errors import DamagedFileError, UsageError

VERSION = "version"
MaybeNumber = Annotated[float, BeforeValidator(lambda value: math.nan if value is None else value)]
"""A number that may be unknown: NaN here, null in the file, since JSON has no NaN."""


class Part(BaseModel):
    """A table inside such a file. What is unknown to this version is passed over."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Versioned(Part):
    """The content of a file.

    ``version`` is that of the layout: 1 where a file does not say. A class raises ``NEWEST`` when it gives a
    key another meaning, and reads the older versions still.
    """

    NEWEST: ClassVar[int] = 1
    version: int = 1

    @classmethod
    def read(cls, path: Path) -> Self:
        """The content of the file at ``path``.

        Raises:
            DamagedFileError: it is not such a file; the sentence names the key.
            UsageError: a newer version of this program wrote it.
        """
        table = io.read_json(path)
        cls.check_version(table, path)
        try:
            return cls.model_validate(table)
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(str(part) for part in first["loc"])
            raise DamagedFileError(f"{path}: {key}: {first['msg']}") from None

    @classmethod
    def lenient(cls, table: Mapping[str, Any], path: Path) -> tuple[Self | None, list[str]]:
        """What of a table fits, and the keys of what does not, which is left out; None where nothing fits.

        Raises:
            UsageError: a newer version of this program wrote it.
        """
        cls.check_version(table, path)
        odd: dict[str, None] = {}
        content: Any = dict(table)
        while True:
            try:
                return cls.model_validate(content), list(odd)
            except ValidationError as error:
                last = error.errors()[-1]
                # Without a required key the table around it says nothing.
                place = last["loc"][:-1] if last["type"] == "missing" else last["loc"]
                if not place:
                    return None, list(odd)
                odd[str(place[0])] = None
                content = _without(content, place)

    @classmethod
    def check_version(cls, table: Mapping[str, Any], path: Path) -> None:
        """Refuses a file of a later version.

        Raises:
            UsageError: a newer version of this program wrote it.
        """
        found = table.get(VERSION, 1)
        if isinstance(found, int) and found > cls.NEWEST:
            raise UsageError(
                f"{path}: has version {found}, and this grpo-harness reads versions up to {cls.NEWEST}; "
                "update grpo-harness"
            )

    def table(self) -> dict[str, Any]:
        """The content as it is written: what was set, and the version."""
        return {VERSION: self.NEWEST, **self.model_dump(mode="json", exclude_unset=True, exclude={VERSION})}

    def write(self, path: Path) -> None:
        """Writes the file, atomically."""
        io.write_json(path, self.table())


def _without(value: Any, place: Sequence[int | str]) -> Any:
    """``value`` (tables and lists, nested) without what stands at ``place``."""
    key, *rest = place
    if isinstance(value, Mapping):
        if not rest:
            return {name: inner for name, inner in value.items() if name != key}
        return {**value, str(key): _without(value[str(key)], rest)}
    assert isinstance(value, Sequence)
    assert isinstance(key, int)
    inner = [_without(value[key], rest)] if rest else []
    return [*value[:key], *inner, *value[key + 1 :]]
