"""How a sweep stands, in a line.

trial 4: step 12/18, reward 0.9, dev 26.2% · best 33.9% (trial 3) · 2 running, 1 pruned
"""

from __future__ import annotations

from harness.config import Sweep
from harness.sweep.evaluation import is_share
from harness.sweep.events import Event


def shown(objective: str, value: float) -> str:
    """A value of the objective: shares in percent."""
    return f"{100 * value:.1f}%" if is_share(objective) else f"{value:.4g}"


def estimate(objective: str, value: float, stderr: float | None) -> str:
    """A value with its standard error, where it has one: "26.2 ± 4.4%"."""
    if not stderr:
        return shown(objective, value)
    return f"{shown(objective, value).removesuffix('%')} ± {shown(objective, stderr)}"


def run_figures(objective: str, reward: float | None, value: float | None) -> str:
    """ ", reward 0.9, dev 26.2%" of a run, as far as it is known."""
    told = "" if reward is None or objective == "reward" else f", reward {reward:.3g}"
    name = "dev" if objective == "dev/pass@1" else objective
    return told if value is None else f"{told}, {name} {shown(objective, value)}"


def title(trials: int, confirmations: int) -> str:
    """What the bar of a sweep counts: "sweep, 8 trials + 2 runs to confirm"."""
    runs = "1 run" if confirmations == 1 else f"{confirmations} runs"
    return f"sweep, {trials} trials" + (f" + {runs} to confirm" if confirmations else "")


class SweepLine:
    """Told every event of a sweep, it says what the run of the last one is at, and what was best so far."""

    def __init__(self, sweep: Sweep) -> None:
        self._objective = sweep.objectives[0]
        self._sign = -1 if sweep.directions[0] == "minimize" else 1
        self._steps: dict[str, int] = {}
        self._values: dict[str, float] = {}
        self._rewards: dict[str, float] = {}
        self._best: tuple[float, int] | None = None
        self._at = ""
        self._counts = ""

    def take(self, event: Event) -> None:
        """Takes note of an event."""
        counts = event.counts
        self._counts = (
            f"{counts.running} running, {counts.pruned} pruned"
            if counts.finished < counts.total
            else "confirming"
        )
        if event.steps is not None:
            self._steps[event.job] = event.steps
        if event.value is not None:
            self._values[event.job] = event.value
        if event.reward is not None:
            self._rewards[event.job] = event.reward
        if event.kind == "complete" and event.trial is not None and event.value is not None:
            best = self._best
            if best is None or self._sign * event.value > self._sign * best[0]:
                self._best = (event.value, event.trial)
        if event.kind in ("step", "reported") and event.step is not None:
            self._at = self._where(event, event.step)

    def _where(self, event: Event, step: int) -> str:
        who = f"trial {event.trial}" if event.trial is not None else f"seed {event.seed}"
        steps = self._steps.get(event.job)
        if step < 0:  # not before its first evaluation
            return f"{who} is starting"
        told = f"{who}: step {step}" + (f"/{steps}" if steps else "")
        return told + run_figures(self._objective, self._rewards.get(event.job), self._values.get(event.job))

    def __str__(self) -> str:
        best = (
            ""
            if self._best is None
            else f"best {shown(self._objective, self._best[0])} (trial {self._best[1]})"
        )
        return " · ".join(part for part in (self._at, best, self._counts) if part)
