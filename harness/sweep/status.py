"""How a sweep stands, read from its folder alone: it may be at work, at its end, or dead."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evals.base.errors import DamagedFileError, UsageError
from harness.config import read_experiment
from harness.sweep import attempts
from harness.sweep.attempts import Progress
from harness.sweep.costs import Total, ledger
from harness.sweep.space_table import parse_space
from harness.sweep.summary import SUMMARY, Summary, Trial

log = logging.getLogger(__name__)


class TrialStatus(Trial):
    """A trial; where the summary does not have it yet, ``step`` is the last that it logged.

    ``reward`` is the mean reward of that step.
    """

    step: int | None = None
    reward: float | None = None

    @property
    def reached(self) -> int:
        """The last step that it is known to have done."""
        return max([self.step or 0, *(point.step for point in self.history)])


class SweepStatus(Summary):
    """The summary of a sweep, its running trials as they are at this moment, and the cost so far."""

    trials: tuple[TrialStatus, ...] = ()
    cost: Total = Total()


def read_summary(folder: Path) -> SweepStatus:
    """How the sweep in ``folder`` stands.

    The dispatcher writes summary.json when trials end; what goes on between is in the trials' own folders.

    Raises:
        UsageError: there is no sweep in the folder, or a newer version of this program wrote it.
    """
    if not (folder / "experiment.toml").exists():
        raise UsageError(
            f"{folder}: contains no sweep (no experiment.toml); name a folder written by `sweep`"
        )
    sweep = read_experiment([folder / "experiment.toml"]).sweep
    if sweep is None:
        raise UsageError(f"{folder}: holds a run, not a sweep: its experiment has no [sweep] table")
    summary = _written(folder / SUMMARY) or SweepStatus()
    trials = {trial.number: trial for trial in summary.trials if trial.state != "running"}
    for job in (folder / "trials").glob("*/experiment.toml"):
        if job.parent.name.isdigit() and (number := int(job.parent.name)) not in trials:
            found = _from_folder(job.parent, number, sweep.objectives[0])
            trials[number] = found.model_copy(update={"params": _params(sweep.space, job)})
    return summary.model_copy(
        update={
            "objective": sweep.objectives[0],
            "planned": summary.planned or sweep.trials,
            "trials": tuple(trials[number] for number in sorted(trials)),
            "winner": summary.winner,
            "cost": ledger(folder, sweep.device_hour_price).total,
        }
    )


def _params(space: Mapping[str, Any], job: Path) -> dict[str, Any]:
    """A trial's settings, as its experiment has them; {} where that cannot be read."""
    try:
        return parse_space(space).nearest(read_experiment([job]))
    except UsageError:
        return {}


def fresh_runs(folder: Path, objective: str) -> dict[tuple[int, int], TrialStatus]:
    """The best trials' runs with fresh seeds as they are at this moment, by (trial, seed)."""
    found = {}
    for job in (folder / "confirm").glob("trial-*/seed-*"):
        trial, seed = job.parent.name.removeprefix("trial-"), job.name.removeprefix("seed-")
        if trial.isdecimal() and seed.isdecimal():  # others were set aside
            found[int(trial), int(seed)] = _from_folder(job, int(trial), objective)
    return dict(sorted(found.items()))


def _written(path: Path) -> SweepStatus | None:
    """The dispatcher's summary, where it can be read: else all is as the trials' folders have it."""
    if not path.exists():
        return None
    try:
        return SweepStatus.read(path)
    except DamagedFileError as error:
        log.warning("%s; shown is what the trials' folders hold, and the sweep writes it anew", error)
        return None


def _from_folder(job: Path, number: int, objective: str) -> TrialStatus:
    """A trial that the summary does not have yet."""
    launched = attempts.attempts_of(job)
    trial = TrialStatus(
        number=number, state="running", value=None, stderr=None, reason="", attempts=len(launched),
        seconds=attempts.seconds(launched), step=None, history=(),
    )  # fmt: skip
    if not launched:
        return trial
    last = launched[-1]
    progress = Progress(last.folder / "metrics.jsonl", objective)
    progress.refresh()
    history = sorted(progress.history.values(), key=lambda e: e.step)
    found: dict[str, object] = {
        "step": max(progress.step, 0), "history": tuple(history), "reward": progress.reward,
    }  # fmt: skip
    if history:
        found |= {"value": history[-1].value, "stderr": history[-1].stderr}
    decided = attempts.Pruned.read(job)
    if decided is not None and last.ended is not None:  # it stands, though the run may have come to its end
        found |= {"state": "pruned", "reason": decided.reason}
    elif last.outcome in ("done", "pruned"):
        found |= {"state": "complete" if last.outcome == "done" else "pruned", "reason": last.reason}
    elif last.ended is None:
        found |= {"seconds": trial.seconds + last.seconds_so_far(time.time())}
    return trial.model_copy(update=found)
