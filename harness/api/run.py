"""``train``: an experiment's stages into a run's folder, and what such a folder holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from evals.base import io
from evals.base.errors import UsageError
from evals.base.notebook import shown, sparkline
from evals.scores import Scores, read_scores
from harness import config
from harness.api.experiment import experiment_of
from harness.api.report import report
from harness.config.names import FINAL
from harness.train.status import State, Status, read_status

if TYPE_CHECKING:
    from pandas import DataFrame

    from reports.page import Report

CURVES = ("reward", "loss", "dev/pass@1")
LAST_ROWS = 5


@dataclass(frozen=True)
class RunResult:
    """A run, read from its folder when it is asked: ``RunResult(Path("runs/a"))`` opens an earlier one."""

    folder: Path

    @property
    def state(self) -> State:
        """ "done", "pruned", "failed", or "running": at work, or killed (it resumes when trained again)."""
        return self._status.state

    @property
    def reason(self) -> str:
        """Why it was pruned or has failed; else ""."""
        return self._status.reason

    @property
    def _status(self) -> Status:
        return read_status(self.folder) or Status(state="running")

    @property
    def experiment(self) -> config.Experiment:
        """What was trained.

        Raises:
            UsageError: the folder holds no run.
        """
        return config.read_experiment([self.folder / "experiment.toml"])

    @property
    def metrics(self) -> DataFrame:
        """A row a logged step: step, stage, time, and the metrics by name (docs/training.md lists them)."""
        return _frame(self.folder / "metrics.jsonl")

    @property
    def samples(self) -> DataFrame:
        """A row a completion that was kept for people to read, with its rewards."""
        return _frame(self.folder / "samples.jsonl")

    @property
    def checkpoint(self) -> Path:
        """The newest undamaged checkpoint: a folder in Hugging Face format.

        Raises:
            UsageError: there is none yet.
        """
        from harness.train import checkpoint  # takes seconds

        found = checkpoint.newest(self.folder / "checkpoints")
        if found is None:
            raise UsageError(
                f"{self.folder}: has no checkpoint yet; call train() with this folder to resume it"
            )
        return found

    @property
    def scores(self) -> Mapping[str, Scores]:
        """The trained policy's scores by benchmark, where ``[eval]`` named some."""
        found = [read_scores(file) for file in sorted((self.folder / "evals" / FINAL).glob("*/scores.json"))]
        return {scores.benchmark: scores for scores in found}

    @property
    def report(self) -> Report:
        """The run's page, written anew from what is there now."""
        return report(self.folder)

    def _repr_html_(self) -> str:
        rows = self.metrics
        if rows.empty:
            return shown(f"{self.folder}: {self.state}", rows, self.reason)
        curves = [name for name in CURVES if name in rows]
        told = [f"{name}: {sparkline(rows[name].dropna().tolist())}" for name in curves]
        told += [f"{name}: pass@1 {each.pass_at_1().value:.1%}" for name, each in self.scores.items()]
        last = rows[["step", "stage", *curves]].tail(LAST_ROWS)
        return shown(f"{self.folder}: {self.state}, step {rows['step'].max()}", last, self.reason, *told)


def train(
    experiment: config.Experiment | str | Path, folder: str | Path | None = None, *, quiet: bool = False
) -> RunResult:
    """Trains what the experiment's stages say, as ``harness train`` does.

    A run that was interrupted or killed goes on when this is called again with the same experiment and
    folder; one that has ended is not done again.

    Args:
        experiment: What to train; or an experiment file.
        folder: The run's folder; by default ``runs/NAME``.
        quiet: No progress.

    Raises:
        UsageError: the experiment cannot run as written (nothing was loaded), or the folder has another run.
        JobError: it ran and failed.

    Example:
        >>> from harness import GRPO, Experiment
        >>> wanted = Experiment(model="tiny", data="tiny-math:train", stages=[GRPO(steps=20)])
        >>> run = train(wanted, "runs/a")  # doctest: +SKIP
        >>> run.metrics[["step", "reward"]]  # doctest: +SKIP
    """
    wanted = experiment_of(experiment)
    if wanted.compare is not None:
        raise UsageError(
            "train: the experiment has a [compare] table; use `harness train FILE` to train its arms"
        )
    from evals.base.progress import Progress
    from harness.train.pipeline import run_experiment  # takes seconds, and mistakes are told before

    target = Path("runs") / wanted.name if folder is None else Path(folder)
    again = ("harness", "train", str(target / "experiment.toml"), "--out", str(target))
    run_experiment(wanted, target, Progress(quiet), again)
    return RunResult(target)


def _frame(file: Path) -> DataFrame:
    import pandas as pd

    return pd.DataFrame(list(io.readable_lines(file)))
