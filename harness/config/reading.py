"""Reading experiment files and ``-s key=value`` overrides; what is wrong with one, in a sentence."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tomli_w
from pydantic import ValidationError

from harness.config.experiment import Experiment
from harness.config.stages import STAGES
from harness.config.table import Table
from harness.errors import UsageError


def read_experiment(files: Sequence[Path], overrides: Sequence[str] = ()) -> Experiment:
    """Reads experiment files, left to right, then ``key=value`` overrides.

    Raises:
        UsageError: a file that is missing or no TOML, an unknown key, a value outside what is accepted.
    """
    raw: dict[str, Any] = {}
    for file in files:
        raw = _overlay(raw, _read_toml(file))
    for override in overrides:
        key, value = _parse_override(override)
        set_key(raw, key, value)
    return validate(raw, where=", ".join(str(file) for file in files) or "experiment")


def validate(raw: Mapping[str, Any], where: str) -> Experiment:
    """The experiment in ``raw``, or a ``UsageError`` naming the first bad key of ``where``."""
    try:
        return Experiment.model_validate(raw)
    except ValidationError as error:
        raise UsageError(f"{where}: {_explain(error, raw)}") from None


def dump_toml(experiment: Experiment) -> str:
    """The whole resolved experiment as TOML; reading it back gives the same experiment."""
    return tomli_w.dumps(experiment.model_dump(mode="json", exclude_none=True))


def set_key(raw: dict[str, Any], key: str, value: object) -> None:
    """Sets a dotted key in a raw experiment; a stage is addressed by its name: ``grpo.beta``.

    Raises:
        UsageError: the first part names neither a table of the experiment nor a stage.
    """
    head, *rest = key.split(".")
    stages = raw.get("stages", [])
    stage_names = [stage.get("name", stage.get("kind")) for stage in stages]
    if head in stage_names and rest:
        _set_path(stages[stage_names.index(head)], rest, value, key)
    elif head in Experiment.model_fields and head != "stages":
        _set_path(raw, [head, *rest], value, key)
    else:
        tables = [field for field in Experiment.model_fields if field != "stages"]
        raise UsageError(f"unknown key {key!r}: it must start with one of {', '.join(stage_names + tables)}")


def _set_path(table: dict[str, Any], path: Sequence[str], value: object, key: str) -> None:
    for part in path[:-1]:
        inner = table.setdefault(part, {})
        if not isinstance(inner, dict):
            # `epsilon = 0.2` and then `epsilon.high`: the one number stood for both sides.
            if part == "epsilon":
                inner = table[part] = {"low": inner, "high": inner}
            else:
                raise UsageError(f"{key}: {part} is not a table")
        table = inner
    table[path[-1]] = value


def _read_toml(file: Path) -> dict[str, Any]:
    try:
        with file.open("rb") as handle:
            return tomllib.load(handle)
    except FileNotFoundError:
        raise UsageError(f"{file}: no such file") from None
    except IsADirectoryError:
        raise UsageError(f"{file}: is a folder, an experiment file (TOML) is needed") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{file}: not valid TOML: {error}") from None


def _overlay(base: dict[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Tables merge; everything else (lists of stages too) is replaced."""
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        merged[key] = _overlay(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged


def _parse_override(override: str) -> tuple[str, Any]:
    key, separator, text = override.partition("=")
    if not separator or not key.strip():
        raise UsageError(f"-s {override}: must be key=value, for example -s grpo.beta=0.01")
    try:
        return key.strip(), tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return key.strip(), text.strip()  # a bare word is a string


def _explain(error: ValidationError, raw: Mapping[str, Any]) -> str:
    """The first problem as one sentence that names the key and what is accepted."""
    first = error.errors()[0]
    where = _dotted(first["loc"], raw)
    if first["type"] == "extra_forbidden":
        accepted = _accepted_keys(first["loc"])
        return f"unknown key {where}" + (f"; accepted: {', '.join(accepted)}" if accepted else "")
    if first["type"] == "union_tag_invalid":
        accepted_kinds = ", ".join(tag.removeprefix("#") for tag in STAGES)
        return f"{where}: kind must be one of {accepted_kinds}"
    message = first["msg"].removeprefix("Value error, ")
    shown = first["type"] != "missing" and not isinstance(first["input"], dict | list)
    got = f", got {first['input']!r}" if shown else ""
    return f"{where}: {message}{got}" if where else f"{message}{got}"


def _dotted(location: tuple[int | str, ...], raw: Mapping[str, Any]) -> str:
    """The key as ``-s`` takes it: a stage goes by its name."""
    if location[:1] == ("stages",) and len(location) > 1 and isinstance(location[1], int):
        stage = raw["stages"][location[1]]
        name = stage.get("name", stage.get("kind")) if isinstance(stage, dict) else None
        location = (str(name or location[1]), *location[2:])
    return ".".join(str(part) for part in location if not str(part).startswith("#"))


def _accepted_keys(location: tuple[int | str, ...]) -> list[str]:
    """The keys that the table holding ``location`` accepts."""
    table: type[Table] = Experiment
    for part in location[:-1]:
        if isinstance(part, int) or part == "stages":
            continue
        if part in STAGES:
            table = STAGES[part]
            continue
        field = table.model_fields.get(part)
        inner = _table_in(field.annotation if field else None)
        if inner is None:
            return []
        table = inner
    return list(table.model_fields)


def _table_in(annotation: Any) -> type[Table] | None:
    """The table that a field's type is, or is a list or an option of."""
    candidates = [annotation, *getattr(annotation, "__args__", ())]
    return next((c for c in candidates if isinstance(c, type) and issubclass(c, Table)), None)
