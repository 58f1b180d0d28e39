"""A sweep or a run as the report's figures and tables take it, read without its evaluations' samples.

The report reads every sample once; a page that is loaded again every few seconds must not.
"""

from __future__ import annotations

from pathlib import Path

from harness.sweep.status import SweepStatus
from reports.figures.svg import slug
from reports.reading import job_metrics, launches, read_metrics, read_toml
from reports.study import Sweep, Training


def sweep_of(folder: Path, summary: SweepStatus, state: str) -> Sweep:
    """The sweep with its trials' metrics and its fresh seeds' as far as they have come."""
    trials = {
        int(job.name): job_metrics(job, []) for job in (folder / "trials").glob("*") if job.name.isdecimal()
    }
    confirm = {
        int(trial.name.removeprefix("trial-")): [
            run_of(launched[-1], job.name.replace("-", " "))
            for job in sorted(trial.glob("seed-*"), key=lambda path: path.name.zfill(20))
            if (launched := launches(job))
        ]
        for trial in (folder / "confirm").glob("trial-*")
        if trial.name.removeprefix("trial-").isdecimal()
    }
    return Sweep(
        key=slug(folder.name),
        folder=folder,
        summary=summary,
        experiment=read_toml(folder / "experiment.toml", []),
        manifest=None,
        state=state,
        trials=dict(sorted(trials.items())),
        confirm=confirm,
    )


def run_of(folder: Path, label: str, state: str = "running") -> Training:
    """A run with its metrics up to now."""
    return Training(
        label=label,
        group=label,
        folder=folder,
        metrics=read_metrics(folder / "metrics.jsonl", []),
        state=state,
        reason="",
        experiment=read_toml(folder / "experiment.toml", []),
        manifest=None,
    )
