"""Samples a benchmark through an engine, grading as it goes; killed at any moment, it can be called again.

Generation goes in blocks of whole questions. Which questions share a block depends on the call's arguments
alone, never on what an earlier, killed call left behind: the numbers of a batched forward pass depend, in
their last bits, on what else is in the batch, and with them the odd sampled token. So a block that is not
complete is generated again as it was, and only its missing rows are appended: the files end up as if
nothing had happened (but for ``seconds``, which are measured).

More samples a question than the folder was begun with are a further round of blocks: what is there stays
as it is, sample i having the same seed in any round. What no grader could judge (a sandbox or a judge that
was not there) is graded again by the next call.

    FOLDER/key.json  what was asked for       FOLDER/samples.jsonl, tokens.jsonl  as they come
    FOLDER/scores.json  at the end
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import Any

import filelock

from evals import prompts
from evals.engine import Completion, Engine, Group, Request, sample_seed
from evals.grading.judged import judge_of
from evals.grading.verdict import Grader, Response, Verdict
from evals.length_control import length_controlled
from evals.protocols import Protocol
from evals.samples import (
    Sample,
    append_rows,
    encode_ids,
    json_line,
    numbered_lines,
    parse_line,
    parse_sample,
    read_samples,
    write_json,
    write_lines,
)
from evals.scores import Scores, questions_hash, tally, votable
from evals.tasks.task import Question, Task, TaskError

logger = logging.getLogger(__name__)

Progress = Callable[[int, int, int], None]
Present = dict[str, set[int]]

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
    ``progress(done, total, tokens)`` is called with samples done, samples asked for, and the tokens that
    this call has generated. ``block`` is the number of completions that share a call of the engine,
    rounded to whole questions; it is part of the key.

    Raises:
        TaskError: the folder holds samples of another model, protocol or benchmark, another process is at
            work in it, or there are no questions.
    """
    if not questions:
        raise TaskError(f"{task.name}: there are no questions to sample")
    asked = [prompts.render(question, task, protocol.template, engine.tokenizer) for question in questions]
    job = _Job(engine, task, questions, asked, protocol.resolved(task), folder, grader, block)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with filelock.FileLock(folder / ".lock", timeout=0):
            rounds = _claim(folder, job.record, job.k)
            _sample(job, rounds, progress)
            scores = _scores(job)
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


def _scores(job: _Job) -> Scores:
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
        source=job.task.source,
        data_hash=questions_hash(job.questions),
        judge=job.judge,
        length_controlled=length_controlled(job.task, job.questions, questions),
    )


def _digest(value: object) -> str:
    return hashlib.blake2b(json.dumps(value, sort_keys=True).encode(), digest_size=16).hexdigest()


def _claim(folder: Path, record: Mapping[str, Any], k: int) -> list[range]:
    """Marks the folder as this evaluation's and returns its rounds; refuses one that is another's."""
    path = folder / "key.json"
    if path.exists():
        upto = _upto(path, record)
        if k < upto[-1]:
            raise TaskError(
                f"{folder}: holds {upto[-1]} samples a question, {k} were asked for; name another folder"
            )
    elif (folder / "samples.jsonl").exists():
        raise TaskError(f"{folder}: holds samples but no key.json that says of what; name another folder")
    else:
        upto = []
    if k not in upto:
        upto = [*upto, k]
        write_json(path, {**record, "rounds": upto})
    return [range(low, high) for low, high in zip([0, *upto], upto, strict=False)]


def _upto(path: Path, record: Mapping[str, Any]) -> list[int]:
    """How many samples a question there were to be after each round, as key.json says."""
    try:
        found = json.loads(path.read_bytes())
        same, upto = found["key"] == record["key"], [int(count) for count in found["rounds"]]
        if upto != sorted(set(upto)) or min(upto) < 1:
            raise ValueError("no rounds")
    except (ValueError, KeyError, TypeError):
        raise TaskError(f"{path}: is not readable; delete the folder or name another one") from None
    if not same:
        other = _difference(found, record)
        raise TaskError(f"{path.parent}: holds samples of another {other}; name another folder")
    return upto


def _difference(found: Mapping[str, Any], record: Mapping[str, Any]) -> str:
    """The first thing that two keys disagree about, in words."""
    name = next((name for name in record if name != "key" and found.get(name) != record[name]), "version")
    if name == "prompts":
        return "wording of the questions"
    if name == "judge":
        return "judge, or by another prompt"
    if name == "golds":
        return "set of answers that the judge compares with"
    old, new = found.get(name), record.get(name)
    if not isinstance(old, dict) or not isinstance(new, dict):
        return f"{name} ({old} there, {new} now)"
    old, new = {**old, **old.get("sampling", {})}, {**new, **new["sampling"]}
    changed = [key for key in new if key != "sampling" and old.get(key) != new[key]]
    return f"{name} ({'; '.join(f'{key} {old.get(key)!r} there, {new[key]!r} now' for key in changed)})"


def _sample(job: _Job, rounds: Sequence[range], progress: Progress | None) -> None:
    """Brings samples.jsonl to completion, block by block."""
    present = recover_samples(job.samples_path, {question.id for question in job.questions}, job.k)
    recover_tokens(job.tokens_path, present)
    _regrade(job)
    done = sum(len(numbers) for numbers in present.values())
    total = len(job.questions) * job.k
    tokens = 0
    if progress:
        progress(done, total, tokens)
    for block in (block for drawn in rounds for block in job.blocks(drawn)):
        if all(present[ask.question.id].issuperset(ask.numbers) for ask in block):
            continue
        began = time.perf_counter()
        groups = job.engine.generate([ask.request for ask in block], job.protocol.sampling)
        seconds = time.perf_counter() - began
        generated = sum(len(completion.token_ids) for group in groups for completion in group.completions)
        missing = _missing(block, groups, present)
        _append(job, missing, seconds / max(1, generated))
        done += len(missing)
        tokens += generated
        if progress:
            progress(done, total, tokens)


def _append(job: _Job, missing: Sequence[tuple[Question, int, Completion]], seconds_per_token: float) -> None:
    """Grades completions and appends their rows."""
    verdicts = job.grader.grade([(question, _response(completion)) for question, _, completion in missing])
    rows = [
        _row(question, number, completion, verdict, seconds_per_token)
        for (question, number, completion), verdict in zip(missing, verdicts, strict=True)
    ]
    # Token ids first: whatever is in samples.jsonl then has its token ids on disk.
    append_rows(job.tokens_path, (_token_row(question.id, number, c) for question, number, c in missing))
    append_rows(job.samples_path, (row.as_row() for row in rows))


def _missing(
    block: Sequence[_Ask], groups: Sequence[Group], present: Present
) -> list[tuple[Question, int, Completion]]:
    return [
        (ask.question, number, completion)
        for ask, group in zip(block, groups, strict=True)
        for number, completion in zip(ask.numbers, group.completions, strict=True)
        if number not in present[ask.question.id]
    ]


def _response(completion: Completion) -> Response:
    return Response(completion.text, truncated=completion.finish_reason == "length")


def _row(
    question: Question, number: int, completion: Completion, verdict: Verdict, seconds_per_token: float
) -> Sample:
    return Sample(
        id=question.id,
        sample=number,
        response=completion.text,
        answer=verdict.answer,
        status=verdict.status,
        detail=verdict.detail,
        finish_reason=completion.finish_reason,
        tokens=len(completion.token_ids),
        seconds=round(seconds_per_token * len(completion.token_ids), 6),
        duel=verdict.duel,
    )


def _token_row(question_id: str, number: int, completion: Completion) -> dict[str, Any]:
    return {"id": question_id, "sample": number, "token_ids": encode_ids(completion.token_ids)}


def recover_samples(path: Path, ids: set[str], k: int) -> Present:
    """Which samples ``path`` holds, after mending what a kill or a damaged disk did to it.

    A last line without its end was cut short by a kill: it goes. Any other line that is no sample of this
    evaluation is a fault worth telling: the file is set aside as samples.corrupt-N.jsonl with a warning,
    and the good lines stay.
    """
    present: Present = {question_id: set() for question_id in ids}
    if not path.exists():
        return present
    faults: dict[int, str] = {}
    torn = 0
    for number, line in numbered_lines(path):
        if not line.endswith(b"\n"):
            torn = number
            continue
        try:
            sample = parse_sample(parse_line(line))
        except ValueError as error:
            faults[number] = str(error)
            continue
        if sample.id not in present or sample.sample >= k:
            faults[number] = f"is sample {sample.sample} of {sample.id!r}, which was not asked for"
        elif sample.sample in present[sample.id]:
            faults[number] = f"repeats sample {sample.sample} of {sample.id!r}"
        else:
            present[sample.id].add(sample.sample)
    if faults:
        aside = _set_aside(path)
        first = min(faults)
        more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        logger.warning(
            "%s, line %d %s%s: the file is kept as %s, its good rows go on, the rest is sampled again",
            *(path, first, faults[first], more, aside.name),
        )
    if faults or torn:
        bad = {*faults, torn}
        write_lines(path, (line for number, line in numbered_lines(path) if number not in bad))
    return present


def _regrade(job: _Job) -> None:
    """Grades again what could not be graded; a row keeps everything but its verdict."""
    if not job.samples_path.exists():
        return
    questions = {question.id: question for question in job.questions}
    ungraded = {
        number: sample
        for number, line in numbered_lines(job.samples_path)
        if b'"grader_error"' in line and (sample := parse_sample(parse_line(line))).status == "grader_error"
    }
    if not ungraded:
        return
    items = [
        (
            job.as_asked(questions[sample.id], sample.sample),
            Response(sample.response, sample.finish_reason == "length"),
        )
        for sample in ungraded.values()
    ]
    judged = {
        number: replace(
            sample,
            answer=verdict.answer,
            status=verdict.status,
            detail=verdict.detail,
            duel=verdict.duel,
        )
        for (number, sample), verdict in zip(ungraded.items(), job.grader.grade(items), strict=True)
    }
    write_lines(
        job.samples_path,
        (
            json_line(judged[number].as_row()) if number in judged else line
            for number, line in numbered_lines(job.samples_path)
        ),
    )


def _set_aside(path: Path) -> Path:
    """A copy of ``path`` under the first free name samples.corrupt-N.jsonl."""
    aside = next(
        candidate
        for number in count(1)
        if not (candidate := path.with_name(f"{path.stem}.corrupt-{number}{path.suffix}")).exists()
    )
    shutil.copy2(path, aside)
    return aside


def recover_tokens(path: Path, present: Present) -> None:
    """Drops the token rows whose samples did not reach samples.jsonl: they will be written again."""
    if not path.exists():
        return
    seen: set[tuple[str, int]] = set()
    bad: set[int] = set()
    for number, line in numbered_lines(path):
        try:
            row = parse_line(line)
            place = (row["id"], row["sample"])
            good = line.endswith(b"\n") and place not in seen and place[1] in present.get(place[0], ())
        except (ValueError, KeyError, TypeError):
            good = False
        if good:
            seen.add(place)
        else:
            bad.add(number)
    if bad:
        write_lines(path, (line for number, line in numbered_lines(path) if number not in bad))
