"""Checkpoints that are whole or not there: a Hugging Face folder plus the trainer's state.

checkpoints/step-N/   model, configuration and tokenizer, as any tool loads them
                      adapter/       the adapter alone, where the policy has one
                      trainer.pt     optimizer, random states, counters
                      reference.pt   the reference policy, where there is one; until it is refreshed, the
                                     same file (a hard link) as in the checkpoint before the last
                      optimizer….safetensors, reference….safetensors
                                     what several processes write of them in shards, as they gather it
                      checksums.json file name -> BLAKE2b of its bytes
checkpoints/best      a link to the one with the best dev evaluation, where it is to be kept
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import math
import os
import pickle
import random
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from evals.base import io
from evals.base.errors import DamagedFileError, JobError, first_line
from harness.config import Training
from harness.models import blocks, dist, lora, sharding, shards
from harness.models.policy import ADAPTER, Policy, save_policy
from harness.train.grpo.reference import Reference
from harness.train.mending import checkpoint_steps as steps

log = logging.getLogger(__name__)

STATE, REFERENCE, CHECKSUMS = "trainer.pt", "reference.pt", "checksums.json"
OPTIMIZER = "optimizer"
BEST, OBJECTIVE = "best", "dev/pass@1"
SETTLED = 2.0
"""Seconds after which a file's time of change tells it from any later version: clocks of disks are coarse."""


def write(
    folder: Path,
    step: int,
    policy: Policy,
    state: Mapping[str, Any],
    keep: int,
    best: bool = False,
    reference: Mapping[str, torch.Tensor] | Path | None = None,
) -> Path:
    """Writes ``folder``/step-N and then deletes all but the newest ``keep`` checkpoints and the best one.

    ``best`` makes this the best one, to which the link ``folder``/best leads. ``reference`` is the reference
    policy's tensors, or an earlier checkpoint that has them. The checkpoint is written aside, flushed to disk
    and renamed, so a kill at any moment leaves the ones before. Several processes call this together: the
    first one writes what all gather.

    Raises:
        JobError: the checkpoint cannot be written (disk full, no permission); nothing is left of it.
    """
    final, aside = folder / f"step-{step}", folder / f".step-{step}.tmp"
    if not dist.is_main():
        _write_tensors(None, step, policy, state, reference)
        return final
    try:
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(parents=True)
        _write_tensors(aside, step, policy, state, reference)
        written = [path for path in sorted(aside.rglob("*")) if path.is_file()]
        checksums = {str(file.relative_to(aside)): _checksum(file) for file in written}
        io.write_json(aside / CHECKSUMS, checksums)
        for path in aside.rglob("*"):
            _sync(path)
        shutil.rmtree(final, ignore_errors=True)  # a damaged one, passed over on resume
        os.replace(aside, final)
        io.sync_folder(folder)
    except (
        OSError,
        RuntimeError,
    ) as error:  # torch.save hides a full disk in a RuntimeError
        raise JobError(
            f"{final}: the checkpoint could not be written{_free(folder)}: {first_line(error)}"
        ) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    if best:
        _mark_best(folder, step)
    _drop_old(folder, keep)
    return final


def _write_tensors(
    aside: Path | None,
    step: int,
    policy: Policy,
    state: Mapping[str, Any],
    reference: Mapping[str, torch.Tensor] | Path | None,
) -> None:
    """What needs all processes, in the same order in each; ``aside`` is there in the one that writes."""
    save_policy(policy, aside)
    if sharding.is_sharded(policy.model):
        optimizer, moments = sharding.split_optimizer(state["optimizer"])
        state = {**state, "optimizer": optimizer}
        if moments:
            shards.write(aside, OPTIMIZER, sharding.outline(moments), sharding.gathering(moments))
    if aside is not None:
        torch.save({**state, "step": step, "random": _random_states()}, aside / STATE)
    if isinstance(reference, Path):
        for file in _reference_files(reference) if aside is not None else ():
            _link(file, aside / file.name)  # type: ignore[operator]
    elif reference and sharding.is_sharded(policy.model):
        shards.write(aside, "reference", sharding.outline(reference), sharding.gathering(reference))
    elif reference is not None and aside is not None:
        torch.save(dict(reference), aside / REFERENCE)


def _reference_files(checkpoint: Path) -> list[Path]:
    """The files of the reference policy; none where there is none."""
    whole = checkpoint / REFERENCE
    return [whole] if whole.exists() else shards.files(checkpoint, "reference")


def _link(there: Path, here: Path) -> None:
    try:
        os.link(there, here)
    except OSError:  # a file system without links
        shutil.copyfile(there, here)


def _free(folder: Path) -> str:
    """How much room there is, as far as that can be told: what failed may be the folder itself."""
    for place in (folder, *folder.parents):
        with contextlib.suppress(OSError):
            return f", with {shutil.disk_usage(place).free / 2**20:,.1f} MiB free on that disk"
    return ""


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

    def __init__(self, folder: Path, stage: Training, reference: Reference | None = None) -> None:
        self._folder = folder
        self._stage = stage
        self._best: dict[str, float] | None = None
        self._reference = reference
        self._references: list[tuple[int, Path]] = []
        """The last two checkpoints that have the reference, and after how many refreshes."""

    def begin(self) -> None:
        """Before a stage's first step: a best checkpoint that is damaged is none."""
        if dist.is_main() and (self._folder / BEST).is_symlink():
            target = self._folder / os.readlink(self._folder / BEST)
            problem = damage(target)
            if problem is not None:
                log.warning("%s: damaged (%s), so it is the best one no more", target, problem)
                (self._folder / BEST).unlink()

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
            reference = self._reference_to_write()
            keep = self._stage.keep_checkpoints
            write(self._folder, step, policy, {**state(), "best": self._best}, keep, better, reference)
            if self._reference is not None and reference is not None:
                written = self._reference.refreshes, self._folder / f"step-{step}"
                self._references = [*self._references[-1:], written]

    def _reference_to_write(self) -> Mapping[str, torch.Tensor] | Path | None:
        """The reference's tensors, or a checkpoint that has them as they are.

        Not the newest checkpoint's file, while it is not the only one: what damages a file must not damage
        the checkpoint to go back to.
        """
        if self._reference is None:
            return None
        back = min(2, self._stage.keep_checkpoints)
        if len(self._references) >= back:
            refreshes, checkpoint = self._references[-back]
            found = dist.decided(lambda: bool(_reference_files(checkpoint)))
            if refreshes == self._reference.refreshes and found:
                return checkpoint
        return self._reference.state()

    def resume(self, state: Mapping[str, Any], path: Path | None = None) -> None:
        """Goes back to a checkpoint's state: what came later was not the best.

        ``path`` is that checkpoint, whose reference need not be written again.
        """
        self._best = state["best"]
        if self._reference is not None and path and dist.decided(lambda: bool(_reference_files(path))):
            self._references = [(self._reference.refreshes, path)]
        if self._best is not None:
            best = self._folder / f"step-{int(self._best['step'])}"
            problem = dist.decided(lambda: damage(best))
            if problem is not None:
                log.warning(
                    "%s: the best checkpoint is gone (%s): the next evaluation is the best", best, problem
                )
                self._best = None
        if not dist.is_main():
            return
        if self._best is not None:
            _mark_best(self._folder, int(self._best["step"]))
        elif self._stage.keep_best:
            (self._folder / BEST).unlink(missing_ok=True)
        # A kill after a checkpoint was written may have left them, and after the last one nothing is written.
        _drop_old(self._folder, self._stage.keep_checkpoints)


def newest(folder: Path, upto: float = math.inf) -> Path | None:
    """The newest undamaged checkpoint, of those upto step ``upto``; None where there is none.

    Damaged ones are reported in the log.
    """
    for step in reversed([step for step in steps(folder) if step <= upto]):
        path = folder / f"step-{step}"
        problem = damage(path)
        if problem is None:
            return path
        log.warning("%s: damaged (%s); going back to the checkpoint before it", path, problem)
    return None


def unlogged(folder: Path, step: int) -> list[int]:
    """The steps of the checkpoints after ``step``, the last in metrics.jsonl: of these it has lost something.

    Raises:
        JobError: there is no checkpoint to go back to.
    """
    later = [each for each in steps(folder) if each > step]
    if not later:
        return []
    kept = newest(folder, step)
    if kept is None:
        raise JobError(
            f"{folder.parent / 'metrics.jsonl'}: ends at step {step}, and no checkpoint is from before that "
            f"(the oldest: step {later[0]}): put the file back, or name another --out"
        )
    log.warning("%s: metrics.jsonl ends at step %d, so the run goes back to that checkpoint", kept, step)
    return later


def drop(folder: Path, later: Sequence[int]) -> None:
    """Deletes the checkpoints of these steps."""
    for step in later:
        shutil.rmtree(folder / f"step-{step}")


def damage(path: Path) -> str | None:
    """What is wrong with a checkpoint, in a few words; None where every file is as it was written."""
    try:
        expected = io.read_json(path / CHECKSUMS)
    except (OSError, DamagedFileError):
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
            blocks.load(model, path)
        state: dict[str, Any] = _load(path / STATE, model)
        if shards.exist(path, OPTIMIZER):
            state["moments"] = shards.Stored(path, OPTIMIZER)
        if (path / REFERENCE).exists():
            state["reference"] = _load(path / REFERENCE, model)
        elif shards.exist(path, "reference"):
            state["reference"] = shards.Stored(path, "reference")
        _restore_random_states(state.pop("random"))
    except (OSError, KeyError, ValueError, RuntimeError, pickle.UnpicklingError) as error:
        raise JobError(f"{path}: the checkpoint cannot be resumed: {error}") from error
    return state


def _load(file: Path, model: torch.nn.Module) -> Any:
    """Its tensors; of a sharded model's each is read from the file when it is asked for."""
    mapped = sharding.is_sharded(model)
    return torch.load(file, map_location="cpu", weights_only=True, mmap=mapped)


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


_checksums: dict[tuple[int, int, str, int, int], str] = {}
"""What this process has read once, by device, number, name, size and time of change."""


def _checksum(file: Path) -> str:
    found = file.stat()
    key = (found.st_dev, found.st_ino, file.name, found.st_size, found.st_mtime_ns)
    if key in _checksums:
        return _checksums[key]
    with file.open("rb") as handle:
        checksum = hashlib.file_digest(handle, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
    if time.time() - found.st_mtime > SETTLED:
        _checksums[key] = checksum
    return checksum


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)  # a folder cannot be opened as a file
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
