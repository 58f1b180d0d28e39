"""One training step's update: the batch through the loss, into optimiser steps."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch.nn.utils.rnn import pad_sequence

from evals.base import io
from evals.base.errors import JobError
from harness.config import GRPO
from harness.models import dist, sharding
from harness.models.flops import shape_of, update_cost
from harness.models.policy import Policy
from harness.train.batching import Row, level, my_rows, plan
from harness.train.forward import Scorer, Scores, evaluation_mode
from harness.train.grpo.choosing import choose, marked
from harness.train.grpo.entropy import EntropyWeight
from harness.train.grpo.loss import Denominators, TokenTerms, grpo_loss, loss_of
from harness.train.grpo.losses.base import Choosing
from harness.train.grpo.metrics import TokenMeans
from harness.train.grpo.reference import Reference
from harness.train.micro_batch import MicroBatch
from harness.train.optimizer import learning_rate_at, make_optimizer, take_step
from harness.train.rollouts import RolloutGroup


def rows_of(groups: Sequence[RolloutGroup], mask_truncated: bool) -> list[Row]:
    """The rollouts of the groups, group after group; ``mask_truncated`` as the stage has it.

    Raises:
        ValueError: one has no advantage.
    """
    rows: list[Row] = []
    for number, group in enumerate(groups):
        for rollout in group.rollouts:
            if rollout.advantage is None:
                raise ValueError(f"question {rollout.question.id}: a rollout has no advantage")
            ids, sampler = rollout.completion.token_ids, rollout.completion.logprobs
            counts = not (mask_truncated and rollout.truncated)
            rows.append(Row(len(rows), number, group.prompt_ids, ids, rollout.advantage, sampler, counts))
    return rows


def loss_tokens(rows: Sequence[Row]) -> int:
    """Completion tokens of ``rows`` that are in the loss."""
    return sum(len(row.completion_ids) for row in rows if row.counts)


def split(rows: Sequence[Row], minibatches: int) -> list[list[Row]]:
    """The rows in ``minibatches`` parts of equally many whole groups, in order."""
    size = (rows[-1].group + 1) // minibatches
    return [[row for row in rows if row.group // size == part] for part in range(minibatches)]


@dataclass(frozen=True)
class _Known:
    """Log-probabilities by row index under the old and the reference policy; None: not needed."""

    old: list[torch.Tensor] | None
    reference: list[torch.Tensor] | None


class Updater:
    """Owns the optimiser and the size of the micro-batches."""

    def __init__(
        self,
        policy: Policy,
        stage: GRPO,
        reference: Reference | None,
        micro_batch: MicroBatch,
        seed: int = 0,
    ) -> None:
        """``seed``: the run's, for losses that choose tokens by chance."""
        self.micro_batch = micro_batch
        self.optimizer = make_optimizer(policy.model, stage)
        self._policy = policy
        self._stage = stage
        self._loss = loss_of(stage)
        self._seed = seed
        self.entropy = EntropyWeight(stage.entropy_bonus)
        self._shape = shape_of(policy.model)
        self.scorer = Scorer(policy.model, policy, stage.temperature, stage.packing)
        self._reference = reference
        self._reference_scorer = None
        if reference is not None:
            with reference.applied():
                self._reference_scorer = Scorer(reference.model, policy, stage.temperature, stage.packing)

    def update(self, rows: Sequence[Row], step: int, failed: Path, spent: float = 0.0) -> dict[str, float]:
        """Every epoch and minibatch of the stage's step ``step``; returns its metrics.

        ``spent`` is the part of the run's budget that is gone (see ``learning_rate_at``).

        Raises:
            JobError: a loss or gradient is not finite (the minibatch is then in the file ``failed``), or
                memory does not suffice for the smallest micro-batch.
        """
        learning_rate = learning_rate_at(self._stage, step, spent)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        means, losses, norms = TokenMeans(), [], []
        rows = self._chosen(rows, step)
        with evaluation_mode(self._policy.model):
            known = self._known(rows)
            tokens_each = loss_tokens(rows) / self._stage.minibatches
            for _ in range(self._stage.epochs):
                for minibatch in split(rows, self._stage.minibatches):
                    work = partial(self._gradients, minibatch, tokens_each, known)
                    loss, tokens = self.micro_batch.fitting(work)
                    norm = self._clip()
                    if not (math.isfinite(loss) and math.isfinite(norm)):
                        if dist.is_main():
                            _save(failed, minibatch)
                        raise JobError(
                            f"training diverged: loss {loss}, gradient norm {norm}; see {failed} for the "
                            "minibatch, and lower learning_rate"
                        )
                    take_step(self.optimizer, self._stage)
                    for part in dist.gather(tokens.on_cpu()):
                        means.merge(part)
                    losses.append(loss)
                    norms.append(norm)
            self.optimizer.zero_grad(set_to_none=True)
        found = means.values()
        if self.entropy.adapts:
            found["entropy/weight"] = self.entropy.value
            self.entropy.follow(found.get("entropy"))
        if isinstance(self._loss, Choosing):
            found["chosen"] = sum(len(row.chosen) for row in rows) / max(loss_tokens(rows), 1)
        return found | {
            "loss": sum(losses) / len(losses),
            "grad_norm": sum(norms) / len(norms),
            "learning_rate": learning_rate,
            "flops/update": self._flops(rows),
        }

    def _chosen(self, rows: Sequence[Row], step: int) -> Sequence[Row]:
        """The rows, with what the loss chooses of each minibatch where it is one that chooses."""
        if not isinstance(self._loss, Choosing):
            return rows
        parts = enumerate(split(rows, self._stage.minibatches))
        return [row for i, part in parts for row in choose(self._loss, part, (self._seed, step, i))]

    def _flops(self, rows: Sequence[Row]) -> float:
        """Model FLOPs of the update: gradients each epoch, old and reference log-probabilities once."""
        groups: dict[int, list[Row]] = {}
        for row in self._needed(rows):
            groups.setdefault(row.group, []).append(row)
        once = sum(
            self._shape.forward(len(group[0].prompt_ids), [len(row.completion_ids) for row in group])
            for group in groups.values()
        )
        moves = self._stage.epochs * self._stage.minibatches > 1
        passes = self._stage.epochs * update_cost(self._policy.lora) + moves + (self._reference is not None)
        return once * passes

    def _known(self, rows: Sequence[Row]) -> _Known:
        needed = self._needed(rows)
        mine = [row for part in split(rows, self._stage.minibatches) for row in self._mine(part)]
        moves = self._stage.epochs * self._stage.minibatches > 1

        def score(scorer: Scorer) -> list[torch.Tensor]:
            return self.micro_batch.fitting(
                lambda: scorer.score(
                    level(plan(mine, self.micro_batch.tokens, scorer.may_share, scorer.may_pack), needed),
                    len(rows),
                )
            )

        return _Known(
            old=score(self.scorer) if needed and moves else None,
            reference=self._under_reference(score) if needed else None,
        )

    def _under_reference(self, score: Callable[[Scorer], list[torch.Tensor]]) -> list[torch.Tensor] | None:
        if self._reference is None or self._reference_scorer is None:
            return None
        with self._reference.applied():
            return score(self._reference_scorer)

    def _needed(self, rows: Sequence[Row]) -> list[Row]:
        """The rows with a gradient: without KL and entropy terms and chosen tokens, an advantage of 0 leaves
        nothing."""
        every = self._stage.beta > 0 or self._stage.entropy_bonus.counts
        return [row for row in rows if row.counts and (every or row.advantage != 0 or row.chosen)]

    def _mine(self, minibatch: Sequence[Row]) -> list[Row]:
        """The rows with a gradient that this process has to learn from."""
        return my_rows(self._needed(minibatch))

    def _gradients(
        self, minibatch: Sequence[Row], mean_tokens: float, known: _Known
    ) -> tuple[float, TokenMeans]:
        """The loss of one minibatch and its tokens' metrics; its gradients are left in the parameters.

        ``mean_tokens``: tokens in the loss of one of the batch's minibatches, on average.
        """
        self.optimizer.zero_grad(set_to_none=True)
        whole = Denominators(
            sequences=len(minibatch),
            tokens=loss_tokens(minibatch),
            mean_tokens=mean_tokens,
        )
        loss, means = torch.zeros((), device=self._policy.device), TokenMeans()
        mine = plan(
            self._mine(minibatch), self.micro_batch.tokens, self.scorer.may_share, self.scorer.may_pack
        )
        for block in level(mine, self._needed(minibatch)):
            for scores in self.scorer.micro_batches(block):
                if block.idle:
                    (scores.logprobs.sum() * 0).backward()  # type: ignore[no-untyped-call]
                    continue
                terms = _terms(scores, known)
                share = grpo_loss(terms, self._stage, whole, self._loss, self.entropy.value)
                share.value.backward()  # type: ignore[no-untyped-call]
                loss += share.value.detach()
                means.add_loss(share, terms)
        return sum(dist.gather(float(loss))), means

    def _clip(self) -> float:
        """Clips the gradients to ``max_grad_norm`` and returns their norm before that."""
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        for parameter in parameters:
            # Nothing reached it (no completion had an advantage): the optimiser's momentum still moves on.
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        norm = torch.nn.utils.clip_grad_norm_(parameters, self._stage.max_grad_norm)
        return float(sharding.whole(norm))


def _terms(scores: Scores, known: _Known) -> TokenTerms:
    rows, device = scores.rows, scores.mask.device

    def padded(values: Sequence[torch.Tensor]) -> torch.Tensor:
        return pad_sequence(list(values), batch_first=True).to(device)

    def of_rows(values: Sequence[torch.Tensor] | None) -> torch.Tensor | None:
        return None if values is None else padded([values[row.index] for row in rows])

    return TokenTerms(
        logprobs=scores.logprobs,
        mask=scores.mask,
        advantages=torch.tensor([row.advantage for row in rows], dtype=torch.float32, device=device),
        old=of_rows(known.old),
        reference=of_rows(known.reference),
        sampler=padded([torch.tensor(row.sampler) for row in rows]),
        entropy=scores.entropy,
        chosen=marked(rows, scores.mask),
    )


def _save(path: Path, minibatch: Sequence[Row]) -> None:
    rows = [
        {
            "prompt_ids": row.prompt_ids,
            "completion_ids": row.completion_ids,
            "advantage": row.advantage,
            "sampler_logprobs": row.sampler,
        }
        for row in minibatch
    ]
    io.write_json(path, rows)
