"""Which folders are a sweep or a comparison of arms; a folder of runs may merely have one called "arms"."""

from __future__ import annotations

from pathlib import Path

from reports.arms import ARMS


def is_sweep(folder: Path) -> bool:
    """Whether ``folder`` has a sweep's files, or trials and the experiment that made them."""
    return any((folder / name).exists() for name in ("summary.json", "study.db")) or _made(folder, "trials")


def is_comparison(folder: Path) -> bool:
    """Whether ``folder`` has a comparison's results, or arms and the experiment that made them."""
    return _made(folder, "arms") or (folder / ARMS).exists()


def _made(folder: Path, name: str) -> bool:
    return (folder / name).is_dir() and (folder / "experiment.toml").exists()
