"""Dev evaluations during training: what pruning and selection look at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from evals.engine import Engine, Request, sample_seed
from evals.records import Sample
from evals.scores import Tally, votable
from evals.stats import intervals, metrics
from evals.stats.metrics import QuestionStats
from harness.config import Training
from harness.rewards.format import format
from harness.rewards.language import language
from harness.rewards.registry import Reward
from harness.train.rollouts import Graders, RolloutGroup, sampled
from harness.train.stream import Prompt

RULES: Mapping[str, Reward] = {"format": format, "one_language": language}
SEED = 0
"""Dev samples are drawn with the same seeds at every step of every run, so that runs compare by pairs."""


def evaluate(
    engine: Engine,
    graders: Graders,
    prompts: Sequence[Prompt],
    samples: int,
    stage: Training,
    stop: Sequence[str] = (),
) -> dict[str, float]:
    """The dev metrics of the policy as it stands, at the stage's temperature and length limit.

    ``stop``: the template's strings that end a completion.

    ``dev/pass@1`` with ``dev/stderr`` (over questions, never 0), ``dev/cons@k`` for k = ``samples`` where
    answers can vote, the shares ``dev/truncated`` and ``dev/unparsed``, and what rules say of the responses:
    ``dev/format`` and ``dev/one_language``, each with its ``_stderr``.
    """
    requests = [
        Request(prompt.text, samples, sample_seed(SEED, f"dev/{prompt.question.id}")) for prompt in prompts
    ]
    groups = graders.grade(sampled(engine, prompts, requests, stage, stop))
    questions = [_stats(group, graders) for group in groups]
    total = len(groups) * samples
    rates = metrics.pass_at_1(questions)
    found = {
        "dev/pass@1": float(np.mean(rates)),
        "dev/stderr": intervals.smoothed_error(rates),
        "dev/truncated": sum(question.truncated or 0 for question in questions) / total,
        "dev/unparsed": sum(question.unparsed or 0 for question in questions) / total,
        "dev/tokens": float(sum(len(one.completion.token_ids) for group in groups for one in group.rollouts)),
    }
    for name, rule in RULES.items():
        values = np.array([[rule(one) or 0.0 for one in group.rollouts] for group in groups])
        by_question = values.mean(axis=1)
        found[f"dev/{name}"] = float(by_question.mean())
        found[f"dev/{name}_stderr"] = intervals.smoothed_error(by_question)
    if samples > 1 and all(votable(prompt.task) for prompt in prompts):
        found[f"dev/cons@{samples}"] = float(np.mean(metrics.cons_at_k(questions, samples).values))
    return found


def _stats(group: RolloutGroup, graders: Graders) -> QuestionStats:
    tally = Tally(group.prompt.question, votable(group.prompt.task))
    for rollout in group.rollouts:
        tally.add(Sample.of(rollout))
    stats = tally.stats(graders.of(group.prompt.task))
    assert stats is not None  # every question has samples
    return stats
