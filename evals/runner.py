"""Samples a benchmark through an engine, grading as it goes; killed at any moment, it can be called again.

Generation goes in blocks of whole questions. Which questions share a block depends on the call's arguments
alone, never on what an earlier, killed call left behind: the numbers of a batched forward pass depend, in
their last bits, on what else is in the batch, and with them the odd sampled token. So a block that is not
complete is generated again as it was, and only its missing rows are appended: the files end up as if
nothing had happened (but for ``seconds``, which are measured). An engine that asks elsewhere (a
``StreamingEngine``) is asked for missing samples alone, and their rows are written as they come.

More samples a question than the folder was begun with are a further round of blocks: what is there stays
as it is, sample i having the same seed in any round. What no grader could judge (a sandbox or a judge that
was not there) is graded again by the next call, and everything is where golds, tests or the grader have
changed since: it is said, and scores.json keeps the note.

    FOLDER/key.json  what was asked for       FOLDER/samples.jsonl, tokens.jsonl  as they come, graded
    FOLDER/arrived.jsonl  a server's answers, until all are graded
    FOLDER/scores.json  at the end            FOLDER/judge.jsonl  a judge's replies, as they come
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import filelock

from evals import arrivals
from evals import templates as prompts
from evals.arrivals import Arrivals, handed_over
from evals.asked import write_asked
from evals.base import io
from evals.claim import Claim, claim
from evals.engine import (
    Completion,
    Engine,
    Group,
    Request,
    StreamingEngine,
    Underway,
    WatchedEngine,
    sample_seed,
)
from evals.graders.base import Grader
from evals.graders.judge.base import FILE as JUDGE_FILE
from evals.graders.judge.base import judge_cost, judge_of, keeping
from evals.lost_tokens import drop_without_tokens
from evals.pace import Advance
from evals.positions import within_positions
from evals.price import Price, bill
from evals.protocols import Protocol
from evals.records import Sample, read_samples, token_row
from evals.recovery import Present, recover_samples, recover_tokens
from evals.regrading import grade_again, graded_by, why_again
from evals.rollout import Rollout, graded
from evals.scores import Scores, questions_hash, tally, votable
from evals.stats.tables import Bill
from evals.task import Question, Task, TaskError, check_ids, part_note
from evals.tasks import registry
from evals.tasks.length_control import length_controlled

logger = logging.getLogger(__name__)

Progress = Callable[[Advance], None]

BLOCK = 512
"""Completions a block: at most this many are generated again after a kill."""


def sample_benchmark(
    engine: Engine,
    task: Task,
    questions: Sequence[Question],
    protocol: Protocol,
    folder: Path,
    grader: Grader,
    progress: Progress | None = None,
    block: int = BLOCK,
) -> Scores:
    """Samples ``questions`` under ``protocol`` into ``folder``, or completes what is there, and scores them.

    Sample i of a question is drawn with seed ``sample_seed(protocol.seed, "TASK/ID") + i``.
    ``progress`` is told every advance; of a ``WatchedEngine`` also while it draws. ``block`` is the number of
    completions that share a call of the engine, rounded to whole questions; it is part of the key.

    Where ``max_tokens`` is more than the longest prompt leaves of the model's positions, every response gets
    what it leaves: the protocol in scores.json then has that number, and its name tells it.

    Raises:
        TaskError: the folder holds samples of another model, protocol or benchmark, another process is at
            work in it, there are no questions or two of one id, or a prompt leaves no position.
    """
    if not questions:
        raise TaskError(f"{task.name}: there are no questions to sample")
    check_ids(task.name, questions)
    protocol = protocol.for_tokenizer(engine.tokenizer)
    prompts.check_examples(task, questions, protocol.template)
    asked = [prompts.render(question, task, protocol.template, engine.tokenizer) for question in questions]
    fitting = within_positions(engine, task, questions, asked, protocol.resolved(task))
    job = _Job(engine, task, questions, asked, fitting, folder, grader, block)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with filelock.FileLock(folder / ".lock", timeout=0):
            held = claim(folder, job.record, job.k, job.graded)
            present = recover_samples(job.samples_path, {question.id for question in questions}, job.k)
            recover_tokens(job.tokens_path, present)
            drop_without_tokens(job.samples_path, job.tokens_path, present)
            replies = keeping(grader, folder / JUDGE_FILE)
            held = _graded(job, held)
            _sample(job, held.rounds, present, progress)
            arrivals.clear(folder)
            scores = replace(_scores(job, held.notes), judge_cost=judge_cost(grader, replies))
            write_asked(folder, task, questions)
            scores.write(folder)
            return scores
    except filelock.Timeout:
        raise TaskError(f"{folder}: another process is sampling into this folder") from None


@dataclass(frozen=True)
class _Job:
    """One call of ``sample_benchmark``: what is sampled, and where to."""

    engine: Engine
    task: Task
    questions: Sequence[Question]
    prompts: Sequence[str]
    protocol: Protocol
    folder: Path
    grader: Grader
    block: int

    @cached_property
    def record(self) -> dict[str, Any]:
        """Everything that decides a sample, and its digest under "key"; not how many there are."""
        pairs = [[question.id, prompt] for question, prompt in zip(self.questions, self.prompts, strict=True)]
        protocol = self.protocol.as_dict()
        del protocol["name"]  # the same settings under another name give the same samples
        del protocol["samples"]
        if protocol["unclosed_answers"]:
            del protocol["unclosed_answers"]  # as it was before there was a choice
        record: dict[str, Any] = {
            "benchmark": self.task.name,
            "model": self.engine.model_hash,
            "engine": self.engine.name,
            "protocol": protocol,
            "questions": len(self.questions),
            "prompts": _digest(pairs),
            "block": self.block,
        }
        if self.judge is not None:
            record["judge"] = self.judge
            record["golds"] = _digest([question.gold for question in self.questions])
        return {"key": _digest(record), **record}

    @cached_property
    def graded(self) -> dict[str, str]:
        """What decides the verdicts; not part of the key, for samples can be graded again."""
        return graded_by(self.task, self.questions)

    @cached_property
    def by_id(self) -> dict[str, Question]:
        return {question.id: question for question in self.questions}

    @property
    def judge(self) -> dict[str, str] | None:
        """The judge's name and prompt, where one grades: verdicts of two judges are never mixed."""
        return judge_of(self.grader)

    @property
    def k(self) -> int:
        """Samples a question."""
        return self.protocol.samples_of(self.task)

    @property
    def samples_path(self) -> Path:
        return self.folder / "samples.jsonl"

    @property
    def tokens_path(self) -> Path:
        return self.folder / "tokens.jsonl"

    def blocks(self, numbers: range) -> Iterator[list[_Ask]]:
        """What to ask for these samples, in blocks of whole questions that depend on nothing else."""
        width = max(1, self.block // len(numbers))
        pairs = list(zip(self.questions, self.prompts, strict=True))
        for start in range(0, len(pairs), width):
            yield [ask for pair in pairs[start:][:width] for ask in self.asks(*pair, numbers)]

    def asks(self, question: Question, prompt: str, numbers: range) -> list[_Ask]:
        """One request for all samples of a question; one for each where each sees a variant of its own."""
        seed = sample_seed(self.protocol.seed, f"{self.task.name}/{question.id}")
        if self.task.variant is None:
            return [
                _Ask(question, numbers, Request(prompt, len(numbers), seed + numbers.start, logprobs=False))
            ]
        asks = []
        for number in numbers:
            asked = self.as_asked(question, number)
            text = prompts.render(asked, self.task, self.protocol.template, self.engine.tokenizer)
            asks.append(
                _Ask(asked, range(number, number + 1), Request(text, 1, seed + number, logprobs=False))
            )
        return asks

    def as_asked(self, question: Question, number: int) -> Question:
        """The question as this sample of it was asked."""
        return question if self.task.variant is None else self.task.variant(question, number)


@dataclass(frozen=True)
class _Ask:
    """Samples ``numbers`` of a question, and the request for them."""

    question: Question
    numbers: range
    request: Request

    def rollout(self, number: int, completion: Completion) -> Rollout:
        return Rollout(self.question, self.request.prompt, completion, sample=number)


def _scores(job: _Job, notes: tuple[str, ...]) -> Scores:
    votes = votable(job.task)
    questions = tally(read_samples(job.samples_path), job.questions, job.grader, votes)
    return Scores(
        benchmark=job.task.name,
        questions=questions,
        isolation=job.grader.isolation,
        votes=votes,
        model=job.engine.model_hash,
        engine=job.engine.name,
        key=job.record["key"],
        protocol=job.protocol.as_dict(),
        source=registry.origin(job.task),
        data_hash=questions_hash(job.questions),
        warnings=(*part_note(job.task), *notes),
        judge=job.judge,
        length_controlled=length_controlled(job.task, job.questions, questions),
        cost=_cost(job),
    )


def _cost(job: _Job) -> Bill | None:
    """The bill, where a server was asked whose price is known."""
    if not isinstance(job.engine, StreamingEngine) or job.engine.price is None:
        return None
    return bill(read_samples(job.samples_path), Price(*job.engine.price))


def _digest(value: object) -> str:
    return hashlib.blake2b(json.dumps(value, sort_keys=True).encode(), digest_size=16).hexdigest()


def _graded(job: _Job, held: Claim) -> Claim:
    """Grades what is there again, as far as it has to be: all of it where the grading has changed."""
    why = why_again(held.graded, job.graded)
    changed, graded = grade_again(
        job.samples_path,
        job.grader,
        lambda name, number: job.as_asked(job.by_id[name], number),
        every=bool(why),
        unclosed_answers=job.protocol.unclosed_answers,
    )
    if not why:
        return held
    if not graded:
        return held.graded_by(job.graded)
    note = f"Graded again, because {why}: {changed} of {graded} verdicts are others than before."
    logger.warning("%s: %s", job.folder, note)
    return held.graded_by(job.graded, note)


def _sample(job: _Job, rounds: Sequence[range], present: Present, progress: Progress | None) -> None:
    """Brings samples.jsonl to completion."""
    total, most = len(job.questions) * job.k, job.protocol.sampling.max_tokens
    now = Advance(sum(len(numbers) for numbers in present.values()), total, 0, most=most)
    if progress:
        progress(now)

    def underway(call: Underway) -> None:
        if progress:
            done = min(total, now.done + call.ended)
            progress(Advance(done, total, now.tokens + call.tokens, call.at_work, most))

    blocks = (block for numbers in rounds for block in job.blocks(numbers))
    if isinstance(job.engine, StreamingEngine):
        written = handed_over(_as_they_come(job, job.engine, blocks, present), partial(_append, job))
    else:
        written = (_append(job, [each]) for each in _block_by_block(job, blocks, present, underway))
    for samples, tokens in written:
        now = Advance(now.done + samples, total, now.tokens + tokens, most=most)
        if progress:
            progress(now)


@dataclass(frozen=True)
class _Drawn:
    """What was missing of a block, the tokens that it took to draw the whole of it, and the seconds."""

    rollouts: Sequence[Rollout]
    tokens: int
    seconds: float


def _block_by_block(
    job: _Job,
    blocks: Iterable[Sequence[_Ask]],
    present: Present,
    underway: Callable[[Underway], None],
) -> Iterator[_Drawn]:
    """What is missing of each block."""
    for block in blocks:
        if all(present[ask.question.id].issuperset(ask.numbers) for ask in block):
            continue
        began = time.perf_counter()
        with job.engine.watch(underway) if isinstance(job.engine, WatchedEngine) else nullcontext():
            groups = job.engine.generate([ask.request for ask in block], job.protocol.sampling)
        seconds = time.perf_counter() - began
        generated = sum(len(one.token_ids) for group in groups for one in group.completions)
        yield _Drawn(_missing(block, groups, present), generated, seconds)


def _as_they_come(
    job: _Job, engine: StreamingEngine, blocks: Iterable[Sequence[_Ask]], present: Present
) -> Iterator[_Drawn]:
    """Every missing sample as soon as it is there, first those that came before a kill; each is kept."""
    arrivals = Arrivals(job.folder)
    asks = []
    for ask in (ask for block in blocks for ask in _not_present(block, present)):
        completion = arrivals.get(ask.question.id, ask.numbers.start)
        if completion is None:
            asks.append(ask)
        else:
            yield _Drawn([ask.rollout(ask.numbers.start, completion)], completion.tokens or 0, 0.0)
    if not asks:
        return
    began = time.perf_counter()
    for arrived in engine.stream([ask.request for ask in asks], job.protocol.sampling):
        now = time.perf_counter()
        drawn = [asks[place].rollout(asks[place].numbers.start, completion) for place, completion in arrived]
        arrivals.add(drawn)
        yield _Drawn(drawn, sum(each.completion.tokens or 0 for each in drawn), now - began)
        began = now


def _not_present(block: Sequence[_Ask], present: Present) -> list[_Ask]:
    """A request for each sample that is missing, alone."""
    return [
        _Ask(
            ask.question,
            range(number, number + 1),
            replace(ask.request, n=1, seed=ask.request.seed + number - ask.numbers.start),
        )
        for ask in block
        for number in ask.numbers
        if number not in present[ask.question.id]
    ]


def _append(job: _Job, drawn: Sequence[_Drawn]) -> tuple[int, int]:
    """Grades completions and appends their rows: how many, and the tokens that they took."""
    missing = [rollout for each in drawn for rollout in each.rollouts]
    paces = [each.seconds / max(1, each.tokens) for each in drawn for _ in each.rollouts]
    judged = graded(job.grader, missing, job.protocol.unclosed_answers)
    rows = [Sample.of(each, round(pace * each.tokens, 6)) for each, pace in zip(judged, paces, strict=True)]
    # Token ids first: whatever is in samples.jsonl then has its token ids on disk.
    io.append_lines(job.tokens_path, (token_row(each) for each in judged))
    io.append_lines(job.samples_path, (row.as_row() for row in rows))
    return len(missing), sum(each.tokens for each in drawn)


def _missing(block: Sequence[_Ask], groups: Sequence[Group], present: Present) -> list[Rollout]:
    return [
        ask.rollout(number, completion)
        for ask, group in zip(block, groups, strict=True)
        for number, completion in zip(ask.numbers, group.completions, strict=True)
        if number not in present[ask.question.id]
    ]
