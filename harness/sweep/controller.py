"""The dispatcher: the one process that owns a sweep's study.

It asks Optuna for settings, keeps a crew of attempts training them, reads their dev evaluations from their
folders, ends the hopeless ones, tells Optuna how each came out, and at last has the best one confirmed on
fresh seeds. Killed at any moment, the same call goes on: what was asked and not told is found in the study,
what its processes did is found in their folders. ``sweep.run_sweep`` sets one up.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from evals.base.errors import UsageError
from harness.config import Experiment, Sweep
from harness.sweep import attempts, selection, tabulate
from harness.sweep.attempts import Pruned
from harness.sweep.costs import LEDGER, ledger
from harness.sweep.evaluation import Evaluation
from harness.sweep.events import Counts, Event, Kind
from harness.sweep.executors.registry import Executor
from harness.sweep.forecast import Curve
from harness.sweep.history import lag_of
from harness.sweep.pruners import Rule
from harness.sweep.scheduler import Clock, Crew, Job, Outcome
from harness.sweep.selection import Candidate, Confirmation, Selected
from harness.sweep.space import Params
from harness.sweep.study import STATE_NAME, FinalState, Record, Study
from harness.sweep.summary import Selection, Summary

SUMMARY_INTERVAL = 10.0
"""Seconds between summaries while the sweep goes on."""


class Dispatcher:
    """One sweep at work; ``run`` is all there is to call."""

    def __init__(
        self,
        experiment: Experiment,
        sweep: Sweep,
        folder: Path,
        study: Study,
        executor: Executor,
        *,
        on_event: Callable[[Event], None],
        command: Sequence[str],
        clock: Clock,
        poll_seconds: float,
    ) -> None:
        self.experiment, self.sweep, self.folder, self.study = experiment, sweep, folder, study
        self.on_event, self.clock, self.poll_seconds = on_event, clock, poll_seconds
        self.rule = Rule.of(sweep)
        self.lag = lag_of(sweep)
        self.crew = Crew(
            executor,
            command,
            sweep.workers,
            objective=sweep.objectives[0],
            watched=sweep.watched,
            max_attempts=sweep.max_attempts,
            hang_seconds=sweep.hang_minutes * 60,
            clock=clock,
            on_launch=self._on_launch,
            processes=sweep.processes_per_trial,
        )
        self.curves: dict[int, Curve] = {}
        """Every trial's evaluations, for the pruner."""
        self.states: dict[int, FinalState] = {}
        self.numbers: dict[Path, int] = {}
        """Job folder -> trial number."""
        self.open: dict[int, Job] = {}
        """Trials that were begun and not told."""
        self.ended: dict[int, Outcome] = {}
        """Those of them whose runs have ended, with evaluations that may be still to be judged."""
        self.spent = 0.0
        """Device-seconds of the trials that were told, as the ledger has them."""
        self._shown: dict[Path, int] = {}
        self._summary_due = 0.0

    def run(self) -> Summary:
        """Searches, confirms, sums up."""
        try:
            self._search()
            return self._confirm()
        finally:
            self.crew.shut_down()

    # The search

    def _search(self) -> None:
        for trial in self.study.trials():
            if trial.state.is_finished():
                record = Record.of(trial)
                if self.sweep.device_hours is not None:
                    self.spent += attempts.device_seconds(attempts.attempts_of(self._folder(trial.number)))
                self.curves[trial.number] = Curve(record.history)
                self.states[trial.number] = STATE_NAME[trial.state]
        waiting = self.study.running()
        self.crew.beside = min(self.sweep.workers, self.study.total)
        try:
            while True:
                while self.crew.has_room and waiting:
                    self._begin(*waiting.pop(0))
                while self.crew.has_room and self._may_ask:
                    self._begin(*self.study.ask())
                if not self.open:
                    return
                self._look_after(self._run_ended)
                self._judge()
                if self._budget_is_spent:
                    self._end_all()
                for number in [n for n in self.ended if self._is_judged(n)]:
                    self._trial_ended(number, self.ended.pop(number))
        finally:
            self._write_summary()

    @property
    def _may_ask(self) -> bool:
        """Whether a trial is left to ask for, and all that its settings may depend on has ended."""
        number = len(self.states) + len(self.open)
        if number >= self.study.total or self._budget_is_spent:
            return False
        return self.lag is None or all(earlier in self.states for earlier in range(number - self.lag + 1))

    @property
    def _budget_is_spent(self) -> bool:
        cap = self.sweep.device_hours
        if cap is None:
            return False
        now = self.clock.monotonic()
        return self.spent + sum(job.device_seconds(now) for job in self.open.values()) >= cap * 3600

    def _folder(self, number: int) -> Path:
        return self.folder / "trials" / str(number)

    def _end_all(self) -> None:
        """Ends every trial at work, with what it has reported so far."""
        reason = f"the budget of {self.sweep.device_hours:g} device-hours is spent"
        for number, job in self.open.items():
            if job.pruned is None and number not in self.ended:
                reported = max(self.study.reported(number), default=0)
                self.crew.prune(job, Pruned(reported, reason))

    def _begin(self, number: int, params: Params) -> None:
        """Puts a trial on the crew; a combination that the schema refuses fails without a launch."""
        folder = self._folder(number)
        name = f"{self.experiment.name}-trial-{number}"
        try:
            experiment = self.study.applied(number, params, name)
        except UsageError as error:
            self.curves[number] = Curve()
            self._tell(number, "failed", Record(reason=str(error)))
            return
        self.numbers[folder] = number
        self.open[number] = Job(folder, experiment)
        self.curves[number] = Curve()
        self.crew.start(self.open[number])

    def _look_after(self, ended: Callable[[Job, Outcome], None]) -> None:
        """One round: reports, decisions, ends; then a pause, unless there is room to fill."""
        outcomes = self.crew.tick()
        for job in [*self.crew.jobs, *(job for job, _ in outcomes)]:
            self._read(job)
        for job, outcome in outcomes:
            ended(job, outcome)
        if self.clock.monotonic() >= self._summary_due and outcomes:
            self._write_summary()
        if not outcomes:
            self.clock.sleep(self.poll_seconds)

    def _read(self, job: Job) -> None:
        """Takes note of what a run has newly reported."""
        number = self.numbers.get(job.folder)
        if number is not None:
            last = math.inf if job.pruned is None else job.pruned.step
            counting = [e for e in job.history.values() if e.step <= last]
            if len(self.curves[number].evaluations) != len(counting):
                self.curves[number] = Curve(counting)
        if job.progress is not None and self._shown.get(job.folder) != job.progress.step:
            self._shown[job.folder] = job.progress.step
            self._emit("step", job, step=job.progress.step)

    def _judge(self) -> None:
        """Judges what is to be judged, each trial's evaluations in order, the trials by their numbers."""
        for number, job in sorted(self.open.items()):
            if job.pruned is not None:
                continue
            told = self.study.reported(number)
            for evaluation in self.curves[number].evaluations:
                if evaluation.step not in told and (
                    not self._comparable(number, evaluation.step) or self._prunes(job, number, evaluation)
                ):
                    break

    def _comparable(self, number: int, step: int) -> bool:
        """Whether all that trial ``number`` is to be compared with at ``step`` is there.

        A repeatable decision depends on the trials before this one, as they were at the same step: the
        decision waits for them, the run does not.
        """
        return self.lag is None or all(
            other in self.states or (other in self.open and self._has_reached(other, step))
            for other in range(number)
        )

    def _has_reached(self, number: int, step: int) -> bool:
        """Whether an open trial has been judged up to ``step``, and the evaluations are there to compare."""
        told = self.study.reported(number)
        judged = [e.step for e in self.curves[number].evaluations if e.step in told]
        return self.open[number].pruned is not None or max(judged, default=-1) >= step

    def _rivals(self, number: int, step: int) -> list[Curve]:
        """The curves that a decision on trial ``number`` at ``step`` may depend on."""
        if self.lag is None:
            return [curve for other, curve in self.curves.items() if other != number]
        return [
            self.curves[other] if other <= number - self.lag else self.curves[other].until(step)
            for other in range(number)
        ]

    def _prunes(self, job: Job, number: int, evaluation: Evaluation) -> bool:
        """Judges one evaluation and reports it; whether it was the trial's last."""
        # The decision is on disk before the value is in the study: a value in the study has been judged.
        step = evaluation.step
        rivals = self._rivals(number, step)
        reason = self.rule.decide(number, self.curves[number], step, rivals, _steps(job.experiment))
        if reason is not None:
            self.crew.prune(job, Pruned(step, reason))
            self.curves[number] = self.curves[number].until(step)
        self.study.report(number, evaluation)
        self._emit("reported", job, step=step, value=evaluation.value, stderr=evaluation.stderr)
        return reason is not None

    def _run_ended(self, job: Job, outcome: Outcome) -> None:
        self.ended[self.numbers[job.folder]] = outcome

    def _is_judged(self, number: int) -> bool:
        if self.open[number].pruned is not None:
            return True
        return all(e.step in self.study.reported(number) for e in self.curves[number].evaluations)

    def _trial_ended(self, number: int, outcome: Outcome) -> None:
        job = self.open.pop(number)
        state: FinalState = "complete" if outcome.state == "done" else outcome.state
        record = replace(self._record(job), reason=outcome.reason)
        if job.pruned is not None:
            state = "pruned"
            history = [e for e in record.history if e.step <= job.pruned.step]
            metrics = job.progress.metrics(job.pruned.step) if job.progress is not None else {}
            record = replace(record, history=history, reason=job.pruned.reason, metrics=metrics)
        elif state == "complete":
            self._require_metrics(job)
            assert job.progress is not None
            record = replace(record, metrics=job.progress.metrics())
            unknown = [name for name in self.sweep.watched if name not in record.metrics]
            if job.progress.missing is not None or unknown:
                state = "failed"
                reason = f"{self.sweep.objectives[0]} was not a number at step {job.progress.missing}"
                reason = f"{unknown[0]} was never a number" if unknown else reason
                record = replace(record, reason=reason)
        self.spent += attempts.device_seconds(job.launched)
        self.curves[number] = Curve(record.history)
        for evaluation in record.history:  # a kill between a decision and its report left the study without
            self.study.report(number, evaluation)
        del self.numbers[job.folder]
        self._tell(number, state, record)

    def _tell(self, number: int, state: FinalState, record: Record) -> None:
        self.study.tell(number, state, record)
        self.states[number] = state
        last = record.history[-1] if record.history else None
        self.on_event(
            Event(
                state,
                self.counts,
                trial=number,
                step=last.step if last else None,
                value=last.value if last else None,
                stderr=last.stderr if last else None,
                reason=record.reason,
                job=f"trials/{number}",
            )
        )

    def _require_metrics(self, job: Job) -> None:
        """That a run which has finished has named all that it is judged by."""
        progress = job.progress
        assert progress is not None
        absent = [name for name in self.sweep.watched if name not in progress.names]
        first = self.sweep.objectives[0]
        if not progress.history and progress.missing is None:
            reported = sorted(name for name in progress.names if name.startswith("dev/"))
            raise UsageError(
                f"sweep.objective: {progress.path} has no {first!r}; "
                + (f"it has {', '.join(reported)}" if reported else "it has no dev evaluation at all")
            )
        if absent:
            key = "objective" if absent[0] in self.sweep.objectives else "constraints"
            raise UsageError(
                f"sweep.{key}: {progress.path} has no {absent[0]!r}; it has "
                + ", ".join(sorted(progress.names - {"step", "stage", "time"}))
            )

    def _record(self, job: Job) -> Record:
        launched = job.launched
        return Record(
            history=sorted(job.history.values(), key=lambda e: e.step),
            attempts=len(launched),
            seconds=attempts.seconds(launched),
            run=launched[-1].folder.relative_to(self.folder).as_posix() if launched else "",
        )

    # The winner

    def _confirm(self) -> Summary:
        """Trains the best trials' settings on fresh seeds and writes the summary with the verdict."""
        maximize = self.sweep.maximize
        trials = tabulate.trials_of(self.study, {})
        best = tabulate.best_trials(trials, maximize, self.sweep.confirm_top)
        runs = {
            self.folder / "confirm" / f"trial-{trial.number}" / f"seed-{place}": (trial.number, place)
            for trial in best
            for place in range(1, self.sweep.confirm_seeds + 1)
        }
        settings = {trial.number: self.study.applied(trial.number, trial.params) for trial in best}
        confirmed: dict[Path, Confirmation] = {}

        def ended(job: Job, outcome: Outcome) -> None:
            last = max(job.history.values(), key=lambda e: e.step, default=None)
            if outcome.state == "done" and last is not None:
                run = self._record(job).run
                confirmed[job.folder] = Confirmation(job.experiment.seed, run, last, job.history.get(0))
            self._emit(
                "confirmed" if last is not None and outcome.state == "done" else "failed",
                job,
                value=None if last is None else last.value,
                stderr=None if last is None else last.stderr,
                reason=outcome.reason,
            )

        waiting = list(runs)
        self.crew.beside = max(1, min(self.sweep.workers, len(runs)))
        while waiting or self.crew.jobs:
            while self.crew.has_room and waiting:
                where = waiting.pop(0)
                number, place = runs[where]
                experiment = selection.confirmation_experiment(self.experiment, settings[number], place)
                attempts.set_aside_other(where, experiment)
                self.crew.start(Job(where, experiment))
            self._look_after(ended)
        complete = sum(trial.state == "complete" and trial.feasible for trial in trials)
        beyond = sum(trial.state == "complete" for trial in trials) - complete
        candidates = []
        for trial in best:
            own = [run for run, (number, _) in runs.items() if number == trial.number]
            candidates.append(Candidate(trial, [confirmed[run] for run in own if run in confirmed]))
        selected = selection.verdict(
            candidates, self.sweep.confirm_seeds, complete, maximize, self.sweep.objectives[0], beyond
        )
        self.study.conclude(selected.selection)
        importances = self.study.importances()
        result = tabulate.write(self.folder, self.experiment, self.study, trials, selected, importances)
        ledger(self.folder, self.sweep.device_hour_price).write(self.folder / LEDGER)
        self.on_event(Event("selected", self.counts, reason=selected.selection.verdict))
        return result

    # What is shown

    @property
    def counts(self) -> Counts:
        states = list(self.states.values())
        return Counts(
            complete=states.count("complete"),
            pruned=states.count("pruned"),
            failed=states.count("failed"),
            running=len(self.numbers),
            total=self.study.total,
        )

    def _emit(self, kind: Kind, job: Job, **values: Any) -> None:
        number = self.numbers.get(job.folder)
        self.on_event(
            Event(
                kind,
                self.counts,
                trial=number,
                seed=job.experiment.seed if number is None else None,
                attempt=job.attempt.number if job.attempt is not None else None,
                steps=_steps(job.experiment),
                job=job.folder.relative_to(self.folder).as_posix(),
                dev_seconds=None if job.progress is None else job.progress.dev_seconds,
                reward=None if job.progress is None else job.progress.reward,
                **values,
            )
        )

    def _on_launch(self, job: Job) -> None:
        first = job.attempt is not None and job.attempt.number == 1
        number = self.numbers.get(job.folder)
        params = self.study.params(number) if number is not None else None
        self._emit("started" if first else "resumed", job, params=params)

    def _write_summary(self) -> None:
        """The summary of a sweep that is not at its end: what there is so far, and no winner."""
        self._summary_due = self.clock.monotonic() + SUMMARY_INTERVAL
        running = {number: self._record(job) for number, job in self.open.items()}
        trials = tabulate.trials_of(self.study, running)
        selected = Selected(None, Selection(verdict="The sweep is not at its end."))
        tabulate.write(self.folder, self.experiment, self.study, trials, selected, {})


def _steps(experiment: Experiment) -> int:
    """How many steps a run has, counted over all stages."""
    return sum(stage.steps for stage in experiment.stages)
