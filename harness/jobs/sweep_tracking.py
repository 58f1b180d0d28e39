"""The sweep as a run of its own in W&B and the other sinks, live: a line for each trial as it ends.

The lines are kept in SWEEP/progress.jsonl, in the order in which trials ended, so that a resumed sweep sends
none twice, and none is lost that ended while nobody listened.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evals.base import io
from evals.scores import Scores
from evals.task import folder_of
from harness.config import Experiment
from harness.sweep.events import Event
from harness.sweep.summary import Summary
from harness.train.questions import QuestionSets
from harness.train.tracker import Tracker, columns

PROGRESS = "progress.jsonl"
ENDS = ("complete", "pruned", "failed")


class SweepTracking:
    """Opened by the first event: only then does the folder belong to this sweep."""

    def __init__(self, experiment: Experiment, folder: Path) -> None:
        assert experiment.sweep is not None
        self._experiment, self._folder = experiment, folder
        self._better = max if experiment.sweep.maximize else min
        self._tracker: Tracker | None = None
        self._rows: list[dict[str, Any]] = []

    def take(self, event: Event) -> None:
        """Passes on the end of a trial."""
        self._open()
        if event.kind in ENDS and event.trial is not None:
            self._ended(event.trial, event.kind, event.value, event.stderr)

    def finish(
        self, summary: Summary, scores: Mapping[str, list[Scores]], report: Path, sets: QuestionSets
    ) -> None:
        """What is known at the end: the winner, benchmark figures with samples, the report."""
        tracker = self._open()
        for trial in summary.trials:
            if trial.state in ENDS:
                self._ended(trial.number, trial.state, trial.value, trial.stderr)
        if summary.winner is not None:
            chosen = {f"winner/{name}": value for name, value in summary.winner.params.items()}
            tracker.summary({"winner": summary.winner.trial, **chosen})
        for name, results in scores.items():
            for each in results:
                where = self._folder / "evals" / name / folder_of(each.benchmark)
                tracker.evaluation(name, each, where, sets.golds(each.benchmark))
        tracker.file(report, "report")

    def close(self) -> None:
        if self._tracker is not None:
            self._tracker.close()

    def _open(self) -> Tracker:
        if self._tracker is None:
            self._rows = list(io.read_lines(self._folder / PROGRESS))
            self._tracker = Tracker(
                self._experiment.tracking,
                self._folder,
                name="sweep",
                group=self._experiment.name,
                kind="sweep",
                config=columns(self._experiment),
                metrics=PROGRESS,
            )
        return self._tracker

    def _ended(self, trial: int, state: str, value: float | None, stderr: float | None) -> None:
        if any(row["trial/number"] == trial for row in self._rows):
            return
        values = [value, *(row.get("trial/value") for row in self._rows)]
        known = [each for each in values if each is not None]
        row = {
            "step": len(self._rows) + 1,
            "time": time.time(),
            "trial/number": trial,
            "trial/state": state,
            "trial/value": value,
            "trial/stderr": stderr,
            "best/value": self._better(known, default=None),
        }
        with (self._folder / PROGRESS).open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(row) + "\n")
        self._rows.append(row)
        self._open().log(row)
