"""The numbers of one training step, by the names that metrics.jsonl uses."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import islice
from statistics import fmean

import torch

from evals.records import Sample
from evals.rollout import Rollout
from harness.config import GRPO
from harness.models import dist
from harness.models.flops import Shape
from harness.rewards.language import language
from harness.train.grpo.loss import Loss, TokenTerms
from harness.train.grpo.reflection import evolution_metrics, reflects
from harness.train.grpo.rollout import Batch, informative

LANGUAGE = "language"


class TokenMeans:
    """Means over tokens that arrive in micro-batches. Sums stay on the device until they are read."""

    def __init__(self) -> None:
        self._sums: dict[str, torch.Tensor] = {}
        self._counts: dict[str, torch.Tensor] = {}
        self._highest: dict[str, torch.Tensor] = {}

    def add(self, name: str, values: torch.Tensor, mask: torch.Tensor) -> None:
        """Adds the (B, T) or (B, 1) ``values`` where the (B, T) ``mask`` is set."""
        total = torch.where(mask, values.detach(), 0.0).sum()
        self._sums[name] = self._sums[name] + total if name in self._sums else total
        self._counts[name] = self._counts[name] + mask.sum() if name in self._counts else mask.sum()

    def highest(self, name: str, values: torch.Tensor, mask: torch.Tensor) -> None:
        """Keeps the largest of ``values`` under ``mask``."""
        seen = torch.where(mask, values.detach(), -torch.inf).max()
        self._highest[name] = torch.maximum(self._highest[name], seen) if name in self._highest else seen

    def add_loss(self, loss: Loss, terms: TokenTerms) -> None:
        """KL, entropy, ratios, clipping, correction and drift of one micro-batch.

        ``drift`` is how far the log-probabilities of the policy that was to be sampled are from those that
        the sampling engine reported, in absolute value.
        """
        if loss.kl is not None:
            self.add("kl", loss.kl, terms.mask)
        if terms.entropy is not None:
            self.add("entropy", terms.entropy, terms.mask)
        self.add("clip_fraction", loss.clipped.float(), terms.mask)
        self.highest("ratio/max", loss.ratio, terms.mask)
        applied = loss.correction.applied()
        if applied is not None:
            self.add("correction", applied, terms.mask)
        if loss.correction.kept is not None:
            self.add("correction/masked", (~loss.correction.kept).float(), terms.mask)
        if terms.sampler is not None:
            sampled = terms.logprobs if terms.old is None else terms.old
            drift = (sampled.detach() - terms.sampler).abs()
            self.add("drift", drift, terms.mask)
            self.highest("drift/max", drift, terms.mask)

    def on_cpu(self) -> TokenMeans:
        """The same, for other processes to read."""
        copied = TokenMeans()
        for name in ("_sums", "_counts", "_highest"):
            setattr(copied, name, {key: value.cpu() for key, value in getattr(self, name).items()})
        return copied

    def merge(self, other: TokenMeans) -> None:
        """Adds what ``other`` has seen."""
        for name, total in other._sums.items():
            self._sums[name] = self._sums[name] + total if name in self._sums else total
            count = other._counts[name]
            self._counts[name] = self._counts[name] + count if name in self._counts else count
        for name, seen in other._highest.items():
            self._highest[name] = torch.maximum(self._highest[name], seen) if name in self._highest else seen

    def values(self) -> dict[str, float]:
        """Every mean and maximum; a mean over no tokens is left out."""
        means = {
            name: float(total / self._counts[name])
            for name, total in self._sums.items()
            if self._counts[name] > 0
        }
        return means | {name: float(value) for name, value in self._highest.items() if math.isfinite(value)}


def batch_metrics(batch: Batch, stage: GRPO) -> dict[str, float]:
    """What the policy did: rewards, lengths, truncation, over all completions that were sampled.

    ``reward_std`` is the mean over groups of the standard deviation inside a group. A mean over no
    completions (no correct one, say) is left out.
    """
    groups = batch.sampled
    rollouts = [rollout for group in groups for rollout in group.rollouts]
    rewards = [[reward for reward in group.rewards if not math.isnan(reward)] for group in groups]
    found: dict[str, float | None] = {
        "reward": _mean(reward for group in rewards for reward in group),
        "reward_std": _mean(_std(group) for group in rewards if group),
        "zero_variance": _mean(not informative(group) for group in groups),
        "length": _mean(rollout.tokens for rollout in rollouts),
        "length/correct": _mean(r.tokens for r in rollouts if r.verdict.correct),
        "length/wrong": _mean(r.tokens for r in rollouts if not r.verdict.correct),
        "truncated": _mean(rollout.truncated for rollout in rollouts),
        "tokens": float(sum(rollout.tokens for rollout in rollouts)),
        "seconds/rollout": batch.rollout_seconds,
        "seconds/reward": batch.reward_seconds,
    }
    found |= evolution_metrics(rollouts, _languages(rollouts))
    for name in stage.rewards:
        values = [rollout.score.parts[name] for rollout in rollouts if rollout.score is not None]
        found[f"reward/{name}"] = _mean(value for value in values if value is not None)
        if None in values:
            found[f"unscored/{name}"] = float(values.count(None))
    if stage.refill_rounds:
        found["dropped"] = float(len(batch.dropped))
    return {name: value for name, value in found.items() if value is not None}


def rollout_flops(batch: Batch, shape: Shape) -> float:
    """Model FLOPs of sampling: what a step cost includes the groups that were replaced."""
    return sum(
        shape.forward(len(group.prompt_ids), [len(one.completion.token_ids) for one in group.rollouts])
        for group in batch.sampled
    )


def _languages(rollouts: Sequence[Rollout]) -> list[float | None]:
    """The reward "language" of every completion: known where it is in the mix, else shared work.

    Telling languages apart takes milliseconds a completion.
    """
    parts = [rollout.score.parts for rollout in rollouts if rollout.score is not None]
    if all(LANGUAGE in each for each in parts):
        return [each[LANGUAGE] for each in parts]
    return dist.spread(lambda mine: [language(rollout) for rollout in mine], rollouts)


def sample_rows(batch: Batch, step: int, count: int = 4) -> list[dict[str, object]]:
    """A few completions for people: the first of each of the step's first groups, and some that reflect."""
    firsts: list[Rollout] = []
    others: list[Rollout] = []
    for place, group in enumerate(batch.groups):
        shown = 1 if place < count else 0
        firsts += group.rollouts[:shown]
        others += group.rollouts[shown:]
    reflecting = islice((rollout for rollout in others if reflects(rollout.text)), count // 2)
    return [_row(rollout, step) for rollout in (*firsts, *reflecting)]


def _row(rollout: Rollout, step: int) -> dict[str, object]:
    """A row of a run's samples.jsonl: that of an evaluation, with the step and what was learned of it."""
    assert rollout.score is not None  # it is of a step that was learned
    row, total = Sample.of(rollout).as_row(), rollout.score.total
    del row["seconds"]  # a batch's, which metrics.jsonl tells
    return {
        "step": step,
        **row,
        "rewards": dict(rollout.score.parts),
        "reward": None if math.isnan(total) else total,
        "advantage": rollout.advantage,
    }


def _mean(values: Iterable[float | None]) -> float | None:
    numbers = [float(value) for value in values if value is not None]
    return fmean(numbers) if numbers else None


def _std(values: list[float]) -> float:
    """The population standard deviation."""
    return math.sqrt(fmean([(value - fmean(values)) ** 2 for value in values]))
