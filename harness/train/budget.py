"""What of a run's cost its budget counts, and whether it is spent."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from harness.config import Budget, Experiment
from harness.models import dist
from harness.train.ledger import DEVICES, Cost, devices, stage_costs


class Meter:
    """What a run has spent of its budget; without a budget, never anything."""

    def __init__(self, folder: Path, experiment: Experiment) -> None:
        self._budget = experiment.budget
        self._spent = 0.0
        budget = self._budget
        if budget is not None:
            costs = dist.decided(lambda: stage_costs(folder, experiment.stages))
            self._spent = sum(spent(cost, budget) for cost in costs)

    def count(self, metrics: Mapping[str, float]) -> None:
        """Adds the step whose metrics these are."""
        if self._budget is not None:
            # Seconds differ from process to process, and all must end with the same step.
            row = {**metrics, DEVICES: devices()}
            steps = dist.decided(lambda: [Cost("", "", teacher).plus(row) for teacher in (False, True)])
            self._spent += sum(spent(step, self._budget) for step in steps)

    @property
    def share(self) -> float:
        """The part of the budget that is spent: above 1 where the last step went over it."""
        return 0.0 if self._budget is None else self._spent / self._budget.limit

    @property
    def exhausted(self) -> bool:
        return self.share >= 1.0


def spent(cost: Cost, budget: Budget) -> float:
    """What ``budget`` counts of a stage's cost, in the budget's unit."""
    if cost.teacher and not budget.teacher:
        return 0.0
    value: float = getattr(cost, budget.measure)
    return value
