"""Rejection sampling: many answers, of which those that pass every rule become training data.

RUN/data/STAGE/TASK/     all that was sampled, with verdicts (resumable, see evals/runner.py)
RUN/data/STAGE.jsonl     what was kept, one response a line, with where it comes from
RUN/data/STAGE.json      how many responses each rule turned away, and what sampling cost
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from evals.base import io
from evals.base.errors import JobError
from evals.base.progress import Progress
from evals.chat import ServerTemplate
from evals.engine import Engine, Request, Sampling, StreamingEngine
from evals.graders.registry import grader_of
from evals.price import Price, bill
from evals.protocols import Protocol
from evals.records import Sample, decode_ids, read_samples
from evals.rollout import Rollout
from evals.runner import sample_benchmark
from evals.scores import read_scores
from evals.task import Question, Task, folder_of
from evals.templates import Template, render
from harness.config import Reject
from harness.engines import tokens as text
from harness.engines.registry import block_size
from harness.models.flops import Shape
from harness.rewards.judge import JudgeReward
from harness.rewards.registry import JUDGE, Reward, single_reward
from harness.train.ledger import devices
from harness.train.run_dir import Run

SEED = 3_000_000
"""Apart from the seeds of training, dev evaluations and benchmarks."""


def sample_and_keep(
    run: Run,
    stage: Reject,
    engine: Engine,
    template: str | Template,
    questions: Sequence[tuple[Task, Question]],
    progress: Progress,
    shape: Shape | None,
) -> Path:
    """Makes the stage's data set, or finds it there; returns its path.

    ``shape`` is that of the model behind ``engine``, where that is known, to count FLOPs by.

    Raises:
        JobError: no response passed; the message counts what each rule turned away.
    """
    kept_path = run.folder / "data" / f"{stage.name}.jsonl"
    if has_kept(run, stage):
        return kept_path
    sampled = kept_path.exists()  # what it cost has to be counted again, and nothing else
    by_task: dict[str, list[tuple[Task, Question]]] = defaultdict(list)
    for task, question in questions:
        by_task[task.name].append((task, question))
    kept: list[dict[str, Any]] = []
    counts: Counter[str] = Counter()
    cost: dict[str, float] = {}
    for task_name, pairs in by_task.items():
        task, asked = pairs[0][0], list({question.id: question for _, question in pairs}.values())
        folder = run.folder / "data" / stage.name / folder_of(task_name)
        if not sampled:
            _sample(run, stage, engine, template, task, asked, folder, progress)
        kept += _keep(stage, engine, template, task, asked, folder, counts)
        for name, value in _cost(engine, template, task, asked, folder, shape).items():
            cost[name] = cost.get(name, 0.0) + value
    io.write_json(run.data_file(stage.name), {"rules": dict(counts), "cost": cost})
    if sampled:
        return kept_path
    if not kept:
        told = ", ".join(f"{rule} {count}" for rule, count in counts.items())
        raise JobError(f"{stage.name}: no response passed the rules, nothing is left to learn from ({told})")
    io.write_lines(kept_path, kept)
    progress.say(f"{stage.name}: " + ", ".join(f"{rule} {count}" for rule, count in counts.items()))
    return kept_path


def has_kept(run: Run, stage: Reject) -> bool:
    """Whether the stage's data set is there, and what it cost."""
    return (run.folder / "data" / f"{stage.name}.jsonl").exists() and run.data_file(stage.name).exists()


def _sample(
    run: Run,
    stage: Reject,
    engine: Engine,
    template: str | Template,
    task: Task,
    questions: Sequence[Question],
    folder: Path,
    progress: Progress,
) -> None:
    sampling = Sampling(stage.temperature, stage.top_p, max_tokens=stage.max_tokens, **stage.drawing())
    protocol = Protocol(stage.name, sampling, template, stage.samples, SEED + run.experiment.seed)
    total = len(questions) * stage.samples
    with grader_of(task) as grader, progress.step(f"{stage.name}: {task.name}", total) as update:
        sample_benchmark(
            engine,
            task,
            questions,
            protocol,
            folder,
            grader,
            progress=lambda now: update(now.worth, f"{now.tokens + now.at_work:,} tokens"),
            block=block_size(engine, stage.max_tokens),
        )


def _keep(
    stage: Reject,
    engine: Engine,
    template: str | Template,
    task: Task,
    questions: Sequence[Question],
    folder: Path,
    counts: Counter[str],
) -> Iterator[dict[str, Any]]:
    """The rows that pass, in the order of the questions; ``counts`` gains each response's fate."""
    asked = {question.id: question for question in questions}
    tokens = {
        (row["id"], row["sample"]): decode_ids(row["token_ids"])
        for row in io.read_lines(folder / "tokens.jsonl")
    }
    place = {id: number for number, id in enumerate(asked)}
    samples = sorted(read_samples(folder / "samples.jsonl"), key=lambda s: (place[s.id], s.sample))
    variant = task.variant or (lambda question, _: question)
    rollouts, prompts = [], {}
    for s in samples:
        question = variant(asked[s.id], s.sample)  # as this sample was asked, and graded
        if question.text not in prompts:
            prompts[question.text] = render(question, task, template, engine.tokenizer)
        prompt = prompts[question.text]
        rollouts.append(_rollout(stage, question, prompt, s, tokens.get((s.id, s.sample))))
    taken: dict[str, set[str]] = defaultdict(set)
    for sample, rollout, broken in zip(samples, rollouts, broken_rules(stage, rollouts), strict=True):
        rule = broken or _too_many(stage, rollout, taken[sample.id])
        counts[rule or "kept"] += 1
        if rule is None:
            taken[sample.id].add(_normal(sample.response))
            yield {
                "id": f"{sample.id}#{sample.sample}",
                "task": task.name,
                "question": rollout.question.text,
                "response": rollout.text,
                "tokens": sample.tokens,
                "model": engine.model_hash,
                "stage": stage.name,
            }


def _cost(
    engine: Engine,
    template: str | Template,
    task: Task,
    questions: Sequence[Question],
    folder: Path,
    shape: Shape | None,
) -> dict[str, float]:
    """What sampling one task took, by the names of ``ledger.Cost``."""
    lengths: dict[str, list[int]] = defaultdict(list)
    seconds = 0.0
    samples = list(read_samples(folder / "samples.jsonl"))
    for sample in samples:
        lengths[sample.id].append(sample.tokens or 0)
        seconds += sample.seconds
    flops = math.nan
    if shape is not None and not isinstance(engine.tokenizer, ServerTemplate):
        requests = [Request(render(q, task, template, engine.tokenizer), 1, 0) for q in questions]
        prompts = text.encode_prompts(engine.tokenizer, requests)
        flops = sum(
            shape.forward(len(prompt), lengths[q.id]) for q, prompt in zip(questions, prompts, strict=True)
        )
    tokens = sum(sum(each) for each in lengths.values())
    found: dict[str, float] = {"tokens": tokens, "flops": flops, "device_seconds": devices() * seconds}
    prices = []
    if isinstance(engine, StreamingEngine) and engine.price is not None:
        prices.append(bill(samples, Price(*engine.price))["total"])
    judged = read_scores(folder / "scores.json").judge_cost
    if judged is not None and "total" in judged:
        prices.append(judged["total"])
    return {**found, "price": sum(prices)} if prices else found


def broken_rules(stage: Reject, rollouts: Sequence[Rollout]) -> list[str | None]:
    """For each response the first rule that it breaks by itself; None where it breaks none."""
    rules = {name: (single_reward(name), least) for name, least in stage.keep.items() if name != JUDGE}
    broken = [_broken_rule(stage, rollout, rules) for rollout in rollouts]
    least = stage.keep.get(JUDGE)
    passed = [place for place, rule in enumerate(broken) if rule is None]
    if least is not None and passed:
        scores = JudgeReward(stage.judge_rubric)([rollouts[place] for place in passed])
        for place, score in zip(passed, scores, strict=True):
            if score is None or score < least:
                broken[place] = "not graded" if score is None else JUDGE
    return broken


def _broken_rule(stage: Reject, rollout: Rollout, rules: Mapping[str, tuple[Reward, float]]) -> str | None:
    """``rules``: reward functions by name, each with the least value that passes."""
    if rollout.truncated:
        return "truncated"
    if rollout.tokens < stage.min_tokens:
        return "too short"
    for name, (reward, least) in rules.items():
        value = reward(rollout)
        if value is None:
            return "not graded"
        if value < least:
            return name
    return None


def _too_many(stage: Reject, rollout: Rollout, taken: set[str]) -> str | None:
    """``taken``: the responses to the same question that were kept before it, in normal form."""
    if _normal(rollout.completion.text) in taken:
        return "duplicate"
    if len(taken) >= stage.per_question:
        return "enough for its question"
    return None


def _normal(response: str) -> str:
    """White space does not make a response another one."""
    return " ".join(response.split())


def _rollout(
    stage: Reject, question: Question, prompt: str, sample: Sample, token_ids: tuple[int, ...] | None
) -> Rollout:
    if token_ids is None:
        raise JobError(
            f"{stage.name}: the token ids of sample {sample.sample} of question {sample.id} are lost from "
            f"data/{stage.name}; delete that folder and {stage.name}.jsonl, or name another --out"
        )
    return replace(sample.rollout(question, prompt, token_ids), max_tokens=stage.max_tokens)
