"""One update of on-policy distillation: completions, what the teacher says of them, one optimiser step.

The loss of token t of a completion with reward advantage A (0 where no reward counts), lp and lp_T the
policy's and the teacher's log-probabilities and sg a stopped gradient:

    "sampled":  -sg(A + w (lp_T - lp)) lp         its mean gradient is that of w KL(policy || teacher)
    "jsd":      -sg(A) lp + w JSD(beta)

A step's loss is the mean over all its learned tokens. The completions are the policy's own of this moment, so
that there is no ratio to clip.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch.nn.utils.rnn import pad_sequence

from evals.base.errors import JobError
from harness.config import OnPolicyDistill
from harness.models import dist, sharding
from harness.models.flops import shape_of, update_cost
from harness.models.policy import Policy
from harness.train.batching import Row, level, my_rows, plan
from harness.train.distil.divergence import compare
from harness.train.distil.teacher import Teacher
from harness.train.forward import Scorer, Scores, evaluation_mode
from harness.train.grpo.metrics import TokenMeans
from harness.train.ledger import TEACHER_PRICE
from harness.train.logprobs import TokenScores
from harness.train.micro_batch import MicroBatch
from harness.train.optimizer import learning_rate_at, make_optimizer, take_step
from harness.train.states import pad


@dataclass(frozen=True)
class Lesson:
    """A step's completions by ``Row.index``.

    ``learned`` marks each one's tokens that are in the loss; ``advantages`` come from rewards, (N,);
    ``sampler`` holds the sampling engine's log-probabilities, None for a completion that was recorded.
    """

    rows: tuple[Row, ...]
    learned: tuple[tuple[bool, ...], ...]
    advantages: torch.Tensor
    sampler: tuple[torch.Tensor | None, ...]

    @property
    def tokens(self) -> int:
        return sum(map(sum, self.learned))


class DistilUpdater:
    """Owns the optimiser and the size of the micro-batches."""

    def __init__(
        self, policy: Policy, stage: OnPolicyDistill, teacher: Teacher, micro_batch: MicroBatch
    ) -> None:
        self.micro_batch = micro_batch
        self.optimizer = make_optimizer(policy.model, stage)
        self._policy = policy
        self._stage = stage
        self._teacher = teacher
        self._shape = shape_of(policy.model)
        self.scorer = Scorer(policy.model, policy, stage.temperature, stage.packing)
        self._seconds = 0.0

    def update(self, lesson: Lesson, step: int, spent: float = 0.0) -> dict[str, float]:
        """One optimiser step on the stage's step ``step``; returns its metrics.

        ``spent`` is the part of the run's budget that is gone (see ``learning_rate_at``).

        Raises:
            JobError: the loss or a gradient is not finite, or memory does not suffice.
        """
        learning_rate = learning_rate_at(self._stage, step, spent)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        rows = [row for row in lesson.rows if any(lesson.learned[row.index])]
        mine = my_rows(rows)
        started = time.perf_counter()
        self._teacher.read(mine, self.micro_batch)
        self._seconds = time.perf_counter() - started
        with evaluation_mode(self._policy.model):
            loss, means = self.micro_batch.fitting(partial(self._gradients, rows, mine, lesson))
            norm = self._clip()
            if not (math.isfinite(loss) and math.isfinite(norm)):
                raise JobError(f"training diverged: loss {loss}, gradient norm {norm}; lower learning_rate")
            take_step(self.optimizer, self._stage)
            self.optimizer.zero_grad(set_to_none=True)
        whole = TokenMeans()
        for part in dist.gather(means.on_cpu()):
            whole.merge(part)
        teacher, price = self._teacher.flops(rows), self._teacher.price(rows)
        return whole.values() | {
            "loss": loss,
            "grad_norm": norm,
            "learning_rate": learning_rate,
            "flops/update": update_cost(self._policy.lora) * self._flops(rows),
            "teacher/tokens": float(sum(len(row.completion_ids) for row in rows)),
            "seconds/teacher": self._seconds,
            **({} if teacher is None else {"flops/teacher": teacher}),
            **({} if price is None else {TEACHER_PRICE: price}),
        }

    def _flops(self, rows: Sequence[Row]) -> float:
        """Model FLOPs of one forward pass of the policy, a group's prompt once."""
        groups: dict[int, list[Row]] = {}
        for row in rows:
            groups.setdefault(row.group, []).append(row)
        return sum(
            self._shape.forward(len(group[0].prompt_ids), [len(row.completion_ids) for row in group])
            for group in groups.values()
        )

    def _gradients(
        self, rows: Sequence[Row], mine: Sequence[Row], lesson: Lesson
    ) -> tuple[float, TokenMeans]:
        """The loss and its tokens' metrics; its gradients are left in the parameters."""
        self.optimizer.zero_grad(set_to_none=True)
        total, means = torch.zeros((), device=self._policy.device), TokenMeans()
        head = self._compared if self._stage.divergence == "jsd" else None
        blocks = plan(mine, self.micro_batch.tokens, self.scorer.may_share, self.scorer.may_pack)
        for block in level(blocks, rows):
            for scores in self.scorer.micro_batches(block, head):
                if block.idle:
                    (scores.logprobs.sum() * 0).backward()  # type: ignore[no-untyped-call]
                    continue
                loss = self._loss(scores, lesson, means) / lesson.tokens
                loss.backward()  # type: ignore[no-untyped-call]
                total += loss.detach()
        return sum(dist.gather(float(total))), means

    def _compared(
        self, rows: tuple[Row, ...], hidden: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor
    ) -> TokenScores:
        started = time.perf_counter()
        teacher = self._teacher.distribution(rows)
        self._seconds += time.perf_counter() - started
        return compare(hidden, weight, targets, teacher, self._stage.jsd_beta, self._stage.temperature)

    def _loss(self, scores: Scores, lesson: Lesson, means: TokenMeans) -> torch.Tensor:
        """The sum over a micro-batch's learned tokens."""
        device, weight = scores.mask.device, self._stage.weight
        indices = [row.index for row in scores.rows]
        learned = pad([lesson.learned[i] for i in indices], device)[0].bool()
        logprobs = scores.logprobs
        advantages = lesson.advantages[indices].to(device)[:, None]
        if scores.divergence is None:
            told = [self._teacher.logprobs(row) for row in scores.rows]
            behind = logprobs.detach() - pad_sequence(told, batch_first=True).to(device)
            losses = -(advantages - weight * behind) * logprobs
        else:
            behind = scores.divergence.detach()
            losses = -advantages * logprobs + weight * scores.divergence
        means.add("divergence", behind, learned)
        means.add("entropy", scores.entropy, learned)
        self._add_drift(scores, lesson, means)
        return torch.where(learned, losses, 0.0).sum()

    @staticmethod
    def _add_drift(scores: Scores, lesson: Lesson, means: TokenMeans) -> None:
        """How far the sampling engine's log-probabilities are from the policy's."""
        told = [lesson.sampler[row.index] for row in scores.rows]
        known = torch.tensor([each is not None for each in told], device=scores.mask.device)
        padded = [torch.zeros(1) if each is None else each for each in told]
        sampler = torch.zeros_like(scores.logprobs.detach())
        values = pad_sequence(padded, batch_first=True).to(sampler)
        sampler[:, : values.shape[1]] = values
        drift = (scores.logprobs.detach() - sampler).abs()
        mask = scores.mask & known[:, None]
        means.add("drift", drift, mask)
        means.highest("drift/max", drift, mask)

    def _clip(self) -> float:
        """Clips the gradients to ``max_grad_norm`` and returns their norm before that."""
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        norm = torch.nn.utils.clip_grad_norm_(parameters, self._stage.max_grad_norm)
        return float(sharding.whole(norm))
