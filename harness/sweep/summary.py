"""summary.json: a whole sweep for people, for the report and for other programs."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from evals.base.versioned import Part, Versioned
from harness.sweep.evaluation import Evaluation

SUMMARY = "summary.json"
TrialState = Literal["complete", "pruned", "failed", "running"]


class Figure(Part):
    """A value of the objective with its standard error."""

    value: float | None = None
    stderr: float | None = None


class Trial(Figure):
    """One configuration that was tried; ``value`` is its last evaluation.

    ``run`` is its last run folder, relative to the sweep's. ``metrics`` are what the further objectives and
    constrained metrics came to, and ``feasible`` whether all of them keep within the constraints.
    """

    number: int
    params: dict[str, Any] = Field(default_factory=dict)
    state: TrialState = "running"
    history: tuple[Evaluation, ...] = ()
    attempts: int = 0
    seconds: float = 0.0
    reason: str = ""
    run: str = ""
    metrics: dict[str, float] = Field(default_factory=dict)
    feasible: bool = True


class Fresh(Figure):
    """One training of the chosen settings from a fresh seed."""

    seed: int
    run: str = ""


class Chosen(Part):
    """A trial that was among the best: as it was chosen, the base policy, and its fresh trainings."""

    trial: int
    params: dict[str, Any] = Field(default_factory=dict)
    selection: Figure = Figure()
    base: Figure | None = None
    confirmation: tuple[Fresh, ...] = ()


class Improvement(Part):
    """Confirmed value minus base value (base minus confirmed where less is better), with its 95% interval."""

    value: float
    stderr: float
    ci95: tuple[float, float]

    @property
    def excludes_zero(self) -> bool:
        return self.ci95[0] > 0


class Selection(Part):
    """How the winner was chosen among the trials, and what was made of it."""

    verdict: str = ""
    candidate: Chosen | None = None
    others: tuple[Chosen, ...] = ()
    complete_trials: int | None = None
    expected_luck: float | None = None
    improvement: Improvement | None = None


class EvalFolders(Part):
    """Where the base policy's and the winner's evaluations lie, relative to the sweep's folder.

    Where there is no winner and one asked for it, ``unconfirmed`` are those of the candidate.
    """

    base: str = ""
    winner: tuple[str, ...] = ()
    unconfirmed: tuple[str, ...] = ()


class Summary(Versioned):
    """The content of summary.json. ``objectives`` and ``constraints`` are metric -> direction and -> most."""

    name: str = ""
    objective: str = ""
    direction: Literal["maximize", "minimize"] = "maximize"
    objectives: dict[str, Literal["maximize", "minimize"]] = Field(default_factory=dict)
    constraints: dict[str, float] = Field(default_factory=dict)
    pareto: tuple[int, ...] | None = None
    sampler: str = ""
    pruner: str = ""
    planned: int = 0
    trials: tuple[Trial, ...] = ()
    winner: Chosen | None = None
    selection: Selection = Selection()
    importances: dict[str, float] = Field(default_factory=dict)
    seconds: float = 0.0
    evals: EvalFolders = EvalFolders()
