"""The loop under every stage that trains: resume, step, log, evaluate, checkpoint, stop.

What a step does, and what has to be remembered between two of them, is the stage's ``Learner``.
"""

from __future__ import annotations

import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from rich.text import Text

from evals import templates
from evals.base import io
from evals.base.errors import JobError
from evals.task import Question, Task
from harness.config import Training
from harness.engines.registry import RolloutEngine, send
from harness.models import dist, sharding
from harness.models.devices import memory_gib
from harness.models.policy import Policy
from harness.train import checkpoint, dev_eval
from harness.train.advice import Watch
from harness.train.budget import Meter
from harness.train.forward import Scorer
from harness.train.grpo.reference import Reference
from harness.train.ledger import devices, judge_file
from harness.train.mfu import utilisation
from harness.train.micro_batch import MicroBatch
from harness.train.probe import Probe
from harness.train.rollouts import Graders
from harness.train.run_dir import Run
from harness.train.stream import Prompt, Prompts, Stream

log = logging.getLogger(__name__)
Questions = Sequence[tuple[Task, Question]]


@dataclass(frozen=True)
class StageRun:
    """All that a stage trains with but its own settings.

    Args:
        run: an open run folder.
        policy: the stage's initial policy, float32 weights.
        engine: what samples it, if anything does; it gets the weights whenever it is to sample.
        questions: what prompts are drawn from, in a stage that samples.
        dev_questions: evaluated every ``eval_every`` steps and after the last one; may be empty.
        first_step: the training steps of the experiment's earlier stages.
        on_step: called with each step's row of metrics.jsonl.
        should_stop: asked before each step; a reason ends the stage as pruned.
        show: gets the first example of fine-tuning, its learned part marked.
    """

    run: Run
    policy: Policy
    engine: RolloutEngine | None
    questions: Questions = ()
    dev_questions: Questions = ()
    first_step: int = 0
    on_step: Callable[[dict[str, Any]], None] | None = None
    should_stop: Callable[[], str | None] | None = None
    show: Callable[[Text], None] | None = None

    @property
    def sampler(self) -> RolloutEngine:
        """The engine, of a stage that cannot do without one.

        Raises:
            ValueError: there is none.
        """
        if self.engine is None:
            raise ValueError("this kind of stage samples, and was given no engine")
        return self.engine


@dataclass(frozen=True)
class Outcome:
    """How a stage ended: "done" after its last step, or "pruned" after ``step`` for ``reason``."""

    state: Literal["done", "pruned"]
    step: int
    reason: str = ""


@dataclass(frozen=True)
class Step:
    """What a step came to: its metrics, and rows for samples.jsonl, made only where they are logged.

    The metrics hold ``seconds/PHASE`` and ``flops/PHASE`` for the phases "rollout" and "update" where the
    step has them: the loop adds utilisation, memory and dev figures.
    """

    metrics: dict[str, float]
    samples: Callable[[], Sequence[Mapping[str, object]]] = tuple


class Learner(ABC):
    """One stage's way to learn: all of its state that is not in the policy.

    The loop keeps the state of ``optimizer``, ``stream`` and ``micro_batch`` in checkpoints, and what
    ``state`` returns besides.
    """

    optimizer: torch.optim.Optimizer
    stream: Stream[Any]
    """What the steps take their prompts or examples from."""
    micro_batch: MicroBatch
    reference: Reference | None = None
    """A reference policy that checkpoints have to keep."""
    syncs = False
    """Whether each step leaves the engine with the policy's weights; else the loop sends them when due."""
    overlaps = False
    """Whether rollouts run beside updates: then their seconds say nothing of how well they use the device."""

    @abstractmethod
    def step(self, step: int, spent: float) -> Step:
        """Training step ``step`` of the experiment; ``spent`` is the part of its budget that is gone.

        Raises:
            JobError: training diverged, or memory does not suffice.
        """

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps beyond what the loop does; tensors and plain data."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:  # noqa: B027 (most keep nothing more)
        """Takes a checkpoint's whole state; what the loop keeps is back in place already."""

    def synced(self) -> None:  # noqa: B027 (most sample nothing)
        """Looks at an engine that the loop has sent the weights.

        Raises:
            JobError: it samples another policy.
        """

    def close(self) -> None:  # noqa: B027 (most have nothing beside the loop)
        """Ends what goes on beside the loop."""


def run_stage(stage: Training, given: StageRun, make: Callable[[StageRun, Graders], Learner]) -> Outcome:
    """Trains ``given.policy`` in place for ``stage.steps`` steps, or for what an earlier launch left of them.

    The newest undamaged checkpoint of ``given.run`` is resumed, to the same bits on a CPU. ``make`` is called
    once, with the stage's graders, where there is a step to do.

    Raises:
        JobError: a step failed, a checkpoint cannot be read or written, or belongs to another stage.
    """
    run, policy, first_step = given.run, given.policy, given.first_step
    last_step = first_step + stage.steps
    saved = dist.decided(lambda: checkpoint.newest(run.checkpoints))
    step = first_step if saved is None else max(first_step, checkpoint.step_of(saved))
    if step > last_step:  # a later stage has begun
        return Outcome("done", last_step)
    with Graders(judge_file(run.folder, stage.name)) as graders:
        dev = list(Prompts(given.dev_questions, run.experiment.policy.template, policy))
        learner = make(given, graders)
        stop = templates.stops(run.experiment.policy.template, policy.tokenizer)
        loop = _Loop(stage, given, learner, _Dev(graders, dev, stop))
        try:
            if saved is not None and step > first_step:
                loop.resume(saved)
            else:
                loop.begin()
            run.rewind(step if step else -1)
            loop.look_back()
            meter = Meter(run.folder, run.experiment)
            if step == 0 and stage.eval_every:
                loop.log_start()
            while step < last_step and not meter.exhausted:
                reason = dist.decided(given.should_stop) if given.should_stop else None
                if reason is not None:
                    return Outcome("pruned", step, reason)
                step += 1
                row = loop.step(step, step - first_step, meter)
                if given.on_step:
                    given.on_step(row)
            loop.end()
        finally:
            learner.close()
    return Outcome("done", step)


@dataclass(frozen=True)
class _Dev:
    """What dev evaluations ask, and what grades them."""

    graders: Graders
    prompts: Sequence[Prompt]
    stop: Sequence[str]
    """The template's strings that end a completion."""


class _Loop:
    """What surrounds the steps of one stage, and its state on disk."""

    def __init__(self, stage: Training, given: StageRun, learner: Learner, dev: _Dev) -> None:
        self._run, self._policy, self._engine = given.run, given.policy, given.engine
        self._stage = stage
        self._learner = learner
        self._dev = dev
        self._keeper = checkpoint.Keeper(given.run.checkpoints, stage, learner.reference)
        self._watch = Watch(stale=learner.overlaps)
        self._probe = None
        if given.engine is not None and not learner.syncs:
            scorer = Scorer(given.policy.model, given.policy, stage.temperature)
            self._probe = Probe(given.engine, scorer, given.policy, stage.temperature, None)

    def begin(self) -> None:
        """Before the stage's first step."""
        self._keeper.begin()
        checkpoint.seed_everything(self._run.experiment.seed)

    def resume(self, path: Path) -> None:
        """Goes back to a checkpoint of this stage.

        Raises:
            JobError: the checkpoint cannot be read, or belongs to another stage.
        """
        state = checkpoint.read(path, self._policy.model)
        if state["stage"] != self._stage.name:
            raise JobError(f"{path}: a checkpoint of stage {state['stage']}, not {self._stage.name}")
        learner = self._learner
        sharding.load_optimizer(learner.optimizer, state["optimizer"], state.get("moments"))
        learner.micro_batch.restore(state["budget"])
        self._keeper.resume(state, path)
        learner.stream.position = state["position"]
        learner.restore(state)
        self._sync()

    def look_back(self) -> None:
        """Takes in what earlier launches logged of this stage, of which they have warned."""
        for row in io.read_lines(self._run.metrics_path):
            if row["stage"] == self._stage.name:
                self._watch.see(row)

    def log_start(self) -> None:
        """Step 0: the dev figures of the policy that training starts from."""
        found = self._evaluate()
        if found:
            self._log(0, found)

    def step(self, step: int, of_stage: int, meter: Meter) -> dict[str, Any]:
        """Step ``step`` of the experiment, ``of_stage`` of its stage; returns its row of metrics."""
        stage = self._stage
        done = self._learner.step(step, meter.share)
        metrics = done.metrics
        metrics |= utilisation(metrics, self._policy, devices())
        if self._learner.overlaps:
            metrics.pop("mfu/rollout", None)
        metrics["memory_gib"] = memory_gib(self._policy.device)
        meter.count(metrics)
        last = of_stage == stage.steps or meter.exhausted
        if last or (stage.eval_every and of_stage % stage.eval_every == 0):
            metrics |= self._evaluate()
            self._run.log_samples(done.samples())
        row = self._log(step, metrics)
        due = last or of_stage % stage.checkpoint_every == 0
        self._keeper.after(step, metrics, self._policy, self._state, due)
        return row

    def end(self) -> None:
        """After the last step: what comes next may sample."""
        if not self._learner.syncs:
            self._sync()

    def _log(self, step: int, metrics: Mapping[str, float]) -> dict[str, Any]:
        row = self._run.log(step, self._stage.name, metrics)
        for advice in self._watch.see(row):
            if dist.is_main():
                log.warning("%s", advice)
        return row

    def _evaluate(self) -> dict[str, float]:
        if not self._dev.prompts or self._engine is None:
            return {}
        if not self._learner.syncs:
            self._sync()
        started = time.perf_counter()
        samples = self._run.experiment.data.dev_samples
        dev = self._dev
        found = dev_eval.evaluate(self._engine, dev.graders, dev.prompts, samples, self._stage, dev.stop)
        return found | {"seconds/dev": time.perf_counter() - started}

    def _sync(self) -> None:
        if self._engine is not None:
            send(self._engine, self._policy)
            self._learner.synced()
            if self._probe is not None:
                self._probe.check()

    def _state(self) -> dict[str, Any]:
        return {
            "stage": self._stage.name,
            "optimizer": self._learner.optimizer.state_dict(),
            "position": self._learner.stream.position,
            "budget": self._learner.micro_batch.tokens,
            **self._learner.state(),
        }
