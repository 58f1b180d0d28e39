"""A sweep's winner trained again for rewards without meaning: how much of its gain do they explain?

SWEEP/controls/REWARD/seed-K/attempt-M/     as SWEEP/confirm/trial-N/seed-K/, but for the rewards
SWEEP/evals/control-REWARD-seed-K/
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from evals.base.errors import JobError
from evals.base.progress import Progress
from evals.comparison.compare import Arm
from evals.comparison.controls import Explained, explained
from evals.scores import Scores
from harness.config import Experiment, read_experiment
from harness.jobs.training import train_all
from harness.sweep import attempts
from harness.sweep.executors.registry import make_executor
from harness.sweep.runner import terminable, trainer
from harness.sweep.scheduler import Clock, Crew, Job
from harness.sweep.selection import control_experiment
from harness.sweep.summary import Summary
from harness.train import checkpoint
from harness.train.checks import measure
from harness.train.questions import QuestionSets


def control_winner(
    experiment: Experiment,
    folder: Path,
    summary: Summary,
    scores: Mapping[str, Sequence[Scores]],
    progress: Progress,
    sets: QuestionSets,
) -> tuple[Explained, ...]:
    """Trains and measures the controls that ``[controls]`` asks for; none where there is no winner.

    ``scores``: of the base policy ("base") and of the winner's seeds ("winner-…").

    Raises:
        JobError: a control did not finish, or left no checkpoint.
    """
    if experiment.controls is None or summary.winner is None:
        return ()
    base = Arm("base", (_by_benchmark(scores["base"]),))
    mine = [_by_benchmark(found) for name, found in scores.items() if name != "base"]
    winner = Arm("winner", tuple(mine))
    runs = [folder / fresh.run for fresh in summary.winner.confirmation]
    jobs = {reward: [_job(folder, run, reward) for run in runs] for reward in experiment.controls.rewards}
    with terminable():
        train_all([job for own in jobs.values() for job in own], _crew(experiment), "controls", progress)
    found: list[Explained] = []
    for reward, own in jobs.items():
        measured = [_measured(experiment, folder, reward, job, progress, sets) for job in own]
        found += explained(base, winner, Arm(f"winner-{reward}", tuple(measured)))
    return tuple(found)


def _job(folder: Path, run: Path, reward: str) -> Job:
    """The training of a fresh seed, with another reward; the winner's earlier controls are set aside."""
    control = control_experiment(read_experiment([run / "experiment.toml"]), reward)
    job = Job(folder / "controls" / reward / run.parent.name, control)
    attempts.set_aside_other(job.folder, job.experiment)
    return job


def _crew(experiment: Experiment) -> Crew:
    sweep = experiment.sweep
    assert sweep is not None
    return Crew(
        make_executor(sweep),
        trainer(sweep.processes_per_trial),
        sweep.workers,
        objective=sweep.objectives[0],
        max_attempts=sweep.max_attempts,
        hang_seconds=sweep.hang_minutes * 60,
        clock=Clock(),
        on_launch=lambda job: None,
        processes=sweep.processes_per_trial,
    )


def _measured(
    experiment: Experiment, folder: Path, reward: str, job: Job, progress: Progress, sets: QuestionSets
) -> dict[str, Scores]:
    run = attempts.attempts_of(job.folder)[-1].folder
    trained = checkpoint.newest(run / "checkpoints")
    if trained is None:
        raise JobError(f"{run}: no undamaged checkpoint is left to evaluate")
    settings = experiment.policy.model_copy(update={"model": str(trained), "revision": None})
    target = folder / "evals" / f"control-{reward}-{job.folder.name}"
    return _by_benchmark(measure(experiment, settings, target, progress, sets))


def _by_benchmark(scores: Sequence[Scores]) -> dict[str, Scores]:
    return {each.benchmark: each for each in scores}
