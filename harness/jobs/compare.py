"""Several ways of training one policy, compared: the question "distil or RL?" at a stated budget.

FOLDER/arms.json                       costs, tuned settings, comparisons
FOLDER/evals/base/BENCHMARK/           the untrained policy; NAME-base for an arm with a policy of its own
FOLDER/arms/NAME/tuning/               a sweep, where the arms are tuned
FOLDER/arms/NAME/seed-K/attempt-M/     run folders, each with its evaluation in evals/final
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from evals.base import io
from evals.base.errors import JobError, UsageError
from evals.base.progress import Progress
from evals.comparison import compare
from evals.comparison.compare import Comparison, compare_arms
from evals.comparison.controls import Explained, explained
from evals.comparison.evaluations import read_evaluations
from evals.scores import Scores
from harness.config import Experiment, OnPolicyDistill, Reject, dump_toml, parts, read_experiment
from harness.config.compare import BASE, arm_experiment, tuning_experiment, untrained
from harness.jobs.training import train_all
from harness.sweep import attempts, tabulate
from harness.sweep.checks import check_sweep
from harness.sweep.executors.local import LocalExecutor
from harness.sweep.runner import TRAIN, run_sweep, terminable
from harness.sweep.scheduler import Clock, Crew, Job
from harness.sweep.space_table import parse_space
from harness.train.checks import check_experiment, measure, prepare_policy
from harness.train.ledger import Cost, stage_costs
from harness.train.manifest import write_manifest
from harness.train.preflight import check_fit
from harness.train.run_dir import holds, lock_folder
from harness.train.status import write_status
from reports.arms import ARMS, Arms, ExplainedRow, Row


@dataclass(frozen=True)
class Result:
    """A finished comparison."""

    folder: Path
    rows: tuple[Row, ...]
    comparisons: tuple[Comparison, ...]
    report: Path
    controls: tuple[Explained, ...] = ()

    def recorded(self) -> Arms:
        """What arms.json holds, and ``harness train --json`` prints."""
        comparisons = tuple(each.to_json() for each in self.comparisons)
        controls = tuple(map(ExplainedRow.of, self.controls))
        return Arms(folder=str(self.folder), arms=self.rows, comparisons=comparisons, controls=controls)


def train_and_compare(experiment: Experiment, folder: Path, progress: Progress) -> Result:
    """Trains every arm of ``[compare]`` from its seeds, measures all and compares; resumes where it stopped.

    Raises:
        UsageError, TaskError: the experiment cannot run as written, or the folder holds another one.
        JobError: a run failed more often than it may.
        KeyboardInterrupt: Ctrl-C or SIGTERM, after every run was ended; the same call goes on.
    """
    assert experiment.compare is not None
    names = list(experiment.compare.arms)
    for name in names:
        arm = arm_experiment(experiment, name, experiment.seed)
        sets = check_experiment(arm)
        check_fit(arm, sets.of(arm.data.train), sets.of(arm.data.dev))
        if experiment.compare.arms[name].space and not experiment.compare.arms[name].control_of:
            check_sweep(tuning_experiment(experiment, name), f"compare.arms.{name}.space")
    if not experiment.eval.benchmarks:
        raise UsageError("eval.benchmarks: name at least one benchmark to compare the arms on")
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    lock = lock_folder(folder)
    try:
        _claim(experiment, folder)
        _prepare(experiment, progress)
        bases = {
            name: measure(experiment, policy, folder / "evals" / name, progress)
            for name, policy in untrained(experiment).items()
        }
        with terminable():
            arms = experiment.compare.arms
            own = [name for name in names if not arms[name].control_of]
            tuned = {name: _tune(experiment, name, folder, progress) for name in own}
            tuned |= {name: tuned[arms[name].control_of] for name in names if name not in own}
            runs = _train(experiment, tuned, folder, progress)
        return _compare(experiment, folder, bases, tuned, runs)
    finally:
        lock.release()


def _claim(experiment: Experiment, folder: Path) -> None:
    recorded, text = folder / "experiment.toml", dump_toml(experiment)
    if not holds(recorded, text):
        read_experiment([recorded])  # a damaged one says so
        raise UsageError(
            f"{recorded}: contains a comparison with other arms or settings; choose another --out, or "
            "delete the file"
        )
    if not recorded.exists():
        write_manifest(folder, experiment)
        io.write_text(recorded, text)


def _prepare(experiment: Experiment, progress: Progress) -> None:
    """The embedded policies that the runs need, built before two of them wait for each other."""
    assert experiment.compare is not None
    teachers = [
        stage.teacher
        for arm in experiment.compare.arms.values()
        for stage in parts(arm.stages)
        if isinstance(stage, Reject | OnPolicyDistill) and stage.teacher is not None
    ]
    for policy in {each.model: each for each in (*untrained(experiment).values(), *teachers)}.values():
        prepare_policy(policy, progress)


def _tune(experiment: Experiment, name: str, folder: Path, progress: Progress) -> dict[str, Any]:
    """The settings with which the arm does best on the dev questions, of as many as every arm may try."""
    assert experiment.compare is not None
    if not experiment.compare.arms[name].space:
        return {}
    with progress.step(f"{name}: tuning", experiment.compare.tuning_trials) as update:
        found = run_sweep(
            tuning_experiment(experiment, name),
            folder / "arms" / name / "tuning",
            on_event=lambda event: update(event.counts.finished, f"{event.counts.running} running"),
        )
    best = tabulate.best_trials(found.trials, maximize=True, count=1)
    if not best:
        reasons = "; ".join(dict.fromkeys(trial.reason for trial in found.trials))
        raise JobError(f"compare.arms.{name}: no tuning trial finished: {reasons}")
    return best[0].params


def _train(
    experiment: Experiment, tuned: Mapping[str, Mapping[str, Any]], folder: Path, progress: Progress
) -> dict[str, list[Path]]:
    """Every arm from every seed; returns the run folders by arm."""
    assert experiment.compare is not None
    settings = experiment.compare
    seeds = range(experiment.seed + 1, experiment.seed + 1 + settings.seeds)
    waiting = [
        Job(folder / "arms" / name / f"seed-{seed}", _tuned(experiment, name, seed, tuned[name]))
        for seed in seeds
        for name in settings.arms
    ]
    crew = Crew(
        LocalExecutor(settings.workers),
        TRAIN,
        settings.workers,
        objective="dev/pass@1",
        max_attempts=settings.max_attempts,
        hang_seconds=settings.hang_minutes * 60,
        clock=Clock(),
        on_launch=lambda job: None,
    )
    train_all(waiting, crew, "arms", progress)
    return {
        name: [_last_attempt(folder / "arms" / name / f"seed-{seed}") for seed in seeds]
        for name in settings.arms
    }


def _tuned(experiment: Experiment, name: str, seed: int, params: Mapping[str, Any]) -> Experiment:
    plain = arm_experiment(experiment, name, seed)
    assert experiment.compare is not None
    # A control has other rewards, of which nothing is tuned.
    mine = {
        key: value
        for key, value in params.items()
        if ".rewards" not in key or not _is_control(experiment, name)
    }
    if not mine:
        return plain
    space = parse_space(experiment.compare.arms[name].space, f"compare.arms.{name}.space")
    chosen = space.apply(plain, mine, plain.name)
    return chosen.model_copy(update={"eval": plain.eval, "sweep_of": plain.sweep_of})


def _is_control(experiment: Experiment, name: str) -> bool:
    assert experiment.compare is not None
    return bool(experiment.compare.arms[name].control_of)


def _last_attempt(job: Path) -> Path:
    return attempts.attempts_of(job)[-1].folder


def _compare(
    experiment: Experiment,
    folder: Path,
    bases: Mapping[str, Sequence[Scores]],
    tuned: Mapping[str, Mapping[str, Any]],
    runs: Mapping[str, Sequence[Path]],
) -> Result:
    measured = {
        name: tuple(read_evaluations(run / "evals" / "final") for run in where)
        for name, where in runs.items()
    }
    sides = [
        compare.Arm(name, ({scores.benchmark: scores for scores in found},)) for name, found in bases.items()
    ]
    sides += [compare.Arm(name, found) for name, found in measured.items()]
    rows = [_base_row(name, found) for name, found in bases.items()]
    for name, where in runs.items():
        means = {
            benchmark: fmean(seed[benchmark].pass_at_1().value for seed in measured[name])
            for benchmark in sides[0].benchmarks()
        }
        tuning = _tuning_flops(experiment, folder / "arms" / name / "tuning", name)
        rows.append(_row(name, means, _costs(experiment, name, where), tuning, tuned[name]))
    controls = tuple(_controls(experiment, {side.name: side for side in sides}))
    result = Result(folder, tuple(rows), tuple(compare_arms(sides)), folder / "report.html", controls)
    result.recorded().write(folder / ARMS)
    write_status(folder, "done")
    from reports.page import build_report

    build_report([folder])
    return result


def _controls(experiment: Experiment, sides: Mapping[str, compare.Arm]) -> Iterator[Explained]:
    assert experiment.compare is not None
    for name, arm in experiment.compare.arms.items():
        if arm.control_of:
            base = BASE if arm.policy is None else f"{arm.control_of}-{BASE}"
            yield from explained(sides[base], sides[arm.control_of], sides[name])


def _costs(experiment: Experiment, name: str, runs: Sequence[Path]) -> list[list[Cost]]:
    stages = arm_experiment(experiment, name, experiment.seed).stages
    return [stage_costs(run, stages) for run in runs]


def _tuning_flops(experiment: Experiment, folder: Path, name: str) -> float:
    stages = arm_experiment(experiment, name, experiment.seed).stages
    trials = sorted(folder.glob("trials/*/attempt-*"))
    return sum(cost.flops for trial in trials for cost in stage_costs(trial, stages))


def _base_row(name: str, base: Sequence[Scores]) -> Row:
    figures = {scores.benchmark: scores.pass_at_1().value for scores in base}
    return Row(name, 1, figures, 0.0, 0.0, 0.0, 0.0, 0.0, {})


def _row(
    name: str,
    figures: Mapping[str, float],
    runs: Sequence[Sequence[Cost]],
    tuning: float,
    tuned: Mapping[str, Any],
) -> Row:
    def mean(field: str, *, teacher: bool | None = None) -> float:
        return fmean(
            math.fsum(getattr(cost, field) for cost in costs if teacher in (None, cost.teacher))
            for costs in runs
        )

    return Row(
        arm=name,
        seeds=len(runs),
        pass_at_1=figures,
        tokens=mean("tokens"),
        flops=mean("flops", teacher=False),
        teacher_flops=mean("flops", teacher=True),
        device_seconds=mean("device_seconds"),
        tuning_flops=tuning,
        tuned=dict(tuned),
    )
