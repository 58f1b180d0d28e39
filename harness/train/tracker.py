"""Feeds W&B, TensorBoard and others from a run's files, which are the truth; a sink may fail."""

from __future__ import annotations

import contextlib
import json
import logging
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from evals.base import io
from evals.base.secrets import masked
from evals.scores import Scores
from evals.task import folder_of
from harness.config import Experiment, Tracking
from harness.config.kinds import TRACKERS
from harness.train.sinks.base import CHARACTERS, ROWS, About, Sink

log = logging.getLogger(__name__)

TRAINING_COLUMNS = ("step", "id", "prompt", "response", "reward", "advantage", "finish_reason")
EVALUATION_COLUMNS = (
    *("id", "sample", "prompt", "gold", "status", "answer", "response", "finish_reason", "tokens"),
)


class Tracker:
    """The sinks of one folder, each fed until it fails.

    A resumed run, which repeats the steps after its checkpoint, sends nothing twice; what a kill kept from
    reaching a sink follows from the folder's own file of metrics at the next start.
    """

    def __init__(
        self,
        settings: Tracking,
        folder: Path,
        *,
        name: str,
        group: str,
        kind: str,
        config: Mapping[str, Any],
        metrics: str = "metrics.jsonl",
    ) -> None:
        """``config``: flat (``columns``); ``metrics``: the folder's file of what is logged step by step."""
        self._folder, self._metrics = folder, metrics
        tags, notes = settings.tags, settings.notes
        about = About(folder, name, group, kind, settings.project, masked(dict(config)), tags, notes)
        self._sinks: dict[str, Sink] = {}
        for label, make in _makers(settings):
            with self._guard(label):
                self._sinks[label] = make(about)
        for row in io.read_lines(folder / metrics):
            self.log(row)

    def log(self, row: Mapping[str, Any]) -> None:
        """Sends a line of metrics.jsonl to every sink that does not hold its step."""
        step = int(row["step"])
        values = {key: value for key, value in row.items() if value is not None}
        for label, sink in list(self._sinks.items()):
            if step > sink.sent:
                with self._guard(label):
                    sink.log(values)
                    sink.sent = step

    def summary(self, values: Mapping[str, Any]) -> None:
        """Sets the figures that runs are shown and sorted by."""
        self._each(lambda sink: sink.summary(values))

    def best(self, metric: str = "dev/pass@1") -> None:
        """Sets ``best/METRIC`` and the step it was reached at from metrics.jsonl, where it has the metric."""
        rows = [row for row in io.read_lines(self._folder / self._metrics) if row.get(metric) is not None]
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

    def evaluation(self, name: str, scores: Scores, folder: Path, golds: Mapping[str, str]) -> None:
        """A benchmark of an evaluation: summary keys ``eval/BENCHMARK/NAME/…``, scores.json, a table.

        ``golds``: the right answers by question id, where they are known.
        """
        prefix = f"eval/{scores.benchmark}/{name}"
        one = scores.pass_at_1()
        figures = {"pass@1": one.value, "pass@1.low": one.low, "pass@1.high": one.high}
        if scores.votes and scores.ks[-1] > 1:
            figures[f"cons@{scores.ks[-1]}"] = scores.cons_at_k(scores.ks[-1]).value
        self.summary({f"{prefix}/{key}": value for key, value in figures.items()})
        self.file(folder / "scores.json", "scores", f"{name}-{folder_of(scores.benchmark)}")
        rows = islice(io.read_lines(folder / "samples.jsonl"), ROWS)
        known = ({**row, "gold": golds.get(str(row.get("id")))} for row in rows)
        self._table(f"samples/{scores.benchmark}/{name}", EVALUATION_COLUMNS, known)

    def file(self, path: Path, kind: str, name: str = "") -> None:
        """Keeps a file (a report, scores)."""
        self._each(lambda sink: sink.file(path, kind, name or path.stem))

    def close(self) -> None:
        self._each(lambda sink: sink.close())
        self._sinks = {}

    def _table(self, name: str, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
        """Rows as a table, long texts cut; nothing where there are none."""
        data = [[_cut(row.get(column)) for column in columns] for row in rows]
        if data:
            self._each(lambda sink: sink.table(name, columns, data))

    def _each(self, call: Callable[[Sink], object]) -> None:
        for label, sink in list(self._sinks.items()):
            with self._guard(label):
                call(sink)

    @contextlib.contextmanager
    def _guard(self, label: str) -> Any:
        """A sink's failure is said once and ends the sink, never the run."""
        try:
            yield
        except Exception as error:
            log.warning(
                "%s is off from here on (%s); metrics.jsonl goes on", label, json.dumps(str(error))[:300]
            )
            broken = self._sinks.pop(label, None)
            with contextlib.suppress(Exception):  # what was sent before can still be kept
                if broken is not None:
                    broken.close()


def _makers(settings: Tracking) -> Iterable[tuple[str, Callable[[About], Sink]]]:
    """What makes each sink, with what it is called in a message."""
    if settings.wandb != "off":
        from harness.train.sinks.wandb import WandbSink

        yield "W&B", lambda about: WandbSink(about, settings.wandb)
    for choice in settings.also:
        yield choice.kind, TRACKERS.factory(choice.kind, choice.settings, "tracking.also")


def columns(experiment: Experiment) -> dict[str, Any]:
    """The experiment as flat columns, as ``-s`` addresses its settings: ``grpo.beta``, ``policy.model``."""
    raw = experiment.model_dump(mode="json", exclude={"stages"}, exclude_none=True)
    for stage, table in zip(
        experiment.stages, experiment.model_dump(mode="json", exclude_none=True)["stages"], strict=True
    ):
        raw[stage.name] = {key: value for key, value in table.items() if key != "name"}
    return dict(_flat(raw, ""))


def _flat(table: Mapping[str, Any], before: str) -> Iterable[tuple[str, Any]]:
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{before}{key}.")
        elif isinstance(value, list) and all(isinstance(item, str | int | float) for item in value):
            yield f"{before}{key}", ", ".join(map(str, value))
        else:
            yield f"{before}{key}", value


def _cut(value: Any) -> Any:
    if isinstance(value, str) and len(value) > CHARACTERS:
        return value[:CHARACTERS] + f" … {len(value) - CHARACTERS:,} characters more"
    return value
