"""What a report is about, as plain data: sweeps, training runs, evaluations, and what could not be read."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from evals.scores import Scores
from evals.stats.metrics import QuestionStats
from evals.stats.tables import Lengths, ScoresTable
from harness.config import confirmed_stage
from harness.sweep.summary import Chosen, Summary, Trial
from harness.train.manifest import Manifest
from reports.arms import ExplainedRow
from reports.probes import Probe
from reports.samples.records import Index
from reports.suites import Suite

MOST_NAMES = 4
"""Names that a title or a sentence lists; of more it says how many there are."""
MOST_TRIALS = 60
"""Lines or bars in a chart of trials."""


def some(names: Sequence[str]) -> str:
    """ "a, b and c"; of more than ``MOST_NAMES`` the first and how many others: "a, b, c and 37 others"."""
    if len(names) <= MOST_NAMES:
        return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1]
    return f"{', '.join(names[: MOST_NAMES - 1])} and {len(names) - MOST_NAMES + 1} others"


Role = Literal["base", "measured", "trained"]
"""What an evaluation is of: the policy that training started from, a model of which only the evaluation is
here, or what was trained here."""


@dataclass(frozen=True)
class Evaluation:
    """One model on one benchmark. Models of one ``group`` differ by their training seed alone.

    ``scores`` is scores.json as it stands, ``measured`` what a comparison takes of it (no questions where it
    is damaged); ``samples`` is None where the samples were not kept.
    """

    model: str
    group: str
    benchmark: str
    folder: Path
    scores: ScoresTable
    measured: Scores
    samples: Index | None
    role: Role = "measured"

    @property
    def value(self) -> float:
        """pass@1 of scores.json; NaN where it is missing."""
        return float((self.scores.get("pass@1") or {}).get("value", math.nan))

    @property
    def lengths(self) -> Lengths | None:
        """Tokens of its responses; None where they were not recorded."""
        return self.scores.get("tokens")

    @property
    def mean_length(self) -> float:
        """Tokens of a response, on average; 0 where they were not recorded."""
        return 0.0 if self.lengths is None else self.lengths["mean"]

    @property
    def samples_per_question(self) -> tuple[int | None, int | None]:
        """The least and the greatest number of samples of a question."""
        found = self.scores.get("samples_per_question")
        return (None, None) if found is None else (found["min"], found["max"])

    @cached_property
    def questions(self) -> Mapping[str, QuestionStats]:
        """The statistics of its questions by id."""
        return {question.id: question for question in self.measured.questions}

    @property
    def protocol(self) -> Mapping[str, Any]:
        """How it was sampled, without what two comparable evaluations may differ in (count and seed)."""
        recorded = self.scores.get("protocol") or {}
        return {key: value for key, value in recorded.items() if key not in ("samples", "seed", "name")}


@dataclass(frozen=True)
class Training:
    """One run folder. ``metrics`` has a row per line of metrics.jsonl; ``state`` as in status.json.

    Runs of one ``group`` differ by their training seed alone.
    """

    label: str
    group: str
    folder: Path
    metrics: pd.DataFrame
    state: str
    reason: str
    experiment: Mapping[str, Any]
    manifest: Manifest | None


@dataclass(frozen=True)
class Sweep:
    """One sweep folder: its summary.json, what each trial logged, and the best trials' fresh seeds.

    ``key`` is its name made fit for ids and file names, different from every other sweep's.
    """

    key: str
    folder: Path
    summary: Summary
    experiment: Mapping[str, Any]
    manifest: Manifest | None
    state: str
    trials: Mapping[int, pd.DataFrame]
    confirm: Mapping[int, Sequence[Training]]

    @property
    def name(self) -> str:
        return self.summary.name or self.folder.name

    @property
    def objective(self) -> str:
        return self.summary.objective or "objective"

    @property
    def winner(self) -> Chosen | None:
        return self.summary.winner

    @property
    def candidate(self) -> Chosen | None:
        """The best trial, believed (``winner``) or not."""
        return self.summary.winner or self.summary.selection.candidate

    @property
    def chosen(self) -> int | None:
        """The number of the best trial."""
        return None if self.candidate is None else self.candidate.trial

    @property
    def other_objectives(self) -> Mapping[str, str]:
        """Objectives besides the first, by which the winner is chosen: metric -> direction."""
        return {name: way for name, way in self.summary.objectives.items() if name != self.objective}

    @property
    def watched(self) -> list[str]:
        """Further objectives and constrained metrics."""
        return list(dict.fromkeys([*self.other_objectives, *self.summary.constraints]))

    @property
    def fresh(self) -> list[Training]:
        """The runs of the candidate's settings with fresh seeds."""
        return [] if self.chosen is None else list(self.confirm.get(self.chosen, []))

    @property
    def confirm_steps(self) -> int | None:
        """The steps of the runs with fresh seeds, where these are not the trials' own."""
        steps = (self.experiment.get("sweep") or {}).get("confirm_steps")
        stage = confirmed_stage(self.experiment.get("stages") or [])
        return None if steps is None or stage is None or steps == stage["steps"] else int(steps)

    @property
    def space(self) -> Mapping[str, Any]:
        """``[sweep.space]`` of the experiment: setting -> choices, or a table with low, high, log."""
        found: Mapping[str, Any] = (self.experiment.get("sweep") or {}).get("space") or {}
        return found

    def rows(self) -> list[Trial]:
        """The trials of the summary, by number."""
        return sorted(self.summary.trials, key=lambda trial: trial.number)

    def shown(self) -> list[Trial]:
        """The trials that a chart has room for: all, or the best ``MOST_TRIALS``, by number."""
        sign = -1 if self.summary.direction == "minimize" else 1

        def badness(trial: Trial) -> float:
            return math.inf if trial.value is None else -sign * trial.value

        return sorted(sorted(self.rows(), key=badness)[:MOST_TRIALS], key=lambda trial: trial.number)


@dataclass(frozen=True)
class ArmsFolder:
    """A folder in which arms are compared: its ``experiment`` made every run below it."""

    name: str
    folder: Path
    experiment: Mapping[str, Any]
    manifest: Manifest | None


@dataclass
class Study:
    """Everything that one report is about; ``folders`` are those that were named."""

    sweeps: list[Sweep] = field(default_factory=list)
    runs: list[Training] = field(default_factory=list)
    evaluations: list[Evaluation] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    arms: list[ArmsFolder] = field(default_factory=list)
    controls: list[ExplainedRow] = field(default_factory=list)
    """What their controls explain, as arms.json has it."""
    suites: list[Suite] = field(default_factory=list)
    """Tasks of lm-eval, with every metric."""
    probes: list[tuple[str, Probe]] = field(default_factory=list)
    """What `harness probe` found, by the name of its folder."""
    folders: Sequence[Path] = ()

    @property
    def title(self) -> str:
        names = [arms.name for arms in self.arms] + [sweep.name for sweep in self.sweeps] or [
            run.label for run in self.runs
        ]
        names = list(dict.fromkeys(names or self.models() or [suite.model for suite in self.suites]))
        if len(names) > MOST_NAMES:
            what = "sweeps" if self.sweeps else "runs" if self.runs else "models"
            benchmarks = self.benchmarks()
            on = f" on {some(benchmarks)}" if what == "models" and benchmarks else ""
            return f"{len(names)} {what}{on}"
        return " · ".join(names) or "Nothing to report"

    @property
    def empty(self) -> bool:
        """Whether there is nothing to report."""
        return not (self.sweeps or self.runs or self.evaluations or self.suites or self.probes)

    @property
    def in_one_folder(self) -> bool:
        """Whether all of it lies in one sweep or comparison: then the view has a page of all its tables."""
        if len(self.folders) != 1 or not (self.sweeps or self.arms):
            return False
        inside = self.folders[0].resolve()
        parts = [run.folder for run in self.runs] + [one.folder for one in self.evaluations]
        return all(part.resolve().is_relative_to(inside) for part in parts)

    def sources(self) -> list[Sweep | Training]:
        """What has a manifest: the sweeps, then the runs."""
        return [*self.sweeps, *self.runs]

    def in_turn(self) -> list[Training]:
        """The runs, of each group one before any has a second: whoever shows a few shows different ones."""
        seen: Counter[str] = Counter()
        turns = []
        for run in self.runs:
            turns.append((seen[run.group], run))
            seen[run.group] += 1
        return [run for _, run in sorted(turns, key=lambda turn: turn[0])]

    def started(self) -> list[Sweep | ArmsFolder | Training]:
        """What a command was given for: sweeps, comparisons of arms, and the runs that are of neither."""
        folders = [one.folder for one in self.arms]
        alone = [run for run in self.runs if not any(map(run.folder.is_relative_to, folders))]
        return [*self.sweeps, *self.arms, *alone]

    def benchmarks(self) -> list[str]:
        """In the order of the experiment that asked for them, then of first appearance."""
        asked = [name for one in self.sources() for name in asked_benchmarks(one.experiment)]
        found = dict.fromkeys(evaluation.benchmark for evaluation in self.evaluations)
        return [
            *(name for name in dict.fromkeys(asked) if name in found),
            *(n for n in found if n not in asked),
        ]

    def models(self) -> list[str]:
        """In order of first appearance."""
        return list(dict.fromkeys(evaluation.model for evaluation in self.evaluations))

    def groups(self) -> list[str]:
        """In order of first appearance."""
        return list(dict.fromkeys(evaluation.group for evaluation in self.evaluations))

    def baseline(self) -> str:
        """The group that others are compared with: a base policy where there is one, else what was not
        trained here, else the first; "" where nothing was measured.
        """
        order: list[Role] = ["base", "measured", "trained"]
        first = min(self.evaluations, key=lambda evaluation: order.index(evaluation.role), default=None)
        return "" if first is None else first.group

    def untrained(self) -> set[str]:
        """The groups that are policies from which training starts."""
        return {evaluation.group for evaluation in self.evaluations if evaluation.role == "base"}


def asked_benchmarks(experiment: Mapping[str, Any]) -> list[str]:
    """The benchmarks that an experiment asks for."""
    return [str(name) for name in (experiment.get("eval") or {}).get("benchmarks") or []]
