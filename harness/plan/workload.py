"""How much there is to do: tokens and model FLOPs of an experiment's parts, from its settings alone.

What settings do not say is assumed and said: how long responses are (half of what is allowed, unless told or
measured), and how many tokens a prompt has (a quarter of its characters, unless its tokenizer is here).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from evals.base.errors import UsageError
from evals.base.secrets import mask
from evals.graders.judge.client import Judge
from evals.price import Price
from evals.task import Question, Task, TaskError
from evals.tasks.registry import Tasks
from evals.templates import AUTO, PLAIN, TEXT, Template, find, render
from harness.config import (
    GRPO,
    SFT,
    Budget,
    Evaluate,
    Experiment,
    OnPolicyDistill,
    Policy,
    Pretrain,
    Reject,
    Training,
    parts,
    tasks_of,
)
from harness.config.server import Server
from harness.config.terms import RewardTerm
from harness.models.architecture import architecture
from harness.models.flops import BACKWARD, FROZEN_BACKWARD, Shape
from harness.rewards.judge_cache import named_judge
from harness.rewards.registry import JUDGE
from harness.train.budget import spent
from harness.train.ledger import Cost

CHARACTERS = 4
"""Characters a token, where no tokenizer says."""
LENGTH = 0.5
"""The assumed length of a response, as a part of what is allowed."""
RUBRIC, REPLY = 150, 60
"""The assumed tokens of what a judge is told besides, and of its reply: a sentence and a score."""
JUDGING = {"judge": (1, 180, REPLY), "alpaca_eval": (1, 350, 1), "arena_hard": (2, 400, 600)}
"""Grader -> requests a response, tokens of what a judge is told besides, and assumed tokens of a reply."""
TRACE = 200
"""The assumed length, in tokens, of a response in a file that is not read."""


@dataclass(frozen=True)
class Work:
    """One part: ``sampled`` and ``learned`` tokens and their FLOPs; ``batch`` completions at once.

    ``steps`` of training, or one for what is done once; ``policy`` is the model at work, ``length`` the
    assumed response in tokens. ``role`` is "train", "evaluate" (dev questions, while it trains) or "measure"
    (benchmarks, whatever is left of a budget).
    """

    name: str
    role: str
    policy: Policy
    steps: int
    sampled: float
    learned: float
    sampling_flops: float
    learning_flops: float
    batch: int
    prompt: float
    length: float
    note: str = ""
    beside: bool = False
    """Whether it is done in the steps of the part before it."""
    ahead: bool = False
    """Whether servers sample it while earlier steps are learned (``rollout_ahead``)."""
    reads: bool = False
    """Whether the model reads what another one has sampled, and writes nothing."""

    @property
    def flops(self) -> float:
        return self.sampling_flops + self.learning_flops

    @property
    def price(self) -> float | None:
        """What a server takes for it; None where none is asked, or nothing says."""
        server = self.policy.server
        if server is None or server.price_in is None or server.price_out is None:
            return None
        price = Price(server.price_in, server.price_out)
        if self.reads:  # whole responses as prompts, each answered by a token
            read = self.learned / self.length if self.length else 0.0
            return price.of(read * self.prompt + self.learned, read)
        asked = self.sampled / self.length if self.length else 0.0
        return price.of(asked * self.prompt, self.sampled)


Lengths = Callable[[str, int], float]
"""(part, tokens allowed) -> tokens of a response."""


def assumed(tokens: float | None = None) -> Lengths:
    """Responses of ``tokens``, as far as allowed; by default half of what is."""
    return lambda _part, allowed: min(allowed, LENGTH * allowed if tokens is None else tokens)


def work(experiment: Experiment, length: Lengths) -> list[Work]:
    """The parts of one run of ``experiment``: its stages, their dev evaluations, its benchmarks.

    Raises:
        UsageError: a model whose shape is not known.
        TaskError: training or dev questions that are not here.
    """
    found = list(_training(experiment, length))
    final = _benchmarks(experiment, experiment.eval.benchmarks, length)
    return [*_within_budget(experiment, found), *final]


def _training(experiment: Experiment, length: Lengths) -> Iterator[Work]:
    if not experiment.stages:
        return
    policy, tasks = experiment.policy, tasks_of(experiment.tasks)
    shape = architecture(policy).shape
    backward = BACKWARD if policy.lora is None else FROZEN_BACKWARD
    train = _prompt(experiment.data.train, policy.template, tasks)
    dev = _questions(experiment.data.dev, tasks)
    for stage in parts(experiment.stages):
        match stage:
            case GRPO():
                tokens = length(stage.name, stage.max_tokens)
                yield grpo_work(stage, policy, train, tokens)
                yield from _judged(stage, stage.completions_per_step, train, tokens)
            case OnPolicyDistill():
                tokens = length(stage.name, stage.max_tokens)
                yield from _on_policy(stage, policy, train, tokens)
                yield from _judged(stage, stage.sampled, train, tokens)
            case SFT():
                tokens, prompt = length(stage.name, 2 * TRACE), train
                if isinstance(stage, Pretrain):
                    tokens, prompt = stage.sequence_length, 1.0
                once = stage.batch_size * _forward(shape, prompt, tokens, 1) * (1 + backward)
                learned = stage.steps * stage.batch_size * tokens
                yield Work(
                    stage.name, "train", policy, stage.steps, 0, learned, 0, stage.steps * once,
                    stage.batch_size, prompt, tokens,
                )  # fmt: skip
            case Reject():
                teacher = stage.teacher or policy
                asked = _questions(stage.data or experiment.data.train, tasks)
                prompt = _prompt(stage.data or experiment.data.train, teacher.template, tasks)
                tokens = length(stage.name, stage.max_tokens)
                flops = asked * _sampling(teacher, prompt, tokens, stage.samples)
                many = asked * stage.samples
                yield Work(
                    stage.name, "train", teacher, 1, many * tokens, 0, flops, 0, many, prompt, tokens,
                    "by a teacher" if stage.teacher else "",
                )  # fmt: skip
            case Evaluate():
                for part in _benchmarks(experiment, stage.benchmarks or experiment.eval.benchmarks, length):
                    yield replace(part, name=f"{stage.name}: {part.name}")
        if isinstance(stage, Training) and dev:
            times = 1 if not stage.eval_every else 1 + -(-stage.steps // stage.eval_every)
            tokens = length(stage.name, stage.max_tokens)
            many = dev * experiment.data.dev_samples
            flops = dev * _forward(shape, train, tokens, experiment.data.dev_samples)
            yield Work(
                f"{stage.name}: dev", "evaluate", policy, times, times * many * tokens, 0, times * flops, 0,
                many, train, tokens,
            )  # fmt: skip


def grpo_work(stage: GRPO, policy: Policy, prompt: float, tokens: float) -> Work:
    """What all steps of the stage sample and learn, with prompts and responses of that many tokens."""
    backward = BACKWARD if policy.lora is None else FROZEN_BACKWARD
    groups = stage.completions_per_step // stage.group_size
    once = groups * _forward(architecture(policy).shape, prompt, tokens, stage.group_size)
    moves = stage.epochs * stage.minibatches > 1
    passes = stage.epochs * (1 + backward) + moves + (stage.beta > 0)
    sampled = stage.steps * stage.completions_per_step * tokens
    return Work(
        stage.name, "train", policy, stage.steps, sampled, sampled, stage.steps * once,
        stage.steps * once * passes, stage.completions_per_step, prompt, tokens,
        ahead=policy.servers is not None and stage.rollout_ahead > 0,
    )  # fmt: skip


def _on_policy(stage: OnPolicyDistill, policy: Policy, prompt: float, tokens: float) -> Iterator[Work]:
    """What the policy samples and learns, and what its teacher reads: a forward pass over as many tokens."""
    backward = BACKWARD if policy.lora is None else FROZEN_BACKWARD
    count, steps = stage.completions_per_step, stage.steps

    def flops(who: Policy, completions: int, group: int) -> float:
        return steps * completions / group * _forward(architecture(who).shape, prompt, tokens, group)

    drawn = flops(policy, stage.sampled, stage.group_size)
    learned = drawn + flops(policy, stage.recorded, 1)
    yield Work(
        stage.name, "train", policy, steps, steps * stage.sampled * tokens, steps * count * tokens, drawn,
        learned * (1 + backward), count, prompt, tokens,
    )  # fmt: skip
    teacher = stage.teacher
    read = flops(teacher, stage.sampled, stage.group_size) + flops(teacher, stage.recorded, 1)
    yield Work(
        f"{stage.name}-teacher", "train", teacher, steps, 0, steps * count * tokens, 0, read, count, prompt,
        tokens, "by a teacher", beside=True, reads=True,
    )  # fmt: skip


def _judged(stage: GRPO | OnPolicyDistill, sampled: float, prompt: float, tokens: float) -> Iterator[Work]:
    """What a judge whose price is known is asked: each response, or two of them, under its rubric."""
    terms = [RewardTerm.of(each) for name, each in stage.rewards.items() if name == JUDGE]
    if not terms or not os.environ.get("HARNESS_JUDGE_URL"):
        return
    requests = stage.steps * sampled * (2 if terms[0].pairwise else 1)
    requests = min(requests, terms[0].requests or requests)
    shown = prompt + RUBRIC + tokens * (2 if terms[0].pairwise else 1)
    part = Work(
        f"{stage.name}-judge", "train", Policy(model="judge"), stage.steps, requests * REPLY, 0, 0, 0,
        int(sampled), shown, REPLY, "by a judge", beside=True,
    )  # fmt: skip
    yield from _priced(part, named_judge())


def _benchmark_judged(part: Work, task: Task, questions: Sequence[Question]) -> Iterator[Work]:
    """What a judge whose price is known is asked about the responses of a benchmark that it grades."""
    if task.grader not in JUDGING or not os.environ.get("HARNESS_JUDGE_URL"):
        return
    each, rubric, reply = JUDGING[task.grader]
    gold = fmean(len(question.gold) for question in questions) / CHARACTERS
    requests = part.batch * each
    judging = replace(
        part, name=f"{part.name}: judge", sampled=requests * reply, sampling_flops=0, batch=requests,
        prompt=rubric + part.prompt + gold + part.length, length=reply, note="by a judge",
    )  # fmt: skip
    yield from _priced(judging, Judge.from_environment())


def _priced(part: Work, judge: Judge) -> Iterator[Work]:
    """``part`` as that of a judge at its server; nothing where its price is not known."""
    if judge.price is not None:
        shown = list(map(mask, judge.addresses))
        server = Server(addresses=shown, price_in=judge.price[0], price_out=judge.price[1])
        yield replace(part, policy=Policy(model=judge.model, server=server))


def _within_budget(experiment: Experiment, found: Sequence[Work]) -> Iterator[Work]:
    """The training that a budget leaves, in order; what comes after it is spent is cut off."""
    budget = experiment.budget
    if budget is None or budget.measure == "device_seconds":
        yield from found
        return
    left, share = budget.limit, 1.0
    for place, part in enumerate(found):
        if part.role == "measure":
            yield part
            continue
        if part.role != "train" or part.beside:  # dev evaluations of the stage before it, or its teacher
            yield _scaled(part, share)
            continue
        beside = [other for other in found[place + 1 : place + 2] if other.reads]
        takes = sum(_takes(each, budget) for each in (part, *beside))
        share = 1.0 if takes == 0 else min(1.0, left / takes)
        left -= share * takes
        yield _scaled(part, share)


def _takes(part: Work, budget: Budget) -> float:
    tokens = int(part.sampled or part.learned)
    return spent(Cost(part.name, "", bool(part.note), part.steps, tokens, part.flops), budget)


def _scaled(part: Work, share: float) -> Work:
    if share == 1.0:
        return part
    return replace(
        part,
        steps=max(1, round(part.steps * share)) if share else 0,
        sampled=part.sampled * share,
        learned=part.learned * share,
        sampling_flops=part.sampling_flops * share,
        learning_flops=part.learning_flops * share,
        note="until the budget is spent",
    )


def _benchmarks(experiment: Experiment, names: Sequence[str], length: Lengths) -> Iterator[Work]:
    settings = experiment.eval
    policy = experiment.policy.model_copy(update={"engine": settings.engine})
    for name in names:
        task = tasks_of(experiment.tasks).get(name, settings.limit)
        samples = settings.samples if isinstance(settings.samples, int) else settings.samples.get(task.name)
        samples = task.samples if samples is None else samples
        tokens = length(name, settings.max_tokens)
        try:
            questions = task.questions(task.benchmark)
        except TaskError:
            yield Work(
                name,
                "measure",
                policy,
                0,
                0,
                0,
                0,
                0,
                0,
                0,
                0,
                "its data is not on this machine: not counted",
            )
            continue
        prompt = fmean(len(question.text) for question in questions) / CHARACTERS
        flops = len(questions) * _sampling(policy, prompt, tokens, samples)
        many = len(questions) * samples
        part = Work(name, "measure", policy, 1, many * tokens, 0, flops, 0, many, prompt, tokens)
        yield part
        yield from _benchmark_judged(part, task, questions)


def _sampling(policy: Policy, prompt: float, tokens: float, samples: int) -> float:
    """FLOPs of answers; 0 of a server's model whose shape is not known."""
    try:
        shape = architecture(policy).shape
    except UsageError:
        if policy.server is None:
            raise
        return 0.0
    return _forward(shape, prompt, tokens, samples)


def _forward(shape: Shape, prompt: float, tokens: float, samples: int) -> float:
    return shape.forward(round(prompt), [round(tokens)] * samples)


def _questions(specs: Sequence[str], tasks: Tasks) -> int:
    return sum(len(tasks.load_spec(spec)[1]) for spec in specs)


def _prompt(specs: Sequence[str], template: str | Template, tasks: Tasks) -> float:
    """Tokens of a prompt, about: a chat template's own words are left out."""
    lengths = []
    for spec in specs:
        task, questions = tasks.load_spec(spec)
        lengths += [len(render(question, task, _as_text(template), None)) for question in questions[:500]]
    return fmean(lengths) / CHARACTERS


def _as_text(template: str | Template) -> str | Template:
    """The template without a tokenizer's own words."""
    if template == AUTO:
        return TEXT
    found = find(template)
    if isinstance(found, Template):
        return found.model_copy(update={"kind": "text"})
    return PLAIN
