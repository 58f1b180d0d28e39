"""A whole sweep: build the policy, search, confirm, evaluate base and winner, write the report."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evals.base.errors import JobError, UsageError
from evals.base.notebook import shown
from evals.base.progress import Progress
from evals.scores import Scores
from harness.config import Experiment, tasks_of
from harness.jobs.sweep_controls import control_winner
from harness.jobs.sweep_line import SweepLine, estimate, title
from harness.jobs.sweep_tracking import SweepTracking
from harness.sweep.checks import check_sweep
from harness.sweep.costs import LEDGER, ledger
from harness.sweep.events import Event
from harness.sweep.rebuild import STUDY
from harness.sweep.runner import run_sweep
from harness.sweep.summary import Summary
from harness.sweep.tabulate import best_trials, trials_table
from harness.sweep.timeleft import TimeLeft
from harness.sweep.warm_start import WARM_START, WarmStart
from harness.sweep.winner import write_winner
from harness.train import checkpoint
from harness.train.benchmarks import known_tasks
from harness.train.checks import measure, prepare_policy
from harness.train.questions import QuestionSets
from harness.train.status import write_status
from reports.arms import CONTROLS, ExplainedRow, WinnerControls

if TYPE_CHECKING:
    from pandas import DataFrame

    from reports.page import Report


@dataclass(frozen=True)
class SweepResult:
    """What a finished sweep has to show."""

    folder: Path
    summary: Summary
    scores: dict[str, list[Scores]]
    """By the name of what was measured: "base", "winner-seed-1"."""
    report: Report

    @property
    def trials(self) -> DataFrame:
        """A row a trial: number, state, value, stderr, its settings, attempts, seconds, reason, run."""
        return trials_table(self.summary.trials)

    @property
    def winner(self) -> Mapping[str, Any] | None:
        """The winner as in summary.json, confirmed where ``confirm_seeds`` asks for it; None without one."""
        if self.summary.winner is None:
            return None
        return self.summary.winner.model_dump(mode="json", exclude_unset=True)

    @property
    def best_params(self) -> dict[str, Any]:
        """The winner's settings; where there is none, the best complete trial's; {} where no trial is."""
        if self.summary.winner is not None:
            return dict(self.summary.winner.params)
        best = best_trials(self.summary.trials, self.summary.direction == "maximize", 1)
        return dict(best[0].params) if best else {}

    @property
    def study(self) -> Path:
        """Optuna's database, an SQLite file, where no other storage was named."""
        return self.folder / STUDY

    def _repr_html_(self) -> str:
        told = [self.summary.selection.verdict]
        for name, measured in self.scores.items():
            told += [f"{name}, {each.benchmark}: pass@1 {each.pass_at_1().value:.1%}" for each in measured]
        return shown(
            f"{self.folder}: {len(self.trials)} trials", self.trials, *told, f"Report: {self.report}"
        )


def sweep_and_measure(
    experiment: Experiment,
    folder: Path,
    progress: Progress,
    storage: str | None,
    accept_space_change: bool = False,
    on_event: Callable[[Event], object] | None = None,
) -> SweepResult:
    """Runs or continues a sweep to its report; ``accept_space_change`` lets it go on in another space.

    ``on_event`` is told everything that happens, beside the bar.

    Raises:
        UsageError, TaskError: the experiment cannot run as written.
        JobError: it ran and failed.
    """
    if experiment.sweep is None:
        raise UsageError(
            "sweep: the experiment has no [sweep] table; use `harness train` to train it as it is"
        )
    check_sweep(experiment)
    tracking, sets = SweepTracking(experiment, folder), QuestionSets(tasks_of(experiment.tasks))

    def listen(event: Event) -> None:
        tracking.take(event)
        if on_event is not None:
            on_event(event)

    try:
        summary = _search(experiment, folder, progress, storage, accept_space_change, listen)
        write_winner(experiment, folder, summary)
        scores = _measure(experiment, folder, summary, progress, sets)
        controls = control_winner(experiment, folder, summary, scores, progress, sets)
        if controls:
            told = WinnerControls(controls=tuple(map(ExplainedRow.of, controls)))
            told.write(folder / CONTROLS)
            ledger(folder, experiment.sweep.device_hour_price).write(folder / LEDGER)
        else:
            (folder / CONTROLS).unlink(missing_ok=True)
        from reports.page import build_report

        report = build_report([folder])
        tracking.finish(summary, scores, report, sets)
    finally:
        tracking.close()
    write_status(folder, "done")
    return SweepResult(folder, summary, scores, report)


def _search(
    experiment: Experiment,
    folder: Path,
    progress: Progress,
    storage: str | None,
    accept_space_change: bool,
    on_event: Callable[[Event], object],
) -> Summary:
    """The study and its confirmation, with a bar over trials."""
    assert experiment.sweep is not None
    confirmations = experiment.sweep.confirm_seeds * experiment.sweep.confirm_top
    total = experiment.sweep.trials + confirmations
    confirmed, left = 0, TimeLeft(experiment, evaluations=_evaluations(experiment))
    line, objective = SweepLine(experiment.sweep), experiment.sweep.objectives[0]
    if len(experiment.sweep.objectives) > 1 and experiment.sweep.pruner != "none":
        progress.say("With several objectives, trials are not pruned: sweep.pruner has no effect.")
    with progress.step(title(experiment.sweep.trials, confirmations), total) as update:

        def show(event: Event) -> None:
            nonlocal confirmed
            on_event(event)
            confirmed += event.kind == "confirmed"
            left.take(event)
            line.take(event)
            note = _note(event, objective)
            if event.kind in ("complete", "pruned", "failed", "confirmed") and note:
                progress.say(note)
            update(event.counts.finished + confirmed, str(line), left.seconds)

        def prepare() -> None:
            if experiment.sweep is not None and experiment.sweep.warm_start is not None:
                progress.say(str(WarmStart.read(folder / WARM_START)))
            prepare_policy(experiment.policy, progress)

        return run_sweep(
            experiment,
            folder,
            storage=storage,
            on_event=show,
            accept_space_change=accept_space_change,
            prepare=prepare,
        )


def _evaluations(experiment: Experiment) -> float:
    """Completions of base and winner on the benchmarks, over those of one evaluation of the dev questions."""
    assert experiment.sweep is not None
    settings, sets = experiment.eval, QuestionSets(tasks_of(experiment.tasks))
    if not settings.benchmarks or not experiment.data.dev:
        return 0.0
    dev = len(sets.of(experiment.data.dev)) * experiment.data.dev_samples
    once = 0
    for task in known_tasks(settings.benchmarks, sets.tasks, settings.limit):
        samples = settings.samples.get(task.name) if isinstance(settings.samples, dict) else settings.samples
        once += len(sets.benchmark(task)) * (samples or task.samples)
    return once * (1 + experiment.sweep.confirm_seeds) / dev


def _note(event: Event, objective: str) -> str:
    value = "" if event.value is None else f", {estimate(objective, event.value, event.stderr)}"
    value += "" if event.step is None or not value else f" at step {event.step}"
    who = f"trial {event.trial}" if event.trial is not None else f"confirmation, seed {event.seed}"
    reason = event.reason.removeprefix(f"step {event.step}: ") if value else event.reason
    return f"{who}: {event.kind}{value}" + (f" ({reason})" if reason else "")


def _measure(
    experiment: Experiment, folder: Path, summary: Summary, progress: Progress, sets: QuestionSets
) -> dict[str, list[Scores]]:
    """Base and winner, or who else is asked for, on the benchmarks, under one protocol and one seed."""
    if not experiment.eval.benchmarks:
        return {}
    targets = summary.evals
    scores = {"base": measure(experiment, experiment.policy, folder / targets.base, progress, sets)}
    chosen = summary.winner or summary.selection.candidate
    evaluated = [*targets.winner, *targets.unconfirmed]
    for target, run in zip(evaluated, chosen.confirmation if chosen and evaluated else (), strict=True):
        trained = checkpoint.newest(folder / run.run / "checkpoints")
        if trained is None:
            raise JobError(f"{folder / run.run}: no intact checkpoint left to evaluate")
        settings = experiment.policy.model_copy(update={"model": str(trained), "revision": None})
        scores[Path(target).name] = measure(experiment, settings, folder / target, progress, sets)
    return scores
