"""Dev evaluations during training: what pruning and selection look at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from evals import metrics, statistics
from evals.engine import Completion, Engine, Request, Sampling, sample_seed
from evals.grading.verdict import Verdict
from evals.samples import Sample
from evals.scores import Tally, votable
from harness.config import GRPO, SFT
from harness.grpo.prompts import Prompt
from harness.grpo.rollout import Graders
from harness.rewards import Attempt
from harness.rewards.format import format
from harness.rewards.language import language
from harness.rewards.mix import Reward

RULES: Mapping[str, Reward] = {"format": format, "one_language": language}
SEED = 0
"""Dev samples are drawn with the same seeds at every step of every run, so that runs compare by pairs."""


def evaluate(
    engine: Engine, graders: Graders, prompts: Sequence[Prompt], samples: int, stage: GRPO | SFT
) -> dict[str, float]:
    """The dev metrics of the policy as it stands, at the stage's temperature and length limit.

    ``dev/pass@1`` with ``dev/stderr`` (clustered by question), ``dev/cons@k`` for k = ``samples`` where
    answers can vote, the shares ``dev/truncated`` and ``dev/unparsed``, and what rules say of the responses:
    ``dev/format`` and ``dev/one_language``, each with its ``_stderr``.
    """
    requests = [
        Request(prompt.text, samples, sample_seed(SEED, f"dev/{prompt.question.id}")) for prompt in prompts
    ]
    groups = engine.generate(requests, Sampling(temperature=stage.temperature, max_tokens=stage.max_tokens))
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
        "dev/stderr": statistics.standard_error(rates),
        "dev/truncated": sum(question.truncated for question in questions) / len(items),
        "dev/unparsed": sum(question.unparsed for question in questions) / len(items),
        "dev/tokens": float(sum(len(completion.token_ids) for _, completion in items)),
    }
    for name, rule in RULES.items():
        by_question = np.array([rule(attempt) or 0.0 for attempt in _attempts(items, verdicts, stage)])
        by_question = by_question.reshape(len(prompts), samples).mean(axis=1)
        found[f"dev/{name}"] = float(by_question.mean())
        found[f"dev/{name}_stderr"] = statistics.standard_error(by_question)
    if samples > 1 and all(votable(prompt.task) for prompt in prompts):
        found[f"dev/cons@{samples}"] = float(np.mean(metrics.cons_at_k(questions, samples).values))
    return found


def _attempts(
    items: Sequence[tuple[Prompt, Completion]], verdicts: Sequence[Verdict], stage: GRPO | SFT
) -> Iterator[Attempt]:
    for (prompt, completion), verdict in zip(items, verdicts, strict=True):
        yield Attempt(prompt.question, prompt.text, completion, verdict, stage.max_tokens)
