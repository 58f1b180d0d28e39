"""A run's own files that are damaged: what will be written again is taken out, the rest is told."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from evals.base import io
from evals.base.errors import DamagedFileError, JobError

log = logging.getLogger(__name__)


def checkpoint_steps(folder: Path) -> list[int]:
    """The steps of the checkpoints in ``folder``, ascending, damaged ones included."""
    names = (path.name.removeprefix("step-") for path in folder.glob("step-*"))
    return sorted(int(name) for name in names if name.isdecimal())


def mend_metrics(path: Path, checkpoints: Path) -> None:
    """Cuts metrics.jsonl off at its first damaged line: the run goes back to the checkpoint before it.

    Raises:
        JobError: there are checkpoints, and none is from before that line; nothing was changed.
    """
    rows, damage = _intact(path, _is_of_numbers)
    if damage is None:
        return
    reached = max((row["step"] for row in rows), default=0)
    steps = checkpoint_steps(checkpoints)
    if steps and steps[0] > reached:
        raise JobError(
            f"{damage}, and no checkpoint is from before it (the oldest: step {steps[0]}): mend or delete "
            "that line to go on without it, or name another --out"
        )
    log.warning("%s: the run goes back to the checkpoint before it", damage)
    io.write_lines(path, rows)


def mend_samples(path: Path) -> None:
    """Cuts samples.jsonl, which is for people, off at its first damaged line."""
    rows, damage = _intact(path, lambda row: isinstance(row.get("rewards"), dict | None))
    if damage is not None:
        log.warning("%s: the completions from there on are left out", damage)
        io.write_lines(path, rows)


def drop_damaged(paths: Mapping[Path, type]) -> None:
    """Deletes the files that do not hold what they should: they are made again where they are missing."""
    for path, kind in paths.items():
        try:
            io.read_as(path, kind)
        except FileNotFoundError:
            continue
        except DamagedFileError as error:
            log.warning("%s; it is made again", error)
            path.unlink()


def _is_of_numbers(row: Mapping[str, Any]) -> bool:
    """Whether all that a line of metrics tells, besides its stage, is a number (or null, for none)."""
    told = (value for name, value in row.items() if name != "stage" and value is not None)
    return isinstance(row.get("stage"), str) and all(io.number(value) is not None for value in told)


def _intact(
    path: Path, is_whole: Callable[[Mapping[str, Any]], bool]
) -> tuple[list[Mapping[str, Any]], str | None]:
    """The rows before the first that is not a row of a step, and what that is; None where all are whole."""
    rows: list[Mapping[str, Any]] = []
    try:
        for row in io.read_lines(path):
            if type(row.get("step")) is not int:
                return rows, f"{path}: line {len(rows) + 1}: has no step"
            if not is_whole(row):
                return rows, f"{path}: line {len(rows) + 1}: holds what does not belong there"
            rows.append(row)
    except DamagedFileError as error:
        return rows, str(error)
    return rows, None
