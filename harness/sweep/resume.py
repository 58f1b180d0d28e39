"""Whose folder it is: a sweep's folder remembers its experiment, and a resumed sweep must be the same one."""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evals.base import io
from evals.base.errors import DamagedFileError, UsageError
from evals.base.secrets import masked
from harness.config import Experiment, dump_toml, read_experiment, validate
from harness.sweep.rebuild import STUDY, owner_of
from harness.train.manifest import MANIFEST, SweepManifest, manifest

log = logging.getLogger(__name__)

CHANGEABLE = frozenset(
    {
        *(
            "sweep.trials",
            "sweep.workers",
            "sweep.deterministic",
            "sweep.max_device_hours",
            "sweep.max_cost",
            "sweep.device_hour_price",
            "sweep.executor",
            "sweep.cpus_per_trial",
            "sweep.gpus_per_trial",
            "sweep.processes_per_trial",
            "sweep.run_address",
            "sweep.max_attempts",
            "sweep.hang_minutes",
            "sweep.startup_trials",
        ),
        *("sweep.pruner", "sweep.pruner_warmup", "sweep.pruner_startup", "sweep.pruner_margin"),
        *(
            "sweep.pruner_reduction",
            "sweep.confirm_seeds",
            "sweep.confirm_top",
            "sweep.evaluate_unconfirmed",
            "sweep.confirm_steps",
            "eval",
            "tracking",
        ),
    }
)
"""Settings that a resumed sweep may change without making its earlier trials something else."""

SPACE = "sweep.space."


def claim(experiment: Experiment, folder: Path, accept_space_change: bool, own_study: bool = True) -> str:
    """Records the experiment in a new folder, or compares it with what the folder holds.

    Addresses in it are recorded without their passwords. ``own_study``: the study is in the folder too.

    Returns:
        The folder's id, by which its study knows it.

    Raises:
        UsageError: the folder holds a sweep that differs in more than ``CHANGEABLE``, shown line by line; a
            difference in the space alone can be accepted (see newspace.py), but not of a grid; or what it
            holds is damaged and cannot be made again.
    """
    recorded = folder / "experiment.toml"
    known = validate(masked(experiment.model_dump(mode="json", exclude_none=True)), where="experiment")
    if recorded.exists():
        _compare(_recorded(recorded), known, folder, accept_space_change)
    else:
        _new_manifest(experiment, folder, uuid.uuid4().hex)
    io.write_text(recorded, dump_toml(known))
    return _folder_id(experiment, folder, own_study)


def _recorded(file: Path) -> Experiment:
    try:
        return read_experiment([file])
    except UsageError as error:
        raise UsageError(f"{error}; put it back from a copy, or name another folder") from None


def _new_manifest(experiment: Experiment, folder: Path, folder_id: str) -> None:
    made = manifest(experiment)
    SweepManifest(**made.model_dump(exclude_unset=True), id=folder_id).write(folder / MANIFEST)


def _folder_id(experiment: Experiment, folder: Path, own_study: bool) -> str:
    """The id in the manifest; one that is lost is what the folder's own study was begun with."""
    try:
        return SweepManifest.read(folder / MANIFEST).id
    except (DamagedFileError, FileNotFoundError) as error:
        problem = str(error) if isinstance(error, DamagedFileError) else f"{folder / MANIFEST} is gone"
    if not own_study:
        raise UsageError(
            f"{problem}; its id says which study of the storage is this folder's: put it back from a copy, "
            "or name another folder and another name"
        )
    log.warning("%s; it is written anew", problem)
    folder_id = owner_of(folder / STUDY) or uuid.uuid4().hex
    _new_manifest(experiment, folder, folder_id)
    return folder_id


def _compare(old: Experiment, new: Experiment, folder: Path, accept_space_change: bool) -> None:
    changes = differences(old, new)
    of_space = [change for change in changes if change.startswith(SPACE)]
    if len(of_space) < len(changes):
        raise UsageError(
            f"{folder}: holds a sweep with other settings; name another folder, or undo: "
            + "; ".join(changes)
        )
    if not changes:
        return
    if new.sweep is not None and new.sweep.sampler == "grid":
        raise UsageError(
            f"{folder}: a grid is of one space; name another folder, or undo: " + "; ".join(changes)
        )
    if not accept_space_change:
        raise UsageError(
            f"{folder}: its sweep has searched another space; choose another name, or go on in the new one "
            "with --accept-space-change: " + "; ".join(changes)
        )


def differences(old: Experiment, new: Experiment) -> list[str]:
    """``key: old -> new`` for every setting that a resumed sweep must not change."""
    before, after = (_flat(e.model_dump(mode="json")) for e in (old, new))
    return [
        f"{key}: {_shown(before, key)} -> {_shown(after, key)}"
        for key in sorted(before.keys() | after.keys())
        if before.get(key) != after.get(key) and not _may_change(key)
    ]


def _may_change(key: str) -> bool:
    return key in CHANGEABLE or key.partition(".")[0] in CHANGEABLE


def _shown(flat: Mapping[str, Any], key: str) -> str:
    return json.dumps(flat[key]) if key in flat else "(not there)"


def _flat(value: Any, key: str = "") -> dict[str, Any]:
    """Nested tables as dotted keys; entries of the space stay whole, and stages go by their names."""
    if key == "sweep.space":
        return {f"{key}.{setting}": entry for setting, entry in value.items()}
    if key == "stages":
        value = {stage["name"]: stage for stage in value}
    if not isinstance(value, dict) or not value:
        return {key: value}
    return {
        k: v
        for name, inner in value.items()
        for k, v in _flat(inner, f"{key}.{name}" if key else name).items()
    }
