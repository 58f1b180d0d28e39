"""Reading experiment files and ``-s key=value`` overrides."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tomli_w
from pydantic import ValidationError

from evals.base.errors import UsageError
from evals.base.registry import nearest
from harness.config.experiment import Experiment
from harness.config.keys import split_assignment, split_key
from harness.config.mistakes import NOWHERE, Sources, explain, name_of

CHOICES = ("loss", "advantage", "engine", "executor", "grader")
"""Keys that hold a name, or a table of ``kind`` and settings (harness/config/choice.py)."""

BARE = {"epsilon": ("low", "high"), "sampler_correction": ("high",), "entropy_bonus": ("weight",)}
"""Tables that may be a number, and the keys that it then stands for (harness/config/terms.py)."""

OWN = "experiment.toml"
"""The experiment as the folder of a run or a sweep has it."""


def read_experiment(files: Sequence[Path], overrides: Sequence[str] = ()) -> Experiment:
    """Reads experiment files, left to right, then ``key=value`` overrides.

    The folder of a run or a sweep stands for the experiment.toml in it.

    Raises:
        UsageError: a file that is missing or no TOML, an unknown key, a value outside what is accepted.
    """
    raw: dict[str, Any] = {}
    files = [own if (own := file / OWN).is_file() else file for file in files]
    texts = [(file, _read_text(file)) for file in files]
    for file, text in texts:
        raw = _overlay(raw, _parse_toml(file, text))
    settings = [parse_override(override) for override in overrides]
    for key, value in settings:
        set_key(raw, key, value)
    where = ", ".join(str(file) for file in files) or "experiment"
    return validate(raw, where, Sources(texts, [key for key, _ in settings]))


def validate(raw: Mapping[str, Any], where: str, sources: Sources = NOWHERE) -> Experiment:
    """The experiment in ``raw``.

    Raises:
        UsageError: a line for each mistake, with its place in ``sources``, or ``where``.
    """
    try:
        return Experiment.model_validate(raw)
    except ValidationError as error:
        raise UsageError(explain(error, raw, where, sources)) from None


def dump_toml(experiment: Experiment) -> str:
    """The whole resolved experiment as TOML; reading it back gives the same experiment."""
    return tomli_w.dumps(experiment.model_dump(mode="json", exclude_none=True))


def set_key(raw: dict[str, Any], key: str, value: object) -> None:
    """Sets a dotted key in a raw experiment; a stage is addressed by its name: ``grpo.beta``, and that of an
    arm by both: ``compare.arms.distilled.sft.learning_rate``. A part with a dot in it stands in quotes.

    Raises:
        UsageError: the key cannot be read, or its first part names neither a table of the experiment nor a
            stage.
    """
    head, *rest = split_key(key)
    stages = {name_of(stage): stage for stage in _tables(raw.get("stages"))}
    if head in Experiment.model_fields and head != "stages":
        _set_path(raw, [head, *rest], value, key)
    elif head in stages and rest:
        _set_path(stages[head], rest, value, key)
    else:
        tables = [field for field in Experiment.model_fields if field != "stages"]
        first = [*stages, *tables]
        meant = nearest(head, first)
        raise UsageError(
            f"unknown key {key!r}: it must start with one of {', '.join(first)}{meant and f'; {meant}'}"
        )


def _tables(value: object) -> list[dict[str, Any]]:
    """The tables of what should be a list of some; whatever else stands there is refused by the schema."""
    return [table for table in value if isinstance(table, dict)] if isinstance(value, list) else []


def _stage_names(table: Mapping[str, Any]) -> list[Any]:
    """The names of the stages in a raw experiment, or in an arm of it."""
    stages = table.get("stages")
    rows = [stage for stage in stages if isinstance(stage, dict)] if isinstance(stages, list) else []
    return [name_of(stage) for stage in rows] if len(rows) == len(stages or ()) else []


def _set_path(table: dict[str, Any], path: Sequence[str], value: object, key: str) -> None:
    for part in path[:-1]:
        names = _stage_names(table)
        if part in names:
            table = table["stages"][names.index(part)]
            continue
        inner = table.setdefault(part, {})
        if not isinstance(inner, dict):
            if part in BARE:  # `epsilon = 0.2` and then `epsilon.high`: the one number stood for both sides
                inner = table[part] = dict.fromkeys(BARE[part], inner)
            elif part in CHOICES and isinstance(inner, str):  # `loss = "clip"` and then `loss.kind`
                inner = table[part] = {"kind": inner}
            else:
                raise UsageError(f"{key}: {part} is not a table")
        table = inner
    if len(path) > 1 and path[-2] in CHOICES and path[-1] == "kind" and table.get("kind") != value:
        table.clear()  # the settings were those of another kind
    table[path[-1]] = value


def _read_text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")  # some editors put a byte order mark first
    except FileNotFoundError:
        raise UsageError(f"{file}: no such file") from None
    except IsADirectoryError:
        raise UsageError(
            f"{file}: no {OWN} in this folder; expected an experiment file (TOML), or the folder of a run "
            "or sweep"
        ) from None
    except UnicodeDecodeError as error:
        raise UsageError(f"{file}: not valid TOML: {error}") from None


def _parse_toml(file: Path, text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{file}: not valid TOML: {error}") from None


def _overlay(base: dict[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Tables merge; everything else (lists of stages too) is replaced."""
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        merged[key] = _overlay(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged


def parse_override(override: str, option: str = "-s", example: str = "grpo.beta=0.01") -> tuple[str, Any]:
    """The key and the value of ``KEY=VALUE``, the value as TOML has it; a bare word is a string.

    Raises:
        UsageError: it is not an assignment; the sentence names ``option``.
    """
    found = split_assignment(override)
    if found is None:
        raise UsageError(f"{option} {override}: must be key=value, for example {option} {example}")
    key, text = found
    try:
        return key, tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return key, text.strip()  # a bare word is a string
