"""The numbers of one training step, by the names that metrics.jsonl uses."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import islice
from statistics import fmean

import torch

from harness.config import GRPO
from harness.models import dist
from harness.models.flops import Shape
from harness.rewards import Attempt, Score
from harness.rewards.language import language
from harness.train.grpo.loss import Loss, TokenTerms
from harness.train.grpo.reflection import evolution_metrics, reflects
from harness.train.grpo.rollout import Batch

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
    rollouts = batch.sampled
    attempts = [attempt for rollout in rollouts for attempt in rollout.attempts]
    scores = [score for rollout in rollouts for score in rollout.scores]
    rewards = [[reward for reward in rollout.rewards if not math.isnan(reward)] for rollout in rollouts]
    found: dict[str, float | None] = {
        "reward": _mean(reward for group in rewards for reward in group),
        "reward_std": _mean(_std(group) for group in rewards if group),
        "zero_variance": _mean(not rollout.informative for rollout in rollouts),
        "length": _mean(attempt.tokens for attempt in attempts),
        "length/correct": _mean(a.tokens for a in attempts if a.verdict.correct),
        "length/wrong": _mean(a.tokens for a in attempts if not a.verdict.correct),
        "truncated": _mean(attempt.truncated for attempt in attempts),
        "tokens": float(sum(attempt.tokens for attempt in attempts)),
        "seconds/rollout": batch.rollout_seconds,
        "seconds/reward": batch.reward_seconds,
    }
    found |= evolution_metrics(attempts, _languages(attempts, scores))
    for name in stage.rewards:
        values = [score.parts[name] for score in scores]
        found[f"reward/{name}"] = _mean(value for value in values if value is not None)
        if None in values:
            found[f"unscored/{name}"] = float(values.count(None))
    if stage.refill_rounds:
        found["dropped"] = float(len(batch.dropped))
    return {name: value for name, value in found.items() if value is not None}


def rollout_flops(batch: Batch, shape: Shape) -> float:
    """Model FLOPs of sampling: what a step cost includes the groups that were replaced."""
    return sum(
        shape.forward(len(rollout.group.prompt_ids), [len(c.token_ids) for c in rollout.group.completions])
        for rollout in batch.sampled
    )


def _languages(attempts: Sequence[Attempt], scores: Sequence[Score]) -> list[float | None]:
    """The reward "language" of every completion: known where it is in the mix, else shared work.

    Telling languages apart takes milliseconds a completion.
    """
    if all(LANGUAGE in score.parts for score in scores):
        return [score.parts[LANGUAGE] for score in scores]
    return dist.spread(lambda mine: [language(attempt) for attempt in mine], attempts)


def sample_rows(batch: Batch, advantages: torch.Tensor, step: int, count: int = 4) -> list[dict[str, object]]:
    """A few completions for people: the first of each of the step's first groups, and some that reflect."""
    first = [(place, 0) for place in range(min(count, len(batch.rollouts)))]
    every = ((g, i) for g, rollout in enumerate(batch.rollouts) for i in range(len(rollout.attempts)))
    others = (place for place in every if place not in first)
    reflecting = (place for place in others if reflects(batch.rollouts[place[0]].attempts[place[1]].text))
    rows: list[dict[str, object]] = []
    for g, i in [*first, *islice(reflecting, count // 2)]:
        rollout, completion = batch.rollouts[g], batch.rollouts[g].attempts[i].completion
        score = rollout.scores[i]
        rows.append(
            {
                "step": step,
                "id": rollout.prompt.question.id,
                "prompt": rollout.prompt.text,
                "response": completion.text,
                "rewards": dict(score.parts),
                "reward": None if math.isnan(score.total) else score.total,
                "advantage": float(advantages[g, i]),
                "finish_reason": completion.finish_reason,
            }
        )
    return rows


def _mean(values: Iterable[float | None]) -> float | None:
    numbers = [float(value) for value in values if value is not None]
    return fmean(numbers) if numbers else None


def _std(values: list[float]) -> float:
    """The population standard deviation."""
    return math.sqrt(fmean([(value - fmean(values)) ** 2 for value in values]))
