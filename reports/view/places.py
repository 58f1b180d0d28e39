"""What lies below a folder: sweeps, comparisons, runs and evaluations, and how they are recognised."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from reports.kinds import is_comparison, is_sweep

Kind = Literal["sweep", "comparison", "run", "evaluation"]
DEEPEST = 8
"""Folders below the root that are looked into."""
PASSED_OVER = {"checkpoints", "wandb", "node_modules", "__pycache__"}


@dataclass(frozen=True)
class Place:
    """A folder that holds something to show; ``key`` is its path below the root, "" for the root itself."""

    key: str
    folder: Path
    kind: Kind


class OutsideError(Exception):
    """What was asked for is not there, or not below the folder that is served."""


def within(root: Path, key: str) -> Path:
    """The file or folder ``key`` below ``root``, links followed.

    Raises:
        OutsideError: there is none, or it lies elsewhere.
    """
    try:
        base = root.resolve(strict=True)
        found = (base / key).resolve(strict=True)
    except (OSError, ValueError, RuntimeError):  # ValueError: a zero byte; RuntimeError: links in a circle
        raise OutsideError(key) from None
    if not found.is_relative_to(base):
        raise OutsideError(key)
    return found


def kind_of(folder: Path) -> Kind | None:
    """What a folder is; None where it is nothing of ours."""
    if is_sweep(folder):
        return "sweep"
    if is_comparison(folder):
        return "comparison"
    if any((folder / name).exists() for name in ("metrics.jsonl", "status.json", "attempt.json")):
        return "run"
    return "evaluation" if benchmarks(folder) else None


def title(folder: Path) -> str:
    """What a folder is called: "trial 4" or "rl, seed 2, attempt 3" rather than "attempt-3"."""
    attempt = folder.name.removeprefix("attempt-")
    if attempt == folder.name or not attempt.isdecimal():
        return folder.name
    job, owner = folder.parent.name, folder.parent.parent.name
    if job.isdecimal():
        told = f"trial {job}"
    elif job.startswith("seed-"):
        of = owner.replace("-", " ", 1) if owner.startswith("trial-") else owner
        told = f"{of}, {job.replace('-', ' ', 1)}"
    else:
        return folder.name
    return told + (f", attempt {attempt}" if attempt != "1" else "")


def benchmarks(folder: Path) -> list[Path]:
    """The folders with the scores or samples of one benchmark: ``folder`` itself, or those in it."""
    if not folder.is_dir():
        return []
    return [each for each in (folder, *_folders(folder)) if _is_benchmark(each)]


def _is_benchmark(folder: Path) -> bool:
    if (folder / "scores.json").exists() or (folder / "lm_eval.json").exists():
        return True
    return (folder / "samples.jsonl").exists() and not is_run(folder)


def is_run(folder: Path) -> bool:
    """Whether a folder is a training run's: what it calls samples.jsonl are completions of training."""
    return (folder / "metrics.jsonl").exists() or (folder / "experiment.toml").exists()


def find(root: Path) -> list[Place]:
    """The places below ``root``; ``root`` alone where it is one. What a place holds is not listed apart."""
    return list(_find(root, "", 0))


def below(folder: Path, key: str) -> list[Place]:
    """The places inside the place ``key``."""
    return [place for each in _folders(folder) for place in _find(each, _join(key, each.name), 1)]


def _find(folder: Path, key: str, depth: int) -> Iterator[Place]:
    kind = kind_of(folder)
    if kind is not None:
        yield Place(key, folder, kind)
    elif depth < DEEPEST:
        for each in _folders(folder):
            yield from _find(each, _join(key, each.name), depth + 1)


def _folders(folder: Path) -> list[Path]:
    """The folders in a folder, links left out, by name as people count."""
    try:
        with os.scandir(folder) as entries:
            found = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return []
    shown = [name for name in found if not name.startswith(".") and name not in PASSED_OVER]
    return [folder / name for name in sorted(shown, key=lambda name: name.zfill(40))]


def _join(key: str, name: str) -> str:
    return f"{key}/{name}" if key else name


def evaluations(folder: Path) -> list[Path]:
    """The benchmark folders of a sweep, a comparison, a run or an evaluation, in order."""
    found: list[Path] = []
    _gather(folder, found, 0)
    return found


def _gather(folder: Path, found: list[Path], depth: int) -> None:
    if _is_benchmark(folder):
        found.append(folder)
    elif depth < DEEPEST:
        for each in _folders(folder):
            _gather(each, found, depth + 1)
