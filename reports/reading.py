"""Files of a folder that may be half-written, damaged or another program's: what can be read of them.

Nothing here raises for what a file holds: it becomes a sentence among the problems.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar, cast

import pandas as pd

from evals.base import io as files
from evals.base.errors import UsageError
from evals.base.secrets import masked
from evals.base.versioned import Versioned

V = TypeVar("V", bound=Versioned)
WHOLE = 2**53
"""Below it a float holds every whole number."""


def read_metrics(path: Path, problems: list[str]) -> pd.DataFrame:
    """metrics.jsonl as a table; a line that is not whole (yet) and what is not a number are left out."""
    rows = [
        {name: value if name == "stage" else _figure(value) for name, value in row.items()}
        for row in files.readable_lines(path)
        if isinstance(row.get("stage"), str) and files.number(row.get("step")) is not None
    ]
    if not rows:
        return pd.DataFrame()
    frame = pd.DataFrame.from_records(rows)
    numbers = [column for column in frame.columns if column != "stage"]
    frame[numbers] = frame[numbers].apply(pd.to_numeric, errors="coerce")
    return frame


def launches(job: Path) -> list[Path]:
    """The run folders of a trial, or of a training with a fresh seed, oldest first."""
    return sorted(job.glob("attempt-*"), key=lambda path: path.name.zfill(20))


def job_metrics(job: Path, problems: list[str]) -> pd.DataFrame:
    """The metrics of a job's launches; a step that several logged counts as the last did."""
    frames = [read_metrics(folder / "metrics.jsonl", problems) for folder in launches(job)]
    frames = [frame for frame in frames if not frame.empty]
    if not frames:
        return pd.DataFrame()
    return pd.concat(frames).drop_duplicates(["stage", "step"], keep="last").sort_values("step")


def _figure(value: object) -> float | None:
    """A number as a table can hold it: whole numbers stay whole."""
    known = files.number(value)
    return int(known) if known is not None and isinstance(value, int) and abs(known) < WHOLE else known


def read_json(path: Path, problems: list[str]) -> dict[str, Any]:
    """A JSON object without the passwords of addresses in it."""
    return _read(path, problems, "JSON object", json.loads)


def read_file(path: Path, kind: type[V], problems: list[str]) -> V | None:
    """The typed content of ``path``, as far as it fits; None where there is none."""
    table = read_json(path, problems)
    if not table:
        return None
    try:
        found, odd = kind.lenient(table, path)
    except UsageError as error:
        problems.append(f"{error}.")
        return None
    problems += [f"{path}: {key} is not what belongs there (damaged?), so it is left out." for key in odd]
    return found


def read_toml(path: Path, problems: list[str]) -> dict[str, Any]:
    """A TOML file without the passwords of addresses in it, and without what has the wrong shape."""
    return _shaped(_read(path, problems, "TOML file", tomllib.loads), path, problems)


SHAPES: Mapping[str, type] = {
    **dict.fromkeys(("policy", "data", "eval", "compare", "sweep", "tracking"), dict),
    "stages": list,
}
"""Keys of experiment.toml whose values are tables or lists of tables."""
INNER: Mapping[str, tuple[str, type]] = {
    "eval": ("benchmarks", list),
    "compare": ("arms", dict),
    "sweep": ("space", dict),
}
"""The same one level further down."""


def _shaped(value: dict[str, Any], path: Path, problems: list[str]) -> dict[str, Any]:
    """``value`` without what is there under a key of ``SHAPES`` and no such table or list."""

    def fits(found: Any, kind: type) -> bool:
        rows = found if isinstance(found, list) and kind is list else []
        return found is None or (isinstance(found, kind) and all(isinstance(row, dict) for row in rows))

    odd = [key for key, kind in SHAPES.items() if not fits(value.get(key), kind)]
    for key, (inner, kind) in INNER.items():
        table = value.get(key) if key not in odd else None
        if table and not isinstance(table.get(inner) or kind(), kind):
            odd.append(key)
    for key in odd:
        problems.append(f"{path}: {key} is not what belongs there (damaged?), so it is left out.")
    return {key: inner for key, inner in value.items() if key not in odd}


def _read(path: Path, problems: list[str], what: str, parse: Callable[[str], Any]) -> dict[str, Any]:
    """The table in ``path``; {} where it is not there, and a problem told where it cannot be read."""
    if not path.exists():
        return {}
    try:
        value = parse(path.read_text(encoding="utf-8"))
    except (ValueError, OSError, RecursionError):
        value = None
    if not isinstance(value, dict):
        problems.append(f"{path}: no readable {what} (half-written?), so it is left out.")
        return {}
    return cast("dict[str, Any]", masked(value))
