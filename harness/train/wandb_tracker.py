"""W&B beside metrics.jsonl: the file is the truth, W&B is fed from it and may fail without harm."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import secrets
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from evals.base import io
from evals.base.errors import JobError, UsageError
from evals.base.secrets import masked
from evals.scores import Scores
from evals.task import folder_of
from harness.config import Tracking

log = logging.getLogger(__name__)

ROWS = 500
"""Rows of a table of samples; W&B draws 10,000 at most, and slowly."""
CHARACTERS = 4000
"""Of a text in such a table; the files beside it hold the whole."""
FINISH_SECONDS = 120.0
"""How long the end of a run waits for an upload; what is left then goes up with `harness track sync`."""
TRAINING_COLUMNS = ("step", "id", "prompt", "response", "reward", "advantage", "finish_reason")
EVALUATION_COLUMNS = ("id", "sample", "status", "answer", "response", "finish_reason", "tokens")

_DATA = "WANDB_DATA_DIR"
_ours: set[str] = set()
"""Values of WANDB_DATA_DIR that were set here; any other is the user's wish."""


class Tracker:
    """One W&B run for one folder.

    Each line of metrics.jsonl is a line of W&B's history that holds our own step, which every chart is
    defined over. W&B's step is left to W&B: it counts tables too, and lines that are behind it are dropped. A
    resumed run, which repeats the steps after its checkpoint, sends nothing twice; what a kill kept from
    reaching W&B, which writes late, follows from metrics.jsonl at the next start. The run's id is drawn for
    the folder and kept there in wandb.json, so that two runs of one experiment are two runs of W&B's.
    """

    def __init__(
        self, settings: Tracking, folder: Path, *, name: str, group: str, kind: str, config: Any
    ) -> None:
        """``group`` joins the runs of a study; ``kind`` ("train", "trial", "confirm", "sweep") is the job
        type.
        """
        self._folder = folder
        self._run: Any = None
        self._id = ""
        self._sent = -1
        if settings.wandb != "off":
            self._try(lambda: self._start(settings, name, group, kind, config))
        for row in io.read_lines(folder / "metrics.jsonl"):
            self.log(row)

    def _start(self, settings: Tracking, name: str, group: str, kind: str, config: Any) -> None:
        # Artifacts stage in the user's data folder unless told otherwise: keep everything beside the run.
        if os.environ.get(_DATA, "") in ("", *_ours):
            os.environ[_DATA] = str((self._folder / "wandb").resolve())
            _ours.add(os.environ[_DATA])
        os.environ.setdefault("WANDB_SILENT", "true")
        import wandb

        before = _sent_before(self._folder)  # while no other launch writes there
        self._id = _noted(self._folder).get("id") or f"{_fit(f'{group}-{name}')[:80]}-{secrets.token_hex(4)}"
        self._note(before, closed=False)
        online = settings.wandb == "online" or (settings.wandb == "auto" and wandb.login(prompt=False))
        mode: Literal["online", "offline"] = "online" if online else "offline"
        self._run = wandb.init(
            project=settings.project,
            dir=str(self._folder),
            id=self._id,
            name=name,
            group=group,
            job_type=kind,
            config=masked(config),
            mode=mode,
            resume="allow",
            settings=wandb.Settings(
                console="off", x_disable_stats=mode == "offline", finish_timeout=FINISH_SECONDS
            ),
        )
        # Of a run that it knows, the service tells the last step that reached it.
        self._sent = int(self._run.summary.get("step", -1)) if online and self._run.resumed else before
        self._run.define_metric("step", hidden=True)
        self._run.define_metric("*", step_metric="step")

    def log(self, row: Mapping[str, Any]) -> None:
        """Sends a line of metrics.jsonl, unless an earlier launch has sent its step."""
        if self._run is None or row["step"] <= self._sent:
            return
        values = {key: value for key, value in row.items() if value is not None}
        self._send(lambda: self._run.log(values))
        self._sent = int(row["step"])

    def summary(self, values: Mapping[str, Any]) -> None:
        """Sets the figures that W&B shows and sorts runs by."""
        self._send(lambda: self._run.summary.update(dict(values)))

    def best(self, metric: str = "dev/pass@1") -> None:
        """Sets ``best/METRIC`` and the step it was reached at from metrics.jsonl, where it has the metric."""
        rows = [row for row in io.read_lines(self._folder / "metrics.jsonl") if row.get(metric) is not None]
        if rows:
            top = max(rows, key=lambda row: float(row[metric]))
            self.summary({f"best/{metric}": top[metric], "best/step": top["step"]})

    def completions(self) -> None:
        """The newest completions of samples.jsonl as a table, with a column per reward."""
        rows = deque(io.read_lines(self._folder / "samples.jsonl"), maxlen=ROWS)
        rewards = sorted({f"rewards/{name}" for row in rows for name in row.get("rewards") or {}})
        flat = [
            row | {f"rewards/{name}": value for name, value in (row.get("rewards") or {}).items()}
            for row in rows
        ]
        self._table("completions", (*TRAINING_COLUMNS, *rewards), flat)

    def evaluation(self, name: str, scores: Scores, folder: Path) -> None:
        """A benchmark of an evaluation: summary keys ``eval/BENCHMARK/NAME/…``, scores.json, a table."""
        prefix = f"eval/{scores.benchmark}/{name}"
        one = scores.pass_at_1()
        figures = {"pass@1": one.value, "pass@1.low": one.low, "pass@1.high": one.high}
        if scores.votes and scores.ks[-1] > 1:
            figures[f"cons@{scores.ks[-1]}"] = scores.cons_at_k(scores.ks[-1]).value
        self.summary({f"{prefix}/{key}": value for key, value in figures.items()})
        self.file(folder / "scores.json", "scores", f"{name}-{folder_of(scores.benchmark)}")
        rows = islice(io.read_lines(folder / "samples.jsonl"), ROWS)
        self._table(f"samples/{scores.benchmark}/{name}", EVALUATION_COLUMNS, rows)

    def file(self, path: Path, kind: str, name: str = "") -> None:
        """Keeps a file (a report, scores) as an artifact of this run's."""

        def keep() -> None:
            import wandb

            artifact = wandb.Artifact(_fit(f"{self._run.id}-{name or path.stem}"), type=kind)
            artifact.add_file(str(path))
            self._run.log_artifact(artifact)

        self._send(keep)

    def close(self) -> None:
        if self._run is not None:
            self._try(self._run.finish)
        if self._run is not None:
            self._note(self._sent, closed=True)
            self._run = None

    def _note(self, sent: int, *, closed: bool) -> None:
        io.write_json(self._folder / "wandb.json", {"id": self._id, "sent_step": sent, "closed": closed})

    def _table(self, name: str, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
        """Rows as a W&B table, long texts cut; nothing where there are none."""

        def send() -> None:
            import wandb

            data: list[Iterable[Any]] = [[_cut(row.get(column)) for column in columns] for row in rows]
            if data:
                self._run.log({name: wandb.Table(columns=list(columns), data=data, allow_mixed_types=True)})

        self._send(send)

    def _send(self, call: Callable[[], Any]) -> None:
        if self._run is not None:
            self._try(call)

    def _try(self, call: Callable[[], Any]) -> None:
        """A W&B failure is said once and ends tracking, never the run."""
        try:
            call()
        except Exception as error:
            log.warning("W&B is off from here on (%s); metrics.jsonl goes on", json.dumps(str(error))[:300])
            broken, self._run = self._run, None
            with contextlib.suppress(Exception):  # what was logged before can still be kept
                broken.finish()


def sync(folder: Path) -> int:
    """Uploads every offline run in and beneath ``folder`` that was not uploaded yet; how many there were.

    The launches of a run that was resumed are one run, in the order they came.

    Raises:
        UsageError: there is none.
        JobError: nobody is logged in, or the upload failed.
    """
    runs = sorted(path.parent for path in folder.rglob("offline-run-*/*.wandb"))
    if not runs:
        raise UsageError(f"{folder}: holds no offline W&B run")
    waiting = [run for run in runs if not any(run.glob("*.synced"))]
    if not waiting:
        return 0
    os.environ.pop("WANDB_MODE", None)  # what kept the runs offline must not keep them there now
    import wandb

    if not wandb.login(prompt=False):
        raise JobError("W&B: nobody is logged in; run `wandb login`, or set WANDB_API_KEY")
    command = [sys.executable, "-m", "wandb", "sync", "--yes", *map(str, waiting)]
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


def _noted(folder: Path) -> dict[str, Any]:
    """What wandb.json says; nothing where it is missing or damaged."""
    try:
        found: Any = io.read_json(folder / "wandb.json")
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _cut(value: Any) -> Any:
    if isinstance(value, str) and len(value) > CHARACTERS:
        return value[:CHARACTERS] + f" … {len(value) - CHARACTERS:,} characters more"
    return value


def _fit(name: str) -> str:
    """A name that W&B accepts for an artifact."""
    return "".join(c if c.isalnum() or c in "-_." else "-" for c in name)[:128]
