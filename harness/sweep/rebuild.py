"""A study that is gone or damaged, made again: what its trials were is in their folders.

Only the study in the sweep's own folder is: it belongs to nobody else. Each trial is asked for again under
its number, with the settings that its folder has; what its runs have done is read from there, as ever.
"""

from __future__ import annotations

import itertools
import logging
import sqlite3
from contextlib import closing
from pathlib import Path

from evals.base.errors import UsageError
from harness.config import Experiment, read_experiment
from harness.sweep.space import Params, Space

log = logging.getLogger(__name__)
STUDY = "study.db"


def set_aside_damaged(study: Path) -> None:
    """Renames an SQLite file that cannot be read, its journals with it."""
    if not study.exists() or not _is_damaged(study):
        return
    names = (study.with_name(f"{study.name}.damaged-{number}") for number in itertools.count(1))
    aside = next(name for name in names if not name.exists())
    log.warning("%s is damaged: it is made again from the trials' folders, and kept as %s", study, aside.name)
    for suffix in ("-wal", "-shm"):
        study.with_name(study.name + suffix).unlink(missing_ok=True)
    study.rename(aside)


def _is_damaged(study: Path) -> bool:
    try:
        with closing(sqlite3.connect(study)) as connection:
            return bool(connection.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok")
    except sqlite3.OperationalError:  # locked, or not to be opened: whoever opens it will say so
        return False
    except sqlite3.DatabaseError:
        return True


def owner_of(study: Path) -> str | None:
    """The id of the folder that an SQLite file's study was begun for, where it can be read."""
    query = "SELECT value_json FROM study_user_attributes WHERE key = 'folder' LIMIT 1"
    try:
        with closing(sqlite3.connect(f"file:{study}?mode=ro", uri=True)) as connection:
            found = connection.execute(query).fetchone()
    except sqlite3.Error:
        return None
    return None if found is None else str(found[0]).strip('"')


def settings_on_disk(experiment: Experiment, space: Space, folder: Path) -> list[Params]:
    """The settings of the trials in ``folder`` by their numbers; none for one that was never launched.

    Raises:
        UsageError: a trial's settings are no point of the space: it was asked for in an earlier one.
    """
    plain = space.apply(experiment, {})
    found: dict[int, Params] = {}
    for file in (folder / "trials").glob("*/experiment.toml"):
        if not file.parent.name.isdigit():
            continue
        changeable = {"name": experiment.name, "eval": plain.eval, "tracking": plain.tracking}
        point = space.point_of(read_experiment([file]).model_copy(update=changeable), experiment)
        if point is None:
            raise UsageError(
                f"{folder / STUDY} is gone, and {file} has settings that the experiment's space does not: "
                "put the study back from a copy, or name another folder"
            )
        found[int(file.parent.name)] = point
    return [found.get(number, {}) for number in range(max(found, default=-1) + 1)]
