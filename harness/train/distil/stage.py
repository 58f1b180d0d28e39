"""On-policy distillation: the policy samples, a teacher scores its tokens, the policy learns from that.

Where it departs from TRL's ``DistillationTrainer``: rewards may be learned besides, examples may be mixed in
(GKD's lambda), and "sampled" takes the log-probabilities of the sampled tokens alone, as TRL's iw_opd does
without its weights.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch

from evals import templates
from harness.config import GRPO, SFT, OnPolicyDistill, tasks_of
from harness.engines.registry import send
from harness.models.flops import shape_of
from harness.models.policy import Policy
from harness.rewards import make_mix
from harness.train.batching import Row
from harness.train.curriculum import stream_of
from harness.train.distil.teacher import make_teacher
from harness.train.distil.update import DistilUpdater, Lesson
from harness.train.grpo.advantages import advantages
from harness.train.grpo.metrics import batch_metrics, rollout_flops, sample_rows
from harness.train.grpo.monitors import check_drift
from harness.train.grpo.rollout import Batch, Sampler
from harness.train.ledger import judge_file
from harness.train.loop import Learner, StageRun, Step
from harness.train.micro_batch import MicroBatch
from harness.train.probe import Probe
from harness.train.rollouts import Graders
from harness.train.run_dir import Run
from harness.train.sft.data import load_examples
from harness.train.sft.encoding import Limit, encode
from harness.train.sft.stored import Stored, Tokens
from harness.train.stream import Prompts, Stream


def rollouts_of(stage: OnPolicyDistill) -> GRPO:
    """A "grpo" stage that samples and scores as this one does."""
    return GRPO(
        name=stage.name,
        steps=stage.steps,
        completions_per_step=stage.sampled,
        group_size=stage.group_size,
        temperature=stage.temperature,
        max_tokens=stage.max_tokens,
        rewards=stage.rewards,
        scale_rewards=stage.scale_rewards,
        mask_truncated=stage.mask_truncated,
    )


class DistilLearner(Learner):
    """A step samples completions, has the teacher score them, and makes one update."""

    syncs = True

    def __init__(self, stage: OnPolicyDistill, given: StageRun, graders: Graders) -> None:
        run, policy, engine, first_step = given.run, given.policy, given.sampler, given.first_step
        self._stage, self._rollouts = stage, rollouts_of(stage)
        self._policy, self._engine = policy, engine
        self._first_step = first_step
        template, seed = run.experiment.policy.template, run.experiment.seed
        prompts, groups = Prompts(given.questions, template, policy), stage.sampled // stage.group_size
        self.stream = stream_of(run.experiment.data, prompts, seed, stage.steps, groups)
        judged = judge_file(run.folder, stage.name)
        self._sampler = Sampler(
            engine,
            graders,
            make_mix(stage.rewards, judged, some_count=False),
            stage=self._rollouts,
            stream=self.stream,
            seed=seed,
            first_step=first_step,
            stop=templates.stops(template, policy.tokenizer),
        )
        self._recorded = Stream(_recorded(run, stage, policy), seed) if stage.recorded else None
        self.micro_batch = MicroBatch(stage.micro_batch_tokens, run.micro_batch(stage.name))
        self._updater = DistilUpdater(policy, stage, make_teacher(stage, policy), self.micro_batch)
        self._probe = Probe(engine, self._updater.scorer, policy, stage.temperature, None)
        self.optimizer = self._updater.optimizer
        self._shape = shape_of(policy.model)

    def step(self, step: int, spent: float) -> Step:
        """A batch drawn, scored by the teacher, learned and sent to the engine, whose sampling is checked."""
        batch = self._sampler.draw(step)
        rewards = torch.tensor([group.rewards for group in batch.groups], dtype=torch.float64)
        batch = batch.weighed(advantages(rewards, self._rollouts))
        recorded = [] if self._recorded is None else self._recorded.take(self._stage.recorded)
        metrics = batch_metrics(batch, self._rollouts)
        metrics["flops/rollout"] = rollout_flops(batch, self._shape)
        started = time.perf_counter()
        self._engine.release()
        lesson = lesson_of(batch, recorded, self._stage)
        metrics |= self._updater.update(lesson, step - self._first_step, spent)
        metrics["tokens"] += sum(sum(example.learned) for example in recorded)
        self._engine.resume()
        send(self._engine, self._policy)
        metrics |= self._probe.check()
        check_drift(self._engine, self._policy, metrics.get("drift", 0.0))
        metrics["seconds/update"] = time.perf_counter() - started - metrics["seconds/teacher"]
        return Step(metrics, partial(sample_rows, batch, step))

    def synced(self) -> None:
        self._probe.check()

    def state(self) -> dict[str, Any]:
        return {"recorded": None if self._recorded is None else self._recorded.position}

    def restore(self, state: Mapping[str, Any]) -> None:
        if self._recorded is not None:
            self._recorded.position = state["recorded"]


def lesson_of(batch: Batch, recorded: list[Tokens], stage: OnPolicyDistill) -> Lesson:
    """The batch's completions, group after group, then the recorded ones, a group each, of no advantage."""
    rows: list[Row] = []
    learned: list[tuple[bool, ...]] = []
    sampler: list[torch.Tensor | None] = []
    weights: list[float | None] = []
    for number, group in enumerate(batch.groups):
        for rollout in group.rollouts:
            completion = rollout.completion
            rows.append(Row(len(rows), number, group.prompt_ids, completion.token_ids))
            learned.append((not (stage.mask_truncated and rollout.truncated),) * len(completion.token_ids))
            sampler.append(torch.tensor(completion.logprobs))
            weights.append(rollout.advantage)
    for number, example in enumerate(recorded, len(batch.groups)):
        rows.append(Row(len(rows), number, example.prompt, example.rest))
        learned.append(example.learned)
        sampler.append(None)
        weights.append(0.0)
    return Lesson(tuple(rows), tuple(learned), torch.tensor(weights, dtype=torch.float32), tuple(sampler))


def _recorded(run: Run, stage: OnPolicyDistill, policy: Policy) -> Stored:
    """The examples of ``stage.data``, as an "sft" stage takes them."""
    experiment = run.experiment
    examples = load_examples(
        SFT(name=stage.name, data=stage.data),
        policy,
        experiment.policy.template,
        run.folder / "data",
        experiment.seed,
        tasks_of(experiment.tasks),
    )
    return encode(examples, policy, Limit(policy.positions, "refuse"), run.folder)
