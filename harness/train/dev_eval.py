"""Dev evaluations during training: what pruning and selection look at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from evals.engine import Completion, Engine, Request, Sampling, sample_seed
from evals.graders.base import Verdict
from evals.records import Sample
from evals.scores import Tally, votable
from evals.stats import intervals, metrics
from harness.config import Training
from harness.rewards import Attempt
from harness.rewards.format import format
from harness.rewards.language import language
from harness.rewards.registry import Reward
from harness.train.grpo.rollout import Graders
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
    sampling = Sampling(temperature=stage.temperature, max_tokens=stage.max_tokens, stop=tuple(stop))
    groups = engine.generate(requests, sampling)
    items = [
        (prompt, completion)
        for prompt, group in zip(prompts, groups, strict=True)
        for completion in group.completions
    ]
    verdicts = graders.grade(items)
    questions = []
    for i, prompt in enumerate(prompts):
        tally = Tally(prompt.question, votable(prompt.task))
        for sample in range(samples):
            place = i * samples + sample
            verdict, completion = verdicts[place], items[place][1]
            tally.add(
                Sample(
                    id=prompt.question.id,
                    sample=sample,
                    response=completion.text,
                    answer=verdict.answer,
                    status=verdict.status,
                    detail=verdict.detail,
                    finish_reason=completion.finish_reason,
                    tokens=len(completion.token_ids),
                    seconds=0.0,
                )
            )
        stats = tally.stats(graders.of(prompt.task.grader))
        assert stats is not None  # every question has samples
        questions.append(stats)
    rates = metrics.pass_at_1(questions)
    found = {
        "dev/pass@1": float(np.mean(rates)),
        "dev/stderr": intervals.smoothed_error(rates),
        "dev/truncated": sum(question.truncated or 0 for question in questions) / len(items),
        "dev/unparsed": sum(question.unparsed or 0 for question in questions) / len(items),
        "dev/tokens": float(sum(len(completion.token_ids) for _, completion in items)),
    }
    for name, rule in RULES.items():
        by_question = np.array([rule(attempt) or 0.0 for attempt in _attempts(items, verdicts, stage)])
        by_question = by_question.reshape(len(prompts), samples).mean(axis=1)
        found[f"dev/{name}"] = float(by_question.mean())
        found[f"dev/{name}_stderr"] = intervals.smoothed_error(by_question)
    if samples > 1 and all(votable(prompt.task) for prompt in prompts):
        found[f"dev/cons@{samples}"] = float(np.mean(metrics.cons_at_k(questions, samples).values))
    return found


def _attempts(
    items: Sequence[tuple[Prompt, Completion]], verdicts: Sequence[Verdict], stage: Training
) -> Iterator[Attempt]:
    for (prompt, completion), verdict in zip(items, verdicts, strict=True):
        yield Attempt(prompt.question, prompt.text, completion, verdict, stage.max_tokens)
