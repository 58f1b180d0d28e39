"""How much there is to do: tokens and model FLOPs of an experiment's parts, from its settings alone.

What settings do not say is assumed and said: how long responses are (half of what is allowed, unless told or
measured), and how many tokens a prompt has (a quarter of its characters, unless its tokenizer is here).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from statistics import fmean

from evals.base.errors import UsageError
from evals.task import TaskError
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
from harness.models.architecture import architecture
from harness.models.flops import Shape, update_cost
from harness.plan.judging import Asked, graders_judging, rewards_judging
from harness.plan.work import CHARACTERS, Work
from harness.train.budget import spent
from harness.train.ledger import Cost

LENGTH = 0.5
"""The assumed length of a response, as a part of what is allowed."""
TRACE = 200
"""The assumed length, in tokens, of a response in a file that is not read."""

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
    train = _questions(experiment.data.train, tasks)
    dev = _questions(experiment.data.dev, tasks)
    prompt = _prompt(train, policy.template)
    for stage in parts(experiment.stages):
        match stage:
            case GRPO():
                part = grpo_work(stage, policy, prompt, length(stage.name, stage.max_tokens))
                yield part
                yield from rewards_judging(part, stage)
                yield from graders_judging(part, train)
            case OnPolicyDistill():
                part, teacher = _on_policy(stage, policy, prompt, length(stage.name, stage.max_tokens))
                yield from (part, teacher)
                yield from rewards_judging(part, stage)
                yield from graders_judging(part, train)
            case SFT():
                yield _fine_tuning(stage, policy, prompt, length)
            case Reject():
                asked = _questions(stage.data, tasks) if stage.data else train
                part = _rejection(stage, policy, asked, length(stage.name, stage.max_tokens))
                yield part
                yield from rewards_judging(part, stage)
                yield from graders_judging(part, asked)
            case Evaluate():
                for part in _benchmarks(experiment, stage.benchmarks or experiment.eval.benchmarks, length):
                    yield replace(part, name=f"{stage.name}: {part.name}")
        if isinstance(stage, Training) and dev:
            tokens = length(stage.name, stage.max_tokens)
            part = _dev_evaluations(stage, policy, dev, experiment.data.dev_samples, prompt, tokens)
            yield part
            yield from graders_judging(part, dev)


def grpo_work(stage: GRPO, policy: Policy, prompt: float, tokens: float) -> Work:
    """What all steps of the stage sample and learn, with prompts and responses of that many tokens."""
    groups = stage.completions_per_step // stage.group_size
    once = groups * _forward(architecture(policy).shape, prompt, tokens, stage.group_size)
    moves = stage.epochs * stage.minibatches > 1
    passes = stage.epochs * update_cost(policy.lora) + moves + (stage.beta > 0)
    sampled = stage.steps * stage.completions_per_step * tokens
    return Work(
        stage.name,
        "train",
        policy,
        stage.steps,
        batch=stage.completions_per_step,
        prompt=prompt,
        length=tokens,
        sampled=sampled,
        learned=sampled,
        sampling_flops=stage.steps * once,
        learning_flops=stage.steps * once * passes,
        ahead=policy.servers is not None and stage.rollout_ahead > 0,
    )


def _fine_tuning(stage: SFT, policy: Policy, prompt: float, length: Lengths) -> Work:
    tokens = length(stage.name, 2 * TRACE)
    if isinstance(stage, Pretrain):
        tokens, prompt = stage.sequence_length, 1.0
    once = (
        stage.batch_size * _forward(architecture(policy).shape, prompt, tokens, 1) * update_cost(policy.lora)
    )
    return Work(
        stage.name,
        "train",
        policy,
        stage.steps,
        batch=stage.batch_size,
        prompt=prompt,
        length=tokens,
        learned=stage.steps * stage.batch_size * tokens,
        learning_flops=stage.steps * once,
    )


def _rejection(stage: Reject, policy: Policy, asked: Asked, tokens: float) -> Work:
    """What the policy, or its teacher, samples; nothing is learned from it yet."""
    teacher = stage.teacher or policy
    prompt = _prompt(asked, teacher.template)
    many = _many(asked)
    return Work(
        stage.name,
        "train",
        teacher,
        1,
        batch=many * stage.samples,
        prompt=prompt,
        length=tokens,
        sampled=many * stage.samples * tokens,
        sampling_flops=many * _sampling(teacher, prompt, tokens, stage.samples),
        note="by a teacher" if stage.teacher else "",
    )


def _dev_evaluations(
    stage: Training, policy: Policy, dev: Asked, samples: int, prompt: float, tokens: float
) -> Work:
    times = 1 if not stage.eval_every else 1 + -(-stage.steps // stage.eval_every)
    many = _many(dev)
    return Work(
        f"{stage.name}: dev",
        "evaluate",
        policy,
        times,
        batch=many * samples,
        prompt=prompt,
        length=tokens,
        sampled=times * many * samples * tokens,
        sampling_flops=times * many * _forward(architecture(policy).shape, prompt, tokens, samples),
    )


def _on_policy(stage: OnPolicyDistill, policy: Policy, prompt: float, tokens: float) -> tuple[Work, Work]:
    """What the policy samples and learns, and what its teacher reads: a forward pass over as many tokens."""
    count, steps = stage.completions_per_step, stage.steps

    def flops(who: Policy, completions: int, group: int) -> float:
        return steps * completions / group * _forward(architecture(who).shape, prompt, tokens, group)

    drawn = flops(policy, stage.sampled, stage.group_size)
    learned = drawn + flops(policy, stage.recorded, 1)
    student = Work(
        stage.name,
        "train",
        policy,
        steps,
        batch=count,
        prompt=prompt,
        length=tokens,
        sampled=steps * stage.sampled * tokens,
        learned=steps * count * tokens,
        sampling_flops=drawn,
        learning_flops=learned * update_cost(policy.lora),
    )
    teacher = stage.teacher
    return student, replace(
        student,
        name=f"{stage.name}-teacher",
        policy=teacher,
        sampled=0.0,
        sampling_flops=0.0,
        learning_flops=flops(teacher, stage.sampled, stage.group_size) + flops(teacher, stage.recorded, 1),
        note="by a teacher",
        beside=True,
        reads=True,
    )


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
            yield Work(name, "measure", policy, 0, note="its data is not on this machine: not counted")
            continue
        prompt = fmean(len(question.text) for question in questions) / CHARACTERS
        many = len(questions)
        part = Work(
            name,
            "measure",
            policy,
            1,
            batch=many * samples,
            prompt=prompt,
            length=tokens,
            sampled=many * samples * tokens,
            sampling_flops=many * _sampling(policy, prompt, tokens, samples),
        )
        yield part
        yield from graders_judging(part, [(task, questions)])


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


def _questions(specs: Sequence[str], tasks: Tasks) -> Asked:
    return [tasks.load_spec(spec) for spec in specs]


def _many(asked: Asked) -> int:
    return sum(len(questions) for _, questions in asked)


def _prompt(asked: Asked, template: str | Template) -> float:
    """Tokens of a prompt, about: a chat template's own words are left out."""
    words = _as_text(template)
    shown = ((question, task) for task, questions in asked for question in questions[:500])
    return fmean(len(render(question, task, words, None)) for question, task in shown) / CHARACTERS


def _as_text(template: str | Template) -> str | Template:
    """The template without a tokenizer's own words."""
    if template == AUTO:
        return TEXT
    found = find(template)
    if isinstance(found, Template):
        return found.model_copy(update={"kind": "text"})
    return PLAIN
