"""What of an experiment is not built in: where each such thing comes from, for the manifests of its runs."""

from __future__ import annotations

from collections.abc import Iterator

from evals import lm_eval
from evals.base.errors import UsageError
from evals.base.registry import Registry
from evals.graders.registry import GRADERS
from evals.task import TaskError
from evals.tasks.registry import TASKS
from evals.templates import AUTO, TEMPLATES
from harness.config import (
    GRPO,
    Evaluate,
    Experiment,
    OnPolicyDistill,
    Policy,
    Reject,
    RewardTerm,
    Stage,
    parts,
    tasks_of,
)
from harness.config.kinds import ADVANTAGES, ENGINES, EXECUTORS, LOSSES, REWARDS, TRACKERS
from harness.rewards.registry import function_of


def plugins_of(experiment: Experiment) -> list[dict[str, str]]:
    """A row for each thing that a package or a file brings: see ``Registry.origin``.

    What cannot be loaded has none: it is refused, with its key, where it is used.
    """
    found = (_origin(kind, name) for kind, name in dict.fromkeys(_named(experiment)))
    return [row for row in found if row is not None]


def _origin(kind: str, name: str) -> dict[str, str] | None:
    try:
        return registries[kind].origin(name)
    except UsageError:
        return None


registries: dict[str, Registry] = {
    registry.kind: registry
    for registry in (TASKS, GRADERS, TEMPLATES, REWARDS, LOSSES, ADVANTAGES, ENGINES, EXECUTORS, TRACKERS)
}


def _named(experiment: Experiment) -> Iterator[tuple[str, str]]:
    """(kind, name) of everything that the experiment names."""
    yield from _of_questions(experiment)
    yield ENGINES.kind, experiment.policy.engine.kind
    yield ENGINES.kind, experiment.eval.engine.kind
    yield from _of_template(experiment.policy)
    if experiment.sweep is not None:
        yield EXECUTORS.kind, experiment.sweep.executor.kind
    yield from ((TRACKERS.kind, choice.kind) for choice in experiment.tracking.also)
    yield from _of_stages(experiment.stages)
    for arm in experiment.compare.arms.values() if experiment.compare else ():
        yield from _of_stages(arm.stages)


def _of_questions(experiment: Experiment) -> Iterator[tuple[str, str]]:
    """The tasks that are asked, and the graders of those that are questions of the user's own."""
    tasks = tasks_of(experiment.tasks)
    stages = parts(experiment.stages)
    arms = experiment.compare.arms.values() if experiment.compare else ()
    stages += [stage for arm in arms for stage in parts(arm.stages)]
    specs = [*experiment.data.train, *experiment.data.dev, *experiment.eval.benchmarks]
    for stage in stages:
        specs += stage.data if isinstance(stage, Reject) else []
        specs += stage.benchmarks if isinstance(stage, Evaluate) else []
    for spec in dict.fromkeys(specs):
        if spec.startswith(lm_eval.PREFIX):
            continue
        name = tasks.registered(spec)
        if name in TASKS.built_in:
            continue
        if name is not None:
            yield TASKS.kind, name
        try:
            yield GRADERS.kind, tasks.get(spec).grader
        except TaskError:  # refused where the questions are read
            continue


def _of_stages(stages: list[Stage]) -> Iterator[tuple[str, str]]:
    for stage in parts(stages):
        if isinstance(stage, GRPO):
            yield LOSSES.kind, stage.loss.kind
            yield ADVANTAGES.kind, stage.advantage.kind
            yield from _of_rewards(stage)
        elif isinstance(stage, OnPolicyDistill):
            yield from _of_rewards(stage)
        elif isinstance(stage, Reject):
            yield from ((REWARDS.kind, name) for name in stage.keep)
            if stage.teacher is not None:
                yield ENGINES.kind, stage.teacher.engine.kind
                yield from _of_template(stage.teacher)


def _of_rewards(stage: GRPO | OnPolicyDistill) -> Iterator[tuple[str, str]]:
    for name, entry in stage.rewards.items():
        yield REWARDS.kind, function_of(name, RewardTerm.of(entry))


def _of_template(policy: Policy) -> Iterator[tuple[str, str]]:
    if isinstance(policy.template, str) and policy.template != AUTO:
        yield TEMPLATES.kind, policy.template
