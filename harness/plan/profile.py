"""Time and memory by trying: a few steps of every stage on this machine, in a folder that is thrown away."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory

import torch

from evals.base import io
from evals.base.errors import JobError
from evals.base.progress import Progress
from evals.tasks.registry import EVERYONE, Tasks
from harness.config import (
    GRPO,
    SFT,
    Eval,
    Evaluate,
    Experiment,
    OnPolicyDistill,
    Reject,
    Stage,
    Tracking,
    Training,
    parts,
    tasks_of,
)
from harness.plan.work import Work
from harness.plan.workload import Lengths
from harness.train.pipeline import run_experiment

STEPS = 4
"""Steps of each stage; the first is warm-up and is not counted."""
QUESTIONS = 16
"""Questions of a stage that samples answers."""


@dataclass(frozen=True)
class Tried:
    """What the machine did. By stage: ``step`` seconds of a training step, ``length`` tokens of a response.

    ``rate`` is tokens a second when answers are sampled (dev questions, data sets), ``start`` the seconds
    that a run takes besides, ``memory`` GiB at most.
    """

    step: Mapping[str, float]
    length: Mapping[str, float]
    rate: float
    start: float
    memory: float

    def lengths(self) -> Lengths:
        """Responses as long as those that were seen, for parts that were not tried the mean over stages."""
        usual = fmean(self.length.values()) if self.length else 0.0
        return lambda part, allowed: min(allowed, self.length.get(part, usual) or allowed)

    def seconds(self, part: Work) -> float:
        """How long one part takes here."""
        if part.name in self.step:
            return part.steps * self.step[part.name]
        return part.sampled / self.rate if self.rate else 0.0


def try_out(experiment: Experiment, progress: Progress, name: str, threads: int | None) -> Tried:
    """Runs ``STEPS`` steps of every stage and a dev evaluation after each, on so many ``threads`` where a
    number is given.

    ``name``: what the run is, for the bar.

    Raises:
        UsageError, TaskError, JobError: as a run of the experiment.
    """
    note = f"at most {STEPS} steps of each stage" + (f", threads: {threads}" if threads else "")
    with (
        TemporaryDirectory(prefix="harness-plan-") as folder,
        progress.step(f"trying out: {name}", 1) as update,
        _on_threads(threads),
    ):
        update(0, note)
        short, run = shortened(experiment, experiment.seed), Path(folder) / "run"
        began = time.monotonic()
        run_experiment(short, run, Progress(quiet=True))
        took = time.monotonic() - began
        update(1, note)
        return _tried(short, run, took)


@contextmanager
def _on_threads(count: int | None) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def shortened(experiment: Experiment, seed: int) -> Experiment:
    """The same experiment with few steps and questions, from ``seed``; no budget, benchmarks or W&B."""
    return experiment.model_copy(
        update={
            "seed": seed,
            "stages": [
                _short(stage, experiment.data.train, tasks_of(experiment.tasks))
                for stage in parts(experiment.stages)
                if not isinstance(stage, Evaluate)
            ],
            "budget": None,
            "sweep": None,
            "eval": Eval(),
            "tracking": Tracking(wandb="off"),
        }
    )


def _short(stage: GRPO | SFT | Reject | Stage, train: Sequence[str], tasks: Tasks) -> Stage:
    if isinstance(stage, Training):
        return stage.model_copy(update={"steps": min(STEPS, stage.steps), "eval_every": 0, "warmup_steps": 0})
    if isinstance(stage, Reject):
        specs = [first(spec, QUESTIONS, tasks) for spec in stage.data or train]
        # Nothing is turned away, so that there is something to learn from.
        return stage.model_copy(update={"data": specs, "keep": {}, "per_question": stage.samples})
    return stage


def first(spec: str, count: int, tasks: Tasks = EVERYONE) -> str:
    """``task:split[a:b]`` narrowed to its first ``count`` questions.

    Raises:
        TaskError: the data are not here.
    """
    return tasks.get(spec, limit=count).name


def _tried(short: Experiment, run: Path, took: float) -> Tried:
    step: dict[str, float] = {}
    length: dict[str, float] = {}
    sampled = sampling = counted = 0.0
    rows = list(io.read_lines(run / "metrics.jsonl"))
    if not rows:
        raise JobError("plan: no stage trained anything, so there is nothing to measure")
    for stage in parts(short.stages):
        mine = [row for row in rows if row["stage"] == stage.name and row["step"] > 0]
        counted += sum(_whole(row) + (row.get("seconds/dev") or 0.0) for row in mine)
        if mine:
            step[stage.name] = fmean(_whole(row) for row in mine[1:] or mine)
        if isinstance(stage, GRPO | OnPolicyDistill):
            length[stage.name] = fmean(row["length"] for row in mine)
        elif isinstance(stage, SFT) and mine:
            length[stage.name] = fmean(row["tokens"] for row in mine) / stage.batch_size
        elif isinstance(stage, Reject):
            cost = io.read_json(run / "data" / f"{stage.name}.json")["cost"]
            answered = (run / "data" / stage.name).glob("*/samples.jsonl")
            length[stage.name] = cost["tokens"] / sum(1 for path in answered for _ in io.read_lines(path))
            sampled, sampling = sampled + cost["tokens"], sampling + cost["device_seconds"]
            counted += cost["device_seconds"]
    for row in rows:
        if row.get("dev/tokens"):
            sampled, sampling = sampled + row["dev/tokens"], sampling + row["seconds/dev"]
    if not sampling:
        sampled = sum(row.get("tokens") or 0.0 for row in rows if "seconds/rollout" in row)
        sampling = sum(row.get("seconds/rollout") or 0.0 for row in rows)
    memory = max(row.get("memory_gib") or 0.0 for row in rows)
    return Tried(step, length, sampled / sampling if sampling else 0.0, max(0.0, took - counted), memory)


def _whole(row: Mapping[str, float]) -> float:
    return sum(row.get(f"seconds/{name}") or 0.0 for name in ("rollout", "reward", "update"))
