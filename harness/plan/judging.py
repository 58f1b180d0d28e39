"""What a judge is asked about responses, by rewards, filters or graders, where its price is known.

How much a judge reads and writes is assumed; it is at a server, so that it takes no time on a run's devices.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from statistics import fmean

from evals.base.secrets import mask
from evals.graders.judge.client import Judge
from evals.task import Question, Task
from harness.config import GRPO, OnPolicyDistill, Policy, Reject
from harness.config.server import Server
from harness.config.terms import RewardTerm
from harness.plan.work import CHARACTERS, Work
from harness.rewards.judge_cache import named_judge
from harness.rewards.registry import JUDGE

RUBRIC, REPLY = 150, 60
"""The assumed tokens of what a judge is told besides, and of its reply: a sentence and a score."""
JUDGING = {"judge": (1, 180, REPLY), "alpaca_eval": (1, 350, 1), "arena_hard": (2, 400, 600)}
"""Grader -> requests a response, tokens of what a judge is told besides, and assumed tokens of a reply."""

Asked = Sequence[tuple[Task, Sequence[Question]]]
"""Questions, with the task that each is from."""


def rewards_judging(part: Work, stage: GRPO | OnPolicyDistill | Reject) -> Iterator[Work]:
    """What a stage's "judge" is asked: about each response, or two of them at a time.

    A "reject" stage shows it what has passed everything else: at most every response.
    """
    if isinstance(stage, Reject):
        term = RewardTerm.of(1.0) if JUDGE in stage.keep else None
    else:
        term = RewardTerm.of(stage.rewards[JUDGE]) if JUDGE in stage.rewards else None
    if term is None:
        return
    shown = 2 if term.pairwise else 1
    requests = part.responses * shown
    requests = min(requests, term.requests or requests)
    name = f"{part.name}-judge"
    yield from _asked(part, name, requests, RUBRIC + part.prompt + shown * part.length, REPLY)


def graders_judging(part: Work, asked: Asked) -> Iterator[Work]:
    """What the judges of these questions' tasks are asked about the responses of ``part``."""
    alike: dict[str, list[Question]] = defaultdict(list)
    for task, questions in asked:
        alike[task.grader] += questions
    every = sum(map(len, alike.values()))
    for grader, questions in alike.items():
        if grader not in JUDGING:
            continue
        each, rubric, reply = JUDGING[grader]
        gold = fmean(len(question.gold) for question in questions) / CHARACTERS
        requests = part.responses * each * len(questions) / every
        yield from _asked(
            part, f"{part.name}: judge", requests, rubric + part.prompt + gold + part.length, reply
        )


def _asked(part: Work, name: str, requests: float, prompt: float, reply: float) -> Iterator[Work]:
    """``part`` as that of the judge that the environment names; nothing where its price is not known."""
    judge = named_judge() if os.environ.get("HARNESS_JUDGE_URL") else None
    if judge is None or judge.price is None:
        return
    yield replace(
        part,
        name=name,
        policy=Policy(model=judge.model, server=_server(judge, judge.price)),
        batch=round(requests / part.steps),
        prompt=prompt,
        length=reply,
        sampled=requests * reply,
        learned=0.0,
        sampling_flops=0.0,
        learning_flops=0.0,
        note="by a judge",
        beside=True,
        ahead=False,
    )


def _server(judge: Judge, price: tuple[float, float]) -> Server:
    return Server(addresses=list(map(mask, judge.addresses)), price_in=price[0], price_out=price[1])
