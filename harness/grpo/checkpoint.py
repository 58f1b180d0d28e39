"""Checkpoints that are whole or not there: a Hugging Face folder plus the trainer's state.

checkpoints/step-N/   model, configuration and tokenizer, as any tool loads them
                      adapter/       the adapter alone, where the policy has one
                      trainer.pt     optimizer, reference policy, random states, counters
                      checksums.json file name -> BLAKE2b of its bytes
checkpoints/best      a link to the one with the best dev evaluation, where it is to be kept
"""

from __future__ import annotations

import hashlib
import logging
import os
import pickle
import random
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForCausalLM

from harness import distributed, files, lora
from harness.config import GRPO, SFT
from harness.errors import JobError
from harness.policy import ADAPTER, Policy, save_policy

log = logging.getLogger(__name__)

STATE, CHECKSUMS = "trainer.pt", "checksums.json"
BEST, OBJECTIVE = "best", "dev/pass@1"


def write(
    folder: Path, step: int, policy: Policy, state: Mapping[str, Any], keep: int, best: bool = False
) -> Path:
    """Writes ``folder``/step-N and then deletes all but the newest ``keep`` checkpoints and the best one.

    ``best`` makes this the best one, to which the link ``folder``/best leads. The checkpoint is written
    aside, flushed to disk and renamed, so a kill at any moment leaves the ones before.

    Raises:
        JobError: the checkpoint cannot be written (disk full, no permission); nothing is left of it.
    """
    final, aside = folder / f"step-{step}", folder / f".step-{step}.tmp"
    try:
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(parents=True)
        save_policy(policy, aside)
        torch.save({**state, "step": step, "random": _random_states()}, aside / STATE)
        written = [path for path in sorted(aside.rglob("*")) if path.is_file()]
        checksums = {str(file.relative_to(aside)): _checksum(file) for file in written}
        files.write_json(aside / CHECKSUMS, checksums)
        for path in aside.rglob("*"):
            _sync(path)
        shutil.rmtree(final, ignore_errors=True)  # a damaged one, passed over on resume
        os.replace(aside, final)
        files.sync_folder(folder)
    except (
        OSError,
        RuntimeError,
    ) as error:  # torch.save hides a full disk in a RuntimeError
        free = shutil.disk_usage(folder).free / 2**20
        raise JobError(
            f"{final}: the checkpoint could not be written, with {free:,.1f} MiB free on that disk: {error}"
        ) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    if best:
        _mark_best(folder, step)
    _drop_old(folder, keep)
    return final


def _drop_old(folder: Path, keep: int) -> None:
    """Deletes all but the newest ``keep`` checkpoints and the best one."""
    kept = os.readlink(folder / BEST) if (folder / BEST).is_symlink() else ""
    for old in steps(folder)[:-keep]:
        if kept != f"step-{old}":
            shutil.rmtree(folder / f"step-{old}", ignore_errors=True)


def _mark_best(folder: Path, step: int) -> None:
    aside = folder / f".{BEST}.tmp"
    aside.unlink(missing_ok=True)
    aside.symlink_to(f"step-{step}")
    os.replace(aside, folder / BEST)


class Keeper:
    """When a stage's checkpoints are written, and which of its dev evaluations was the best so far."""

    def __init__(self, folder: Path, stage: GRPO | SFT) -> None:
        self._folder = folder
        self._stage = stage
        self._best: dict[str, float] | None = None

    def after(
        self,
        step: int,
        metrics: Mapping[str, float],
        policy: Policy,
        state: Callable[[], Mapping[str, Any]],
        due: bool,
    ) -> None:
        """Writes a checkpoint where one is ``due``, or the dev evaluation in ``metrics`` is the best one."""
        value = metrics.get(OBJECTIVE) if self._stage.keep_best else None
        better = value is not None and (self._best is None or value > self._best["value"])
        if value is not None and better:
            self._best = {"step": step, "value": value}
        if due or better:
            whole = distributed.whole({**state(), "best": self._best})
            plain = distributed.gathered(policy)
            if distributed.is_main():
                write(self._folder, step, plain, whole, self._stage.keep_checkpoints, better)

    def resume(self, state: Mapping[str, Any]) -> None:
        """Goes back to a checkpoint's state: what came later was not the best, for it did not happen."""
        self._best = state["best"]
        if not distributed.is_main():
            return
        if self._best is not None:
            _mark_best(self._folder, int(self._best["step"]))
        elif self._stage.keep_best:
            (self._folder / BEST).unlink(missing_ok=True)
        # A kill after a checkpoint was written may have left them, and after the last one nothing is written.
        _drop_old(self._folder, self._stage.keep_checkpoints)


def steps(folder: Path) -> list[int]:
    """The steps of the checkpoints in ``folder``, ascending, damaged ones included."""
    names = (path.name.removeprefix("step-") for path in folder.glob("step-*"))
    return sorted(int(name) for name in names if name.isdecimal())


def newest(folder: Path) -> Path | None:
    """The newest undamaged checkpoint; None where there is none. Damaged ones are reported in the log."""
    for step in reversed(steps(folder)):
        path = folder / f"step-{step}"
        problem = damage(path)
        if problem is None:
            return path
        log.warning("%s: damaged (%s); going back to the checkpoint before it", path, problem)
    return None


def damage(path: Path) -> str | None:
    """What is wrong with a checkpoint, in a few words; None where every file is as it was written."""
    try:
        expected = files.read_json(path / CHECKSUMS)
    except (OSError, ValueError):
        return f"{CHECKSUMS} cannot be read"
    for name, checksum in expected.items():
        try:
            if _checksum(path / name) != checksum:
                return f"{name} has changed"
        except OSError:
            return f"{name} cannot be read"
    return None


def step_of(path: Path) -> int:
    """N of a path …/step-N."""
    return int(path.name.removeprefix("step-"))


def read(path: Path, model: torch.nn.Module) -> dict[str, Any]:
    """Loads weights (or the adapter) into ``model``, in place, restores the random states; returns the state.

    Raises:
        JobError: the files are not what this version writes.
    """
    try:
        if lora.is_adapted(model):
            lora.load(model, path / ADAPTER)
        else:
            saved = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32, local_files_only=True)
            distributed.load_weights(model, saved.state_dict())
        state: dict[str, Any] = torch.load(path / STATE, map_location="cpu", weights_only=True)
        _restore_random_states(state.pop("random"))
    except (OSError, KeyError, ValueError, RuntimeError, pickle.UnpicklingError) as error:
        raise JobError(f"{path}: the checkpoint cannot be resumed: {error}") from error
    return state


def seed_everything(seed: int) -> None:
    """Seeds every library's global random numbers, which are part of a checkpoint."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def _random_states() -> dict[str, Any]:
    name, keys, position, has_gauss, gauss = np.random.get_state(legacy=True)
    return {
        "python": random.getstate(),
        "numpy": (name, torch.from_numpy(np.asarray(keys).astype(np.int64)), position, has_gauss, gauss),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def _restore_random_states(states: Mapping[str, Any]) -> None:
    version, internal, gauss = states["python"]
    random.setstate((version, tuple(internal), gauss))
    name, keys, position, has_gauss, cached = states["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), position, has_gauss, cached))
    torch.set_rng_state(states["torch"])
    if torch.cuda.is_available() and len(states["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(states["cuda"])


def _checksum(file: Path) -> str:
    with file.open("rb") as handle:
        return hashlib.file_digest(handle, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)  # a folder cannot be opened as a file
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
