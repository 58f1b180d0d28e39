"""Reward functions of one's own: one completion must not end a run, all of them must."""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from evals.base.errors import JobError, first_line
from evals.rollout import Rollout

log = logging.getLogger(__name__)


class CustomReward:
    """A function of one's own, and how it failed."""

    def __init__(self, name: str, function: Callable[[Any], Any], whole_group: bool = False) -> None:
        """``whole_group``: the function takes a group's rollouts and returns a list, a value for each."""
        self._name = name
        self._function = function
        self._whole_group = whole_group
        self._calls = 0
        self._failed: Counter[str] = Counter()  # since the step began
        self._warned: set[str] = set()

    def __call__(self, group: Sequence[Rollout]) -> list[float | None]:
        """One value per completion; None where the function returned that or failed."""
        self._calls += len(group)
        if not self._whole_group:
            return [self._value(rollout) for rollout in group]
        try:
            values = list(self._function(group))
            if len(values) != len(group):
                raise ValueError(f"{len(values)} values for {len(group)} completions")
        except Exception as error:  # whatever it is that a completion provoked
            for rollout in group:
                self._leave_out(rollout, type(error).__name__, f": {first_line(error)}")
            return [None] * len(group)
        return [self._number(rollout, value) for rollout, value in zip(group, values, strict=True)]

    def begin_step(self) -> None:
        """Counts from here on."""
        self._calls = 0
        self._failed.clear()

    def end_step(self) -> None:
        """Refuses a function that failed on every completion since ``begin_step``.

        Raises:
            JobError: it did: then the function is at fault, and a run on its None would learn nothing.
        """
        if self._calls and self._failed.total() == self._calls:
            reason, _ = self._failed.most_common(1)[0]
            raise JobError(
                f"rewards.{self._name}: failed on all {self._calls} completions of a step: {reason}"
            )

    def _value(self, rollout: Rollout) -> float | None:
        try:
            value = self._function(rollout)
        except Exception as error:  # whatever it is that a completion provoked
            self._leave_out(rollout, type(error).__name__, f": {first_line(error)}")
            return None
        return self._number(rollout, value)

    def _number(self, rollout: Rollout, value: Any) -> float | None:
        if value is None:
            return None
        try:
            number = float(value) if isinstance(value, bool | int | float) else math.nan
        except OverflowError:  # a whole number beyond all floats
            number = math.inf
        if math.isfinite(number):
            return number
        self._leave_out(rollout, "no finite number", f": it returned {value!r:.80}")
        return None

    def _leave_out(self, rollout: Rollout, reason: str, detail: str) -> None:
        self._failed[reason + detail] += 1
        if reason not in self._warned:
            self._warned.add(reason)
            log.warning(
                "rewards.%s: %s%s on question %s; the completion is left without this score (reported once)",
                *(self._name, reason, detail, rollout.question.id),
            )
