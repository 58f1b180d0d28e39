"""What is wrong with an experiment, a sentence for each mistake: where it stands and what is accepted."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from evals.base.registry import accepted, nearest
from harness.config.experiment import Experiment
from harness.config.keys import join_key
from harness.config.stages import STAGES

KeyPath = tuple[int | str, ...]
"""Keys and indices from the top of an experiment to one of its values."""


@dataclass(frozen=True)
class Sources:
    """What an experiment was read from: files with their text, left to right, and the keys of ``-s``."""

    files: Sequence[tuple[Path, str]] = ()
    overridden: Sequence[str] = ()

    def of(self, key: str, path: KeyPath) -> str | None:
        """What set a key: an override, or the line of a file; None where nothing here did."""
        for override in reversed(self.overridden):
            if key == override or key.startswith(f"{override}."):
                return f"-s {override}"
        for file, text in reversed(self.files):
            line = line_of(text, path)
            if line is not None:
                return f"{file}, line {line}"
        return None


NOWHERE = Sources()
"""Of an experiment that no file and no override made."""


def line_of(text: str, path: KeyPath) -> int | None:
    """The line, from 1, at which what ``path`` leads to begins in a TOML text; None where it is not there.

    That is the first line after which the text so far is valid TOML and holds the path; a value of several
    lines begins after the last line before it at which the text was valid.
    """
    if not path:
        return None
    lines = text.splitlines(keepends=True)
    valid = 0
    for count in range(1, len(lines) + 1):
        try:
            found = tomllib.loads("".join(lines[:count]))
        except tomllib.TOMLDecodeError:
            continue
        if _holds(found, path):
            return valid + 1
        valid = count
    return None


def _holds(value: Any, path: KeyPath) -> bool:
    for part in path:
        keys = value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
        if part not in keys:
            return False
        value = value[part]
    return True


def explain(error: ValidationError, raw: Mapping[str, Any], where: str, sources: Sources) -> str:
    """Every mistake as a line that says where it is, names the key and says what is accepted.

    ``where`` stands in for a place that ``sources`` does not know.
    """
    found: dict[KeyPath, list[tuple[ErrorDetails, str]]] = {}
    for detail in error.errors():
        path, key = _address(detail, raw)
        found.setdefault(path, []).append((detail, key))
    # A value that fits none of several types fails once for each: what says more about its inside stays.
    outermost = [path for path in found if path and any(_inside(other, path) for other in found)]
    sentences = []
    for path, details in found.items():
        if path in outermost:
            continue
        key = details[0][1]
        missing = details[0][0]["type"] == "missing"
        place = sources.of(key, path[:-1] if missing else path) or where
        sentences.append(f"{place}: {_sentence([detail for detail, _ in details], key)}")
    return "\n".join(sentences)


def _inside(path: KeyPath, outer: KeyPath) -> bool:
    return len(path) > len(outer) and path[: len(outer)] == outer


def _sentence(details: Sequence[ErrorDetails], key: str) -> str:
    """What is wrong with one key; several details are the types that its value could have had."""
    first = details[0]
    if first["type"] == "extra_forbidden":
        known = _accepted_keys(first["loc"])
        return f"unknown key {key}" + (f"; {accepted(str(first['loc'][-1]), known)}" if known else "")
    if first["type"] == "union_tag_invalid":
        kinds = [tag.removeprefix("#") for tag in STAGES]
        given = str(first["input"]["kind"]) if isinstance(first["input"], dict) else str(first["input"])
        return f"{key}: kind must be one of {', '.join(kinds)}{_meant(given, kinds)}"
    message = " or ".join(dict.fromkeys(detail["msg"].removeprefix("Value error, ") for detail in details))
    message = message.replace(" or Input should be ", " or ")
    shown = first["type"] != "missing" and not isinstance(first["input"], dict | list)
    got = f", got {first['input']!r}" if shown else ""
    sentence = f"{key}: {message}{got}" if key else f"{message}{got}"
    if first["type"] == "literal_error":
        words = re.findall(r"'([^']*)'", str(first.get("ctx", {}).get("expected", "")))
        sentence += _meant(str(first["input"]), words)
    return sentence


def _meant(given: str, words: list[str]) -> str:
    meant = nearest(given, words)
    return meant and f"; {meant}"


def _address(detail: ErrorDetails, raw: Mapping[str, Any]) -> tuple[KeyPath, str]:
    """Where a detail's value is in ``raw``, and its key as ``-s`` takes it: a stage goes by its name.

    Pydantic's location also names the types of a union that were tried: what is not in ``raw`` is dropped.
    """
    location = detail["loc"]
    absent = detail["type"] == "missing"
    value: Any = raw
    path: list[int | str] = []
    words: list[str] = []
    for number, part in enumerate(location):
        last = number == len(location) - 1
        if not _holds(value, (part,)) and not (absent and last):
            continue
        path.append(part)
        value = value[part] if _holds(value, (part,)) else None
        if words[-1:] == ["stages"] and isinstance(part, int):
            named = isinstance(value, dict) and location[-1] != "name"  # a name that is refused names nothing
            words[-1:] = [name_of(value)] if named else ["stages", str(part)]
        else:
            words.append(str(part))
    return tuple(path), join_key(words)


def name_of(stage: Mapping[str, Any]) -> str:
    """What a raw stage goes by: its name, by default its kind."""
    return str(stage.get("name", stage.get("kind", "grpo")))


def _accepted_keys(location: KeyPath) -> list[str]:
    """The keys that the table holding ``location`` accepts."""
    table: type[BaseModel] = Experiment
    named = False
    for part in location[:-1]:
        if named or isinstance(part, int) or part == "stages":  # named: by the user, in a table of tables
            named = False
            continue
        if part in STAGES:
            table = STAGES[str(part)]
            continue
        if part.startswith("#"):  # which of a key's types it is: a name or a table
            continue
        field = table.model_fields.get(part)
        inner = _table_in(field.annotation if field else None)
        if inner is None:
            return []
        named = get_origin(field.annotation if field else None) is dict
        table = inner
    return list(table.model_fields)


def _table_in(annotation: Any) -> type[BaseModel] | None:
    """The table that a field's type is, or is a list or an option of."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    inner = (_table_in(each) for each in getattr(annotation, "__args__", ()))
    return next((table for table in inner if table is not None), None)
