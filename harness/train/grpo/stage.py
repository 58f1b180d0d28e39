"""The GRPO stage: draw, score, weigh, update.

Where this departs from the textbook (DeepSeek-R1, eq. 1-3): the standard deviation has TRL's epsilon;
the KL estimate is bounded for tokens that the policy has all but given up (``loss.kl_estimates``);
completions without a gradient are left out of the backward pass, which does not change it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch

from evals import templates
from harness.config import GRPO
from harness.engines.registry import send
from harness.models.flops import shape_of
from harness.rewards import make_mix
from harness.train.curriculum import CurriculumStream, stream_of
from harness.train.grpo.advantages import advantage_of, advantages
from harness.train.grpo.metrics import batch_metrics, rollout_flops, sample_rows
from harness.train.grpo.monitors import check_drift
from harness.train.grpo.prefetch import Ahead, staleness
from harness.train.grpo.reference import make_reference
from harness.train.grpo.rollout import Sampler, informative
from harness.train.grpo.update import Updater, rows_of
from harness.train.ledger import judge_file
from harness.train.loop import Learner, StageRun, Step
from harness.train.micro_batch import MicroBatch
from harness.train.probe import Probe
from harness.train.rollouts import Graders
from harness.train.stream import Prompts


class GrpoLearner(Learner):
    """A step samples groups of completions, scores them and learns their advantages."""

    syncs = True

    def __init__(self, stage: GRPO, given: StageRun, graders: Graders) -> None:
        run, policy, engine, first_step = given.run, given.policy, given.sampler, given.first_step
        self._run = run
        self._stage = stage
        self._policy = policy
        self._engine = engine
        self._first_step = first_step
        template = run.experiment.policy.template
        prompts = Prompts(given.questions, template, policy)
        seed = run.experiment.seed
        groups = stage.completions_per_step // stage.group_size
        self.stream = stream_of(run.experiment.data, prompts, seed, stage.steps, groups)
        self._sampler = Sampler(
            engine,
            graders,
            make_mix(stage.rewards, judge_file(run.folder, stage.name)),
            stage=stage,
            stream=self.stream,
            seed=seed,
            first_step=first_step,
            stop=templates.stops(template, policy.tokenizer),
        )
        self._ahead = (
            Ahead(self._sampler, stage, prompts, engine, first_step + stage.steps)
            if stage.rollout_ahead
            else None
        )
        self.overlaps = self._ahead is not None
        self.reference = make_reference(policy, stage.reference) if stage.beta > 0 else None
        self.micro_batch = MicroBatch(stage.micro_batch_tokens, run.micro_batch(stage.name))
        self._updater = Updater(policy, stage, self.reference, self.micro_batch, seed)
        self.optimizer = self._updater.optimizer
        self._advantage = advantage_of(stage)
        self._shape = shape_of(policy.model)
        self._probe = Probe(engine, self._updater.scorer, policy, stage.temperature, stage.probe_limit)

    def step(self, step: int, spent: float) -> Step:
        """A batch drawn, learned and sent to the engine, whose sampling is checked."""
        stage, model = self._stage, self._policy.model
        of_stage = step - self._first_step
        batch = self._ahead.take(step) if self._ahead else self._sampler.draw(step)
        drawn = time.perf_counter()
        rewards = torch.tensor([group.rewards for group in batch.groups], dtype=torch.float64)
        lengths = torch.tensor([[rollout.tokens for rollout in g.rollouts] for g in batch.groups])
        batch = batch.weighed(advantages(rewards, stage, lengths, self._advantage))
        if self._ahead is not None:
            self._ahead.start(step)
        if isinstance(self.stream, CurriculumStream):
            self.stream.park([group.prompt.place for group in batch.sampled if not informative(group)])
        metrics = batch_metrics(batch, stage) | staleness(batch, step)
        started = time.perf_counter()
        metrics["seconds/reward"] += started - drawn
        if self._ahead is None:
            self._engine.release()
        failed = self._run.folder / f"failed-step-{step}.json"
        metrics["flops/rollout"] = rollout_flops(batch, self._shape)
        metrics |= self._updater.update(rows_of(batch.groups, stage.mask_truncated), of_stage, failed, spent)
        if self.reference is not None:
            self.reference.follow(model, of_stage)
        waited = 0.0
        if self._ahead is None:
            self._engine.resume()
        else:
            waited = self._ahead.wait()
            metrics["seconds/rollout"] += waited
        send(self._engine, self._policy)
        if self._ahead is not None:
            self._ahead.moved(step)
        metrics |= self._probe.check()
        if self._ahead is None:  # else drawn by the policy of an earlier step, which an update explains
            check_drift(self._engine, self._policy, metrics.get("drift", 0.0))
        metrics["seconds/update"] = time.perf_counter() - started - waited
        return Step(metrics, partial(sample_rows, batch, step))

    def synced(self) -> None:
        self._probe.check()

    def state(self) -> dict[str, Any]:
        state = self._updater.entropy.state()
        if isinstance(self.stream, CurriculumStream):
            state["parked"] = self.stream.parked
        return state if self._ahead is None else state | self._ahead.state()

    def restore(self, state: Mapping[str, Any]) -> None:
        if self.reference is not None:
            self.reference.restore(state.get("reference"))
        if isinstance(self.stream, CurriculumStream):
            self.stream.parked = dict(state["parked"])
        self._updater.entropy.restore(state)
        if self._ahead is not None:
            self._ahead.restore(state)

    def close(self) -> None:
        if self._ahead is not None:
            self._ahead.close()
