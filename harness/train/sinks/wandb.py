"""W&B beside metrics.jsonl: online, or offline in RUN/wandb, from where `harness track sync` uploads it."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from evals.base import io
from evals.base.errors import JobError, UsageError
from harness.train.sinks.base import About

FINISH_SECONDS = 120.0
"""How long the end of a run waits for an upload; what is left then goes up with `harness track sync`."""

_DATA = "WANDB_DATA_DIR"
_ours: set[str] = set()
"""Values of WANDB_DATA_DIR that were set here; any other is the user's wish."""


class WandbSink:
    """One W&B run for one folder.

    Each line of metrics.jsonl is a line of W&B's history that holds our own step, which every chart is
    defined over. W&B's step is left to W&B: it counts tables too, and lines that are behind it are dropped.
    The run's id is drawn for the folder and kept there in wandb.json, so that two runs of one experiment are
    two runs of W&B's. W&B writes late: what a kill kept from reaching it, its own reader or its service says.
    """

    def __init__(self, about: About, mode: Literal["auto", "online", "offline", "off"]) -> None:
        folder = self._folder = about.folder
        # Artifacts stage in the user's data folder unless told otherwise: keep everything beside the run.
        if os.environ.get(_DATA, "") in ("", *_ours):
            os.environ[_DATA] = str((folder / "wandb").resolve())
            _ours.add(os.environ[_DATA])
        os.environ.setdefault("WANDB_SILENT", "true")
        import wandb

        before = _sent_before(folder)  # while no other launch writes there
        drawn = f"{_fit(f'{about.group}-{about.name}')[:80]}-{secrets.token_hex(4)}"
        self._id = _noted(folder).get("id") or drawn
        self.sent, self._ended = before, False
        self._note(closed=False)
        online = mode == "online" or (mode == "auto" and wandb.login(prompt=False))
        self._run: Any = wandb.init(
            project=about.project,
            dir=str(folder),
            id=self._id,
            name=about.name,
            group=about.group,
            job_type=about.kind,
            config=dict(about.config),
            tags=list(about.tags) or None,
            notes=about.notes or None,
            mode="online" if online else "offline",
            resume="allow",
            settings=wandb.Settings(
                console="off",
                x_disable_stats=not online,
                finish_timeout=FINISH_SECONDS,
                finish_timeout_raises=True,
            ),
        )
        # Of a run that it knows, the service tells the last step that reached it.
        if online and self._run.resumed:
            self.sent = _reached(self._run)
        self._run.define_metric("step", hidden=True)
        self._run.define_metric("*", step_metric="step")

    def log(self, row: Mapping[str, Any]) -> None:
        self._run.log(dict(row))

    def summary(self, values: Mapping[str, Any]) -> None:
        self._run.summary.update(dict(values))

    def table(self, name: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        import wandb

        data: list[Iterable[Any]] = list(rows)
        self._run.log({name: wandb.Table(columns=list(columns), data=data, allow_mixed_types=True)})

    def file(self, path: Path, kind: str, name: str) -> None:
        import wandb

        artifact = wandb.Artifact(_fit(f"{self._run.id}-{name}"), type=kind)
        artifact.add_file(str(path))
        self._run.log_artifact(artifact)

    def close(self) -> None:
        if self._ended:
            return  # a second `finish` says nothing of what the first could not upload
        self._ended = True
        self._run.finish()
        self._note(closed=True)

    def _note(self, *, closed: bool) -> None:
        io.write_json(self._folder / "wandb.json", {"id": self._id, "sent_step": self.sent, "closed": closed})


def _reached(run: Any) -> int:
    return int(run.summary.get("step", -1))


def sync(folder: Path) -> int:
    """Uploads every offline run in and beneath ``folder`` that was not uploaded yet; how many there were.

    Those count too that were online and broke off: the service was away, or the process was killed. The
    launches of a run that was resumed are one run, in the order they came.

    Raises:
        UsageError: there is none.
        JobError: nobody is logged in, or the upload failed.
    """
    runs = sorted(path.parent for path in folder.rglob("offline-run-*/*.wandb"))
    runs += sorted(path.parent for path in folder.rglob("run-*/*.wandb") if _broke_off(path))
    if not runs:
        raise UsageError(
            f"{folder}: contains no W&B run that was recorded offline or not uploaded to its end"
        )
    waiting = [run for run in runs if not any(run.glob("*.synced"))]
    if not waiting:
        return 0
    os.environ.pop("WANDB_MODE", None)  # what kept the runs offline must not keep them there now
    import wandb

    if not wandb.login(prompt=False):
        raise JobError("W&B: nobody is logged in; run `wandb login`, or set WANDB_API_KEY")
    command = [sys.executable, "-m", "wandb", "sync", "--yes", "--no-skip-online", *map(str, waiting)]
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    if said.returncode:
        lines = (said.stderr or said.stdout).strip().splitlines()
        raise JobError(f"W&B: the upload failed: {lines[-1] if lines else f'exit code {said.returncode}'}")
    return len(waiting)


def _sent_before(folder: Path) -> int:
    """The last of our steps that earlier launches left in their offline files; -1 where there is none.

    A launch that ended well noted it in wandb.json; what one that was killed got to disk, W&B's own reader
    says.
    """
    noted = _noted(folder)
    with contextlib.suppress(ValueError, KeyError, TypeError):
        if noted["closed"]:
            return int(noted["sent_step"])
    steps = [-1]
    for path in folder.glob("wandb/offline-run-*/*.wandb"):
        command = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(path)]
        said = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120).stdout
        for line in said.splitlines():
            steps.append(int(json.loads(line).get("history", {}).get("item", {}).get("step", -1)))
    return max(steps)


def _broke_off(record: Path) -> bool:
    """Whether an online run (RUN/wandb/run-…/….wandb) ended before all was uploaded."""
    return _noted(record.parents[2]).get("closed") is False


def _noted(folder: Path) -> dict[str, Any]:
    """What wandb.json says; nothing where it is missing or damaged."""
    try:
        found: Any = io.read_json(folder / "wandb.json")
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _fit(name: str) -> str:
    """A name that W&B accepts for an artifact."""
    return "".join(c if c.isalnum() or c in "-_." else "-" for c in name)[:128]
