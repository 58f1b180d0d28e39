"""Supervised fine-tuning: the policy learns responses token by token, all else is only read.

A step's loss is the mean negative log-likelihood over all learned tokens of its batch, ends of turns and of
sequences included. Responses run through the same scorer as GRPO's update: rows of like length together, a
token budget for each pass, no logits of the whole vocabulary.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

import torch
from rich.text import Text

from evals.base.errors import JobError
from evals.templates import Template
from harness.config import SFT, Pretrain, tasks_of
from harness.models import dist, sharding
from harness.models.flops import shape_of, update_cost
from harness.models.policy import Policy
from harness.train.batching import Row, level, my_rows, plan
from harness.train.forward import Scorer, evaluation_mode
from harness.train.loop import Learner, StageRun, Step
from harness.train.micro_batch import MicroBatch
from harness.train.optimizer import learning_rate_at, make_optimizer, take_step
from harness.train.rollouts import Graders
from harness.train.run_dir import Run
from harness.train.sft.data import load_examples, load_texts
from harness.train.sft.encoding import Limit, encode, pack
from harness.train.sft.preview import counts, preview
from harness.train.sft.stored import Stored, Tokens
from harness.train.states import pad
from harness.train.stream import Stream


class SftLearner(Learner):
    """A step learns the responses of one batch of examples."""

    def __init__(self, stage: SFT, given: StageRun, _graders: Graders) -> None:
        run, policy, show = given.run, given.policy, given.show
        self._stage = stage
        self._first_step = given.first_step
        learned = _learned(stage, policy, run.experiment.policy.template, run)
        if show is not None and not isinstance(stage, Pretrain):
            show(Text(f"{stage.name}: {len(learned)} examples; the first one, of {counts(learned[0])}:"))
            show(preview(learned[0], policy.tokenizer))
        self.stream = Stream(learned, run.experiment.seed)
        self.micro_batch = MicroBatch(stage.micro_batch_tokens, run.micro_batch(stage.name))
        self._updater = SftUpdater(policy, stage, self.micro_batch)
        self.optimizer = self._updater.optimizer

    def step(self, step: int, spent: float) -> Step:
        """One optimiser step on the next batch."""
        started = time.perf_counter()
        batch = self.stream.take(self._stage.batch_size)
        metrics = self._updater.update(batch, step - self._first_step, spent)
        metrics["seconds/update"] = time.perf_counter() - started
        return Step(metrics)


class SftUpdater:
    """Owns the optimiser and the size of the micro-batches."""

    def __init__(self, policy: Policy, stage: SFT, micro_batch: MicroBatch) -> None:
        self.micro_batch = micro_batch
        self.optimizer = make_optimizer(policy.model, stage)
        self._policy = policy
        self._stage = stage
        self._shape = shape_of(policy.model)
        self._scorer = Scorer(policy.model, policy, 1.0, stage.packing)

    def update(self, batch: Sequence[Tokens], step: int, spent: float = 0.0) -> dict[str, float]:
        """One optimiser step on the stage's step ``step``; returns its metrics.

        ``spent`` is the part of the run's budget that is gone (see ``learning_rate_at``).

        Raises:
            JobError: the loss or a gradient is not finite, or memory does not suffice.
        """
        learning_rate = learning_rate_at(self._stage, step, spent)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        rows = [Row(i, i, example.prompt, example.rest) for i, example in enumerate(batch)]
        with evaluation_mode(self._policy.model):
            loss = self.micro_batch.fitting(lambda: self._gradients(rows, batch))
            parameters = [p for p in self._policy.model.parameters() if p.requires_grad]
            clipped = torch.nn.utils.clip_grad_norm_(parameters, self._stage.max_grad_norm)
            norm = float(sharding.whole(clipped))
            if not (math.isfinite(loss) and math.isfinite(norm)):
                raise JobError(f"training diverged: loss {loss}, gradient norm {norm}; lower learning_rate")
            take_step(self.optimizer, self._stage)
            self.optimizer.zero_grad(set_to_none=True)
        return {
            "loss": loss,
            "grad_norm": norm,
            "learning_rate": learning_rate,
            "tokens": float(sum(sum(example.learned) for example in batch)),
            "flops/update": update_cost(self._policy.lora)
            * sum(self._shape.forward(len(row.prompt_ids), [len(row.completion_ids)]) for row in rows),
        }

    def _gradients(self, rows: Sequence[Row], batch: Sequence[Tokens]) -> float:
        self.optimizer.zero_grad(set_to_none=True)
        tokens = sum(sum(example.learned) for example in batch)
        total = torch.zeros((), device=self._policy.device)
        mine = plan(my_rows(rows), self.micro_batch.tokens, False, self._scorer.may_pack)
        for block in level(mine, rows):
            for scores in self._scorer.micro_batches(block):
                learned, _ = pad([batch[row.index].learned for row in scores.rows], scores.logprobs.device)
                loss = -(scores.logprobs * learned).sum() / tokens * (not block.idle)
                loss.backward()  # type: ignore[no-untyped-call]
                total += loss.detach()
        return sum(dist.gather(float(total)))


def _learned(stage: SFT, policy: Policy, template: str | Template, run: Run) -> Stored:
    """What the stage learns from, in tokens."""
    seed, tasks, folder = run.experiment.seed, tasks_of(run.experiment.tasks), run.folder
    if isinstance(stage, Pretrain):
        return pack(load_texts(stage, policy, template, seed), policy, stage.sequence_length, folder)
    limit = Limit(min(stage.max_length or policy.positions, policy.positions), stage.too_long)
    examples = load_examples(stage, policy, template, folder / "data", seed, tasks)
    return encode(examples, policy, limit, folder)
