"""Scores: what a benchmark's samples amount to, built sample by sample, written as scores.json."""

from __future__ import annotations

import hashlib
import json
import math
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, field
from functools import cached_property
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np

from evals.base import io
from evals.base.versioned import Versioned
from evals.duel import Duel
from evals.graders import safe
from evals.graders.base import Grader, timed_out
from evals.records import Sample
from evals.stats import intervals, metrics
from evals.stats.metrics import QuestionStats, Vote
from evals.stats.pairwise import win_rate
from evals.stats.tables import Bill, FigureTable, JudgeBill, Lengths, ScoresTable
from evals.task import JUDGED, Question, Task, TaskError

ANSWER_SHOWN = 200
"""Characters of an answer class's representative that scores.json keeps."""
LARGEST_COUNT = 2**53
"""What is counted stays below: a larger number in a file is damage."""
EVERY_K = 64
"""Up to so many samples per question, pass@k and cons@k are given for every k; beyond, for a grid."""


class Tally:
    """Counts the samples of one question as they stream by; eight bytes a sample stay in memory."""

    def __init__(self, question: Question, votes: bool) -> None:
        """``votes``: whether answers can be voted on (programs cannot, and their texts are not kept)."""
        self._question = question
        self._votes = votes
        self._n = self._correct = self._unparsed = self._truncated = self._errors = self._timeouts = 0
        self._tokens: int | None = 0
        self._tokens_correct: int | None = 0
        self._answers: dict[str, list[int]] = {}  # answer -> [samples, correct samples, first sample]
        self._digests = array("Q")
        self._duels: list[tuple[int, Duel]] = []  # with their samples' numbers

    def add(self, sample: Sample) -> None:
        self._n += 1
        self._correct += sample.correct
        self._unparsed += sample.status == "unparsed"
        self._errors += sample.status == "grader_error"
        self._truncated += sample.finish_reason == "length"
        self._timeouts += timed_out(sample.detail)
        if sample.tokens is None or self._tokens is None or self._tokens_correct is None:
            self._tokens = self._tokens_correct = None
        else:
            self._tokens += sample.tokens
            self._tokens_correct += sample.tokens if sample.correct else 0
        if sample.duel is not None:
            self._duels.append((sample.sample, sample.duel))
        response = sample.response.encode("utf-8", "surrogatepass")
        self._digests.append(int.from_bytes(hashlib.blake2b(response, digest_size=8).digest()))
        if self._votes and sample.answer is not None:
            seen = self._answers.setdefault(sample.answer, [0, 0, sample.sample])
            seen[0] += 1
            seen[1] += sample.correct
            seen[2] = min(seen[2], sample.sample)

    def stats(self, grader: Grader) -> QuestionStats | None:
        """The question's statistics, its answers clustered by ``grader``; None where nothing was added.

        They do not depend on the order in which samples came: answers are shown to the grader by their
        first sample's number.
        """
        if not self._n:
            return None
        return QuestionStats(
            id=self._question.id,
            n=self._n,
            correct=self._correct,
            votes=self._classes(grader),
            unparsed=self._unparsed,
            truncated=self._truncated,
            grader_errors=self._errors,
            duplicates=self._n - len(set(self._digests)),
            tokens=self._tokens,
            tokens_correct=self._tokens_correct,
            duels=tuple(duel for _, duel in sorted(self._duels, key=itemgetter(0))),
            timeouts=self._timeouts,
        )

    def _classes(self, grader: Grader) -> tuple[Vote, ...]:
        answers = sorted(self._answers, key=lambda answer: (self._answers[answer][2], answer))
        classes: dict[int, list[str]] = {}
        for answer, number in zip(answers, safe.vote_classes(grader, self._question, answers), strict=True):
            if number is not None:
                classes.setdefault(number, []).append(answer)
        return tuple(self._vote(members) for _, members in sorted(classes.items()))

    def _vote(self, members: Sequence[str]) -> Vote:
        count = sum(self._answers[answer][0] for answer in members)
        correct = sum(self._answers[answer][1] for answer in members)
        # Equivalence between answers and to the gold are judged apart, so a class may hold both verdicts.
        return Vote(members[0][:ANSWER_SHOWN], count, 2 * correct > count)


def tally(
    samples: Iterable[Sample], questions: Sequence[Question], grader: Grader, votes: bool
) -> tuple[QuestionStats, ...]:
    """The statistics of every question that has samples, in the order of ``questions``."""
    tallies = {question.id: Tally(question, votes) for question in questions}
    for sample in samples:
        tallies[sample.id].add(sample)
    found = (tallies[question.id].stats(grader) for question in questions)
    return tuple(stats for stats in found if stats is not None)


@dataclass(frozen=True)
class Scores:
    """A benchmark's result: sufficient statistics per question; every figure is derived on read.

    ``missing`` are the ids of questions without a single sample. ``votes`` says whether the task's answers
    can be voted on at all. ``protocol``, ``engine``, ``model`` and ``key`` are None or "" for responses
    that were recorded elsewhere. ``judge`` is the name and prompt of the model that judged, if one did;
    ``length_controlled`` is what evals/tasks/length_control.py made of its verdicts. ``cost`` is the bill
    (evals/price.py) of a server whose price is known, ``judge_cost`` what the judge read and wrote.
    """

    benchmark: str
    questions: tuple[QuestionStats, ...]
    isolation: str
    votes: bool = True
    missing: tuple[str, ...] = ()
    model: str = ""
    engine: str = ""
    key: str = ""
    protocol: Mapping[str, Any] | None = None
    source: str = ""
    data_hash: str = ""
    warnings: tuple[str, ...] = field(default=())
    judge: Mapping[str, str] | None = None
    length_controlled: FigureTable | None = None
    cost: Bill | None = None
    judge_cost: JudgeBill | None = None

    @property
    def compared(self) -> bool:
        """Whether a judge compared responses with a baseline's: pass@1 is then the mean share they won."""
        return any(question.duels for question in self.questions)

    @property
    def cautions(self) -> tuple[str, ...]:
        """The recorded warnings, and what the samples themselves give cause for."""
        told = list(self.warnings)
        if metrics.repeats_itself(self.questions):
            told.append(
                "all samples of each question are the same response, as greedy sampling gives: they say no "
                "more than one sample, and pass@k and cons@k no more than pass@1"
            )
        return tuple(dict.fromkeys(told))

    @property
    def samples(self) -> tuple[int, int]:
        """The least and the greatest number of samples per question."""
        counts = [question.n for question in self.questions]
        return min(counts), max(counts)

    @cached_property
    def ks(self) -> tuple[int, ...]:
        """The k for which pass@k and cons@k are given: at most the least number of samples."""
        least = self.samples[0]
        if least <= EVERY_K:
            return tuple(range(1, least + 1))
        powers = {2**exponent for exponent in range(least.bit_length()) if 2**exponent <= least}
        return tuple(sorted(powers | {10, 100, least} & set(range(least + 1))))

    def pass_at_1(self) -> intervals.Estimate:
        """pass@1 with its question-clustered standard error and interval."""
        return intervals.mean_estimate(metrics.pass_at_1(self.questions))

    def pass_at_k(self, k: int) -> intervals.Estimate:
        return intervals.mean_estimate(metrics.pass_at_k(self.questions, k))

    def cons_at_k(self, k: int) -> intervals.Estimate:
        return intervals.mean_estimate(metrics.cons_at_k(self.questions, k).values)

    def bounds(self) -> tuple[float, float]:
        """pass@1 if every missing question and ungraded sample were wrong, and if all were right."""
        known = sum(question.rate for question in self.questions)
        ungraded = sum(question.grader_errors / question.n for question in self.questions)
        total = len(self.questions) + len(self.missing)
        return known / total, (known + ungraded + len(self.missing)) / total

    @property
    def unparsed(self) -> float | None:
        """The share of samples without an answer that could be read; None where that is not known."""
        return self._share([question.unparsed for question in self.questions])

    @property
    def truncated(self) -> float | None:
        """The share of samples that the length limit cut; None where that is not known."""
        return self._share([question.truncated for question in self.questions])

    def _share(self, counts: Sequence[int | None]) -> float | None:
        known = [count for count in counts if count is not None]
        if len(known) < len(counts):
            return None
        return sum(known) / sum(question.n for question in self.questions)

    def to_json(self) -> ScoresTable:
        """scores.json: the public contract of ``harness score --json``, and what reports need besides."""
        least, greatest = self.samples
        one = self.pass_at_1()
        total = sum(question.n for question in self.questions)
        answer: ScoresTable = {
            "version": Versioned.NEWEST,
            "benchmark": self.benchmark,
            "model": self.model,
            "questions": len(self.questions),
            "samples_per_question": {"min": least, "max": greatest},
            "pass@1": {
                "value": one.value,
                "stderr": one.stderr,
                "stderr_benchmark": self._benchmark_error(),
                "ci95": list(one.ci95),
                "bounds": list(self.bounds()),
            },
            **self._curves(),
            "unparsed": self.unparsed,
            "truncated": self.truncated,
            "grader_errors": sum(question.grader_errors for question in self.questions) / total,
            "timeouts": sum(question.timeouts for question in self.questions) / total,
            "duplicates": sum(question.duplicates for question in self.questions) / total,
            "isolation": self.isolation,
            "missing": list(self.missing),
            "tokens": self._tokens(one.value),
            "protocol": None if self.protocol is None else dict(self.protocol),
            "engine": self.engine,
            "key": self.key,
            "source": self.source,
            "data_hash": self.data_hash,
            "votes": self.votes,
            "warnings": list(self.cautions),
            "judge": None if self.judge is None else dict(self.judge),
        }
        if self.cost is not None:
            answer["cost"] = self.cost
        if self.judge_cost is not None:
            answer["judge_cost"] = self.judge_cost
        if self.compared:
            answer["win_rate"] = win_rate(self.questions)
            answer["length_controlled"] = self.length_controlled
        answer["per_question"] = [_question_row(question) for question in self.questions]
        return answer

    def _benchmark_error(self) -> float | None:
        if self.compared or metrics.repeats_itself(self.questions):
            return None  # its formula is for samples that are right or wrong, drawn independently
        correct = np.array([float(question.correct) for question in self.questions])
        samples = np.array([float(question.n) for question in self.questions])
        return intervals.benchmark_error(correct, samples)

    def _curves(self) -> ScoresTable:
        """pass@k, pass^k and cons@k against k; none where responses were compared, not right or wrong."""
        ks = () if self.compared else self.ks
        passes = {k: self.pass_at_k(k) for k in ks}
        votes: dict[str, FigureTable] = {}
        voted = ks if self.votes else ()
        for k, credit in zip(voted, metrics.cons_curve(self.questions, voted), strict=True):
            estimate = intervals.mean_estimate(credit.values)
            votes[str(k)] = {"value": estimate.value, "ci95": list(estimate.ci95)}
            if credit.error:
                votes[str(k)]["monte_carlo_error"] = credit.error
        return {
            "pass@k": {str(k): estimate.value for k, estimate in passes.items()},
            "pass@k_ci95": {str(k): list(estimate.ci95) for k, estimate in passes.items()},
            "pass^k": {str(k): float(np.mean(metrics.pass_hat_k(self.questions, k))) for k in ks},
            "cons@k": votes,
        }

    def _tokens(self, accuracy: float) -> Lengths | None:
        """Lengths in tokens, and pass@1 per 1,000 tokens of a response; None where not recorded."""
        total = correct = 0
        for question in self.questions:
            if question.tokens is None or question.tokens_correct is None:
                return None
            total += question.tokens
            correct += question.tokens_correct
        samples = sum(question.n for question in self.questions)
        right_samples = sum(question.correct for question in self.questions)
        wrong_samples = samples - right_samples
        return {
            "total": total,
            "mean": total / samples,
            "mean_correct": correct / right_samples if right_samples else None,
            "mean_wrong": (total - correct) / wrong_samples if wrong_samples else None,
            "accuracy_per_1000": 1000 * accuracy * samples / total if total else None,
        }

    def write(self, folder: Path) -> None:
        """Writes scores.json into ``folder``, all there or not at all."""
        folder.mkdir(parents=True, exist_ok=True)
        io.write_json(folder / "scores.json", self.to_json())


def _question_row(question: QuestionStats) -> dict[str, Any]:
    row = {name: getattr(question, name) for name in QuestionStats.__slots__}
    row["votes"] = [[vote.answer, vote.count, vote.correct] for vote in question.votes]
    if question.duels:
        row["duels"] = [list(astuple(duel)) for duel in question.duels]
    else:
        del row["duels"]
    return row


def read_scores(path: Path) -> Scores:
    """The scores in a scores.json.

    Raises:
        TaskError: the file is missing, or is not a scores.json.
        UsageError: a newer version of this program wrote it.
    """
    try:
        raw = json.loads(path.read_bytes())
        Versioned.check_version(raw, path)
        questions = tuple(_question(row) for row in raw["per_question"])
        names = ("benchmark", "isolation", "model", "engine", "key", "source", "data_hash")
        named = ("judge", "length_controlled", "cost", "judge_cost")
        tables = (raw["protocol"], *map(raw.get, named))
        if (
            not questions
            or not all(isinstance(raw[name], str) for name in names)
            or not all(table is None or isinstance(table, dict) for table in tables)
        ):
            raise ValueError("damaged")
        return Scores(
            benchmark=raw["benchmark"],
            questions=questions,
            isolation=raw["isolation"],
            votes=bool(raw["votes"]),
            missing=tuple(map(str, raw["missing"])),
            model=raw["model"],
            engine=raw["engine"],
            key=raw["key"],
            protocol=raw["protocol"],
            source=raw["source"],
            data_hash=raw["data_hash"],
            warnings=tuple(map(str, raw["warnings"])),
            judge=raw.get("judge"),
            length_controlled=raw.get("length_controlled"),
            cost=raw.get("cost"),
            judge_cost=raw.get("judge_cost"),
        )
    except FileNotFoundError:
        raise TaskError(f"{path}: no such file") from None
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        raise TaskError(f"{path}: is not a scores.json of this program; score the samples again") from None


def _question(row: Mapping[str, Any]) -> QuestionStats:
    """What ``_question_row`` made; ValueError and the like for what it cannot have made."""
    votes = tuple(Vote(*vote) for vote in row["votes"])
    duels = tuple(Duel(*duel) for duel in row.get("duels", ()))
    found = QuestionStats(**{**row, "votes": votes, "duels": duels})
    unknown = (found.unparsed, found.truncated, found.tokens, found.tokens_correct)
    counts = [found.n, found.correct, found.grader_errors, found.duplicates, found.timeouts]
    counts += [*(count for count in unknown if count is not None), *(vote.count for vote in votes)]
    if (
        not isinstance(found.id, str)
        or not all(type(count) is int and 0 <= count < LARGEST_COUNT for count in counts)
        or not 0 < found.n >= found.correct
        or not all(isinstance(vote.answer, str) for vote in votes)
        or not all(math.isfinite(duel.won) and 0 < duel.weight < math.inf for duel in duels)
    ):
        raise ValueError("damaged")
    return found


def votable(task: Task) -> bool:
    """Whether the task's answers can be compared with each other: programs and free answers cannot."""
    return task.grader not in ("code", *JUDGED)


def questions_hash(questions: Sequence[Question]) -> str:
    """A digest of ids, texts, golds and tests: two scores are of the same benchmark where it is equal."""
    digest = hashlib.blake2b(digest_size=16)
    for question in questions:
        tests = [question.tests] if question.tests else []
        digest.update(json.dumps([question.id, question.text, question.gold, *tests]).encode())
    return digest.hexdigest()
