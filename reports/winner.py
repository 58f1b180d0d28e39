"""A sweep's winner as a difference from its experiment, and how to train it again."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from evals.base.errors import UsageError
from evals.base.text import printable
from harness.config.keys import split_key
from harness.config.mistakes import name_of
from harness.sweep.winner import WINNER
from reports.study import Sweep


@dataclass(frozen=True)
class WinnerView:
    """``changes`` are (setting, the experiment's value, the winner's); ``overrides`` the same as options of
    a command; ``command`` trains it, "" where the sweep wrote no winner.toml."""

    changes: tuple[tuple[str, str, str], ...]
    overrides: str
    command: str


def winner_of(sweep: Sweep) -> WinnerView | None:
    """What the winner has set otherwise; None where there is no winner."""
    if sweep.winner is None:
        return None
    changes, options = [], []
    for key, value in sweep.winner.params.items():
        before = setting_of(sweep.experiment, key)
        if before != value:
            changes.append((printable(key), _toml(before), _toml(value)))
            exact = repr(value) if isinstance(value, float) else _toml(value)
            options.append(f"-s {shlex.quote(f'{key}={exact}')}")
    command = ""
    if (sweep.folder / WINNER).is_file():
        words = ["harness", "train", str(sweep.folder / WINNER), "--out", f"{sweep.folder}-winner"]
        command = printable(shlex.join(words))
    return WinnerView(tuple(changes), printable(" \\\n".join(options)), command)


def setting_of(experiment: Mapping[str, Any], key: str) -> Any:
    """The value at a dotted key of a raw experiment, whose stages go by their names; None where none is."""
    try:
        head, *rest = split_key(key)
    except UsageError:
        return None
    stages = {name_of(stage): stage for stage in experiment.get("stages") or []}
    found: Any = experiment.get(head) if head in experiment and head != "stages" else stages.get(head)
    for part in rest:
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def _toml(value: object) -> str:
    """A value as an option of a command takes it."""
    if value is None:
        return "not set"
    if isinstance(value, float):
        return f"{value:.6g}"
    return printable(json.dumps(value) if isinstance(value, bool | dict | list) else str(value))
