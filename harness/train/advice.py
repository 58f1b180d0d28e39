"""Warnings about training that goes wrong in a known way: what was seen, what it means, what to change.

They follow from the rows of metrics.jsonl alone, so a run that resumes, a report and a page that looks on all
say the same. Each is given once a run.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

Row = Mapping[Any, Any]
"""A line of metrics.jsonl: names -> figures."""

WINDOW = 10
"""Steps that means are taken over, so that one step's noise decides nothing."""
KL_LIMIT = 1.0
DRIFT_LIMIT = 0.05
TRUNCATED_LIMIT = 0.5
GROWTH_LIMIT = 1.5
ENTROPY_WINDOW = 5
"""Shorter: a policy that has collapsed soon leaves no group whose rewards differ, so no entropy to log."""
ENTROPY_SHARE = 0.1
ENTROPY_LIMIT = 0.02
DEAD_LIMIT = 0.9
SOLVED = 0.5
SIGNIFICANT = 2.0
"""Standard errors by which the reward must have risen and the dev figure fallen."""


@dataclass(frozen=True)
class Advice:
    """``kind`` names the trouble; ``seen`` gives the figure, ``means`` what is usually behind it and
    ``change`` the settings that help."""

    kind: str
    step: int
    seen: str
    means: str
    change: str

    def __str__(self) -> str:
        return f"step {self.step}: {self.seen}: {self.means}; {self.change}"


class Watch:
    """Looks at a stage's rows, one after another.

    KL: above ``KL_LIMIT`` nats per token. Sampler drift: above ``DRIFT_LIMIT`` nats per token. Reward
    collapse: the mean of the last ``WINDOW`` steps is below half the best such mean, which was positive.
    Length: at least ``TRUNCATED_LIMIT`` of the completions hit the limit, and they have grown to
    ``GROWTH_LIMIT`` of the first step's. Entropy: the mean of ``ENTROPY_WINDOW`` steps is below
    ``ENTROPY_LIMIT`` nats per token, or below ``ENTROPY_SHARE`` of the first such mean. Dead groups: in a
    window, ``DEAD_LIMIT`` of the groups have equal rewards. Hacking: since an earlier dev evaluation
    dev/pass@1 has fallen and the reward has risen, both by ``SIGNIFICANT`` standard errors.
    """

    def __init__(self, stale: bool = False) -> None:
        """``stale``: samples are drawn by an earlier policy, which explains the drift."""
        self._checks: list[Callable[[Row], Advice | None]] = [
            *(() if stale else (_drift,)),
            _kl,
            _unscored,
            _Collapse(),
            _Length(),
            _Entropy(),
            _Dead(),
            _Hacking(),
        ]
        self._given: set[str] = set()

    def see(self, row: Row) -> list[Advice]:
        """What the row, of metrics.jsonl, gives cause to warn of for the first time."""
        found = [each for check in self._checks if (each := check(row)) is not None]
        fresh = [each for each in found if each.kind not in self._given]
        self._given.update(each.kind for each in fresh)
        return fresh


def advice_on(rows: Iterable[Row], experiment: Mapping[str, Any] | None = None) -> list[Advice]:
    """Every warning of a run, by its metrics, in the order of steps; each stage is looked at by itself.

    ``experiment``: its experiment.toml, which says where samples are drawn by an earlier policy.
    """
    stages = (experiment or {}).get("stages") or []
    stale = {stage.get("name") for stage in stages if stage.get("rollout_ahead")}
    watches: dict[str, Watch] = {}
    found = []
    for row in rows:
        stage = str(row.get("stage", ""))
        found += watches.setdefault(stage, Watch(stage in stale)).see(row)
    return found


def _figure(row: Row, name: str) -> float | None:
    """A finite figure of the row; None where there is none."""
    value = row.get(name)
    known = isinstance(value, int | float) and math.isfinite(value)
    return float(value) if known and value is not None else None


def _kl(row: Row) -> Advice | None:
    kl = _figure(row, "kl")
    if kl is None or kl <= KL_LIMIT:
        return None
    return Advice(
        "kl",
        int(row["step"]),
        f"KL {kl:.3g} nats per token from the reference",
        "the policy has left what it could do before training, language included",
        "raise beta or lower learning_rate",
    )


def _drift(row: Row) -> Advice | None:
    drift = _figure(row, "drift")
    if drift is None or drift <= DRIFT_LIMIT:
        return None
    return Advice(
        "drift",
        int(row["step"]),
        f"the sampling engine's log-probabilities are {drift:.3g} nats per token from the policy's",
        "it computes otherwise than the trainer, and what is learned is biased",
        "float32 (of the head alone: policy.head_dtype) or another engine may agree better, and "
        "sampler_correction weighs for it",
    )


def _unscored(row: Row) -> Advice | None:
    if _figure(row, "length") is None or _figure(row, "reward") is not None:  # no step that sampled
        return None
    return Advice(
        "scored",
        int(row["step"]),
        "no completion could be scored",
        "the grader or the reward function fails on each",
        "look at rewards, and at unscored/NAME in metrics.jsonl",
    )


class _Means:
    """The running mean of a figure over the last ``window`` steps that have it."""

    def __init__(self, name: str, window: int = WINDOW) -> None:
        self._name, self._window = name, window
        self._values: deque[float] = deque(maxlen=window)

    def see(self, row: Row) -> float | None:
        """The mean with this row; None until a window is full, and where the row lacks the figure."""
        value = _figure(row, self._name)
        if value is None:
            return None
        self._values.append(value)
        return fmean(self._values) if len(self._values) == self._window else None


class _Collapse:
    def __init__(self) -> None:
        self._means = _Means("reward")
        self._best = 0.0

    def __call__(self, row: Row) -> Advice | None:
        recent = self._means.see(row)
        if recent is None:
            return None
        self._best = max(self._best, recent)
        if self._best <= 0 or recent >= self._best / 2:
            return None
        return Advice(
            "reward",
            int(row["step"]),
            f"the mean reward fell from {self._best:.3g} to {recent:.3g}",
            "steps too large have destroyed what earlier ones taught",
            "lower learning_rate, and go on from the best checkpoint (keep_best)",
        )


class _Length:
    def __init__(self) -> None:
        self._first: float | None = None

    def __call__(self, row: Row) -> Advice | None:
        length, truncated = _figure(row, "length"), _figure(row, "truncated")
        if length is None or truncated is None:
            return None
        first = self._first = self._first or length
        if truncated < TRUNCATED_LIMIT or length <= GROWTH_LIMIT * first:
            return None
        return Advice(
            "length",
            int(row["step"]),
            f"{truncated:.0%} of the completions hit the length limit, and their mean length rose from "
            f"{first:.0f} to {length:.0f} tokens",
            "length pays, or the policy no longer ends its responses, and answers are cut off",
            "raise max_tokens if longer ones are right (length/correct), else set overlong_buffer with "
            "rewards.overlong, or aggregation = 'dr_grpo'",
        )


class _Entropy:
    def __init__(self) -> None:
        self._means = _Means("entropy", ENTROPY_WINDOW)
        self._first: float | None = None

    def __call__(self, row: Row) -> Advice | None:
        recent = self._means.see(row)
        if recent is None:
            return None
        first = self._first = recent if self._first is None else self._first
        if recent >= max(ENTROPY_LIMIT, ENTROPY_SHARE * first):
            return None
        was = (
            "from the start on"
            if recent == first
            else f"{first:.2g} in the stage's first {ENTROPY_WINDOW} steps"
        )
        return Advice(
            "entropy",
            int(row["step"]),
            f"entropy {recent:.2g} nats per token over {ENTROPY_WINDOW} steps ({was})",
            "the policy gives one answer to each question, and nothing is left to explore",
            "lower learning_rate or epochs, raise epsilon.high (0.28) or temperature, set entropy_bonus, or "
            "train on more questions",
        )


class _Dead:
    def __init__(self) -> None:
        self._means = _Means("zero_variance")
        self._right = _Means("reward/accuracy")

    def __call__(self, row: Row) -> Advice | None:
        right, dead = self._right.see(row), self._means.see(row)
        if dead is None or dead < DEAD_LIMIT:
            return None
        means, change = "all answers of a group are right, or all wrong, and teach nothing", "train on others"
        if right is not None and right >= SOLVED:
            means, change = "the questions are solved already and teach nothing", "train on harder ones"
        elif right is not None:
            means = "the questions are too hard for the policy, or nothing is right for another reason"
            change = "train on easier ones, raise group_size, look whether answers are cut off (truncated)"
        return Advice(
            "groups",
            int(row["step"]),
            f"{dead:.0%} of the groups of the last {WINDOW} steps have equal rewards",
            means,
            f"{change}, or have such groups replaced (refill_rounds)",
        )


@dataclass(frozen=True)
class _Dev:
    """A dev evaluation."""

    step: int
    value: float
    stderr: float


class _Hacking:
    def __init__(self) -> None:
        self._rewards: dict[int, float] = {}
        self._earlier: list[_Dev] = []

    def __call__(self, row: Row) -> Advice | None:
        step, reward = int(row["step"]), _figure(row, "reward")
        if reward is not None:
            self._rewards[step] = reward
        value, stderr = _figure(row, "dev/pass@1"), _figure(row, "dev/stderr")
        if value is None:
            return None
        now = _Dev(step, value, stderr or 0.0)
        best = max(self._earlier, key=lambda dev: dev.value, default=None)
        self._earlier.append(now)
        if best is None or best.value - value <= SIGNIFICANT * math.hypot(best.stderr, now.stderr):
            return None
        before, after = self._around(best.step, step)
        if not _rose(before, after):
            return None
        return Advice(
            "hacking",
            step,
            f"dev/pass@1 fell from {best.value:.3g} (step {best.step}) to {value:.3g}, while the mean "
            f"reward rose from {fmean(before):.3g} to {fmean(after):.3g}",
            "what the reward pays for is not what is measured, or training questions are learned by heart",
            "read samples.jsonl for what pays, give rewards.accuracy more weight, raise beta, train on "
            "more questions",
        )

    def _around(self, then: int, now: int) -> tuple[list[float], list[float]]:
        """Rewards of the window's steps next to ``then``, and of the last ones up to ``now``."""
        before = [self._rewards[s] for s in sorted(self._rewards, key=lambda s: abs(s - then))[:WINDOW]]
        after = [self._rewards[s] for s in sorted(self._rewards) if s <= now][-WINDOW:]
        return before, after


def _rose(before: list[float], after: list[float]) -> bool:
    if min(len(before), len(after)) < 3:
        return False
    error = math.hypot(stdev(before) / math.sqrt(len(before)), stdev(after) / math.sqrt(len(after)))
    return fmean(after) - fmean(before) > SIGNIFICANT * error
