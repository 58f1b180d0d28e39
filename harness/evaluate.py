"""Measures a policy on benchmarks: a folder per benchmark, each resumable."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evals import lm_eval, tasks
from evals.grading import make_grader
from evals.lm_eval import LmEvalResult
from evals.protocols import Protocol
from evals.sampling import sample_benchmark
from evals.scores import Scores
from evals.tasks.task import Task
from harness import config
from harness.engines import EngineKind, block_size, make_engine
from harness.policy import load_policy
from harness.progress import Progress, Update


@dataclass(frozen=True)
class Measured:
    """Scores of our own benchmarks, and what lm-eval's tasks came to."""

    scores: list[Scores]
    suites: list[LmEvalResult]

    def to_json(self) -> list[dict[str, Any]]:
        """What ``harness eval --json`` prints: an entry for each benchmark."""
        return [each.to_json() for each in self.scores] + [each.to_json() for each in self.suites]


def protocol_of(settings: config.Eval, template: str, task: Task, seed: int) -> Protocol:
    """The protocol that an experiment's ``[eval]`` table states for one task."""
    from evals.engine import Sampling

    samples = settings.samples.get(task.name) if isinstance(settings.samples, dict) else settings.samples
    sampling = Sampling(settings.temperature, settings.top_p, max_tokens=settings.max_tokens)
    return Protocol(settings.protocol, sampling, template, samples, seed)


def evaluate(
    policy: config.Policy,
    protocols: Sequence[tuple[Task, Protocol]],
    folder: Path,
    progress: Progress,
    engine: EngineKind = "transformers",
    suites: Sequence[str] = (),
    seed: int = 0,
) -> Measured:
    """Samples and grades every benchmark into ``folder/NAME``; what is already there is not done again.

    ``suites`` are tasks that lm-eval runs through the same engine; ``seed`` is their sampled completions'.

    Raises:
        UsageError, TaskError: the model, a data set or a template that is not there.
    """
    for name in suites:
        lm_eval.check(name)
    questions = {task.name: task.load(task.benchmark) for task, _ in protocols}  # before the model is loaded
    loaded = make_engine(engine, load_policy(policy))
    scores = []
    for task, protocol in protocols:
        wanted = questions[task.name]
        total = len(wanted) * protocol.samples_of(task)
        with (
            make_grader(task.grader) as grader,
            progress.step(f"{folder.name}: {task.name}", total) as update,
        ):
            scores.append(
                sample_benchmark(
                    loaded,
                    task,
                    wanted,
                    protocol,
                    folder / task.name,
                    grader,
                    progress=_with_speed(update),
                    block=block_size(loaded, protocol.sampling.max_tokens),
                )
            )
    results = []
    for name in suites:
        with progress.step(f"{folder.name}: {lm_eval.PREFIX}{name}", 1) as update:
            results.append(lm_eval.evaluate(loaded, name, folder / lm_eval.folder_name(name), seed))
            update(1)
    return Measured(scores, results)


def _with_speed(update: Update) -> Callable[[int, int, int], None]:
    """Reports samples done, with the tokens generated since and how many there were a second."""
    began = time.monotonic()

    def report(done: int, _total: int, tokens: int) -> None:
        seconds = time.monotonic() - began
        speed = f", {tokens / seconds:,.0f} a second" if tokens else ""
        update(done, f"{tokens:,} tokens{speed}")

    return report


def known_tasks(names: Sequence[str]) -> list[Task]:
    """The tasks of these names, or a ``TaskError`` that lists what there is."""
    return [tasks.get(name.strip()) for name in names]


def split_names(names: Sequence[str]) -> tuple[list[Task], list[str]]:
    """Our own tasks among ``names``, and what ``lm_eval:NAME`` leaves to lm-eval.

    Raises:
        TaskError: a task that is not known.
    """
    stripped = [name.strip() for name in names]
    suites = [name.removeprefix(lm_eval.PREFIX) for name in stripped if name.startswith(lm_eval.PREFIX)]
    return known_tasks([name for name in stripped if not name.startswith(lm_eval.PREFIX)]), suites
