r"""Grades mathematics: extract the answer, decide exactly where possible, else ask the worker processes.

The order of the rules is in ``extract.py``, what counts as the same answer in ``forms.py`` and ``exact.py``.
A percentage is compared as the share it is; only where the question asks for a percentage does ``25\%``
answer a gold of 25.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from types import TracebackType
from typing import Self

from evals.grading import exact
from evals.grading.extract import extract
from evals.grading.forms import depths
from evals.grading.math_workers import Outcome, Pair, Pool
from evals.grading.normalize import canonical
from evals.grading.verdict import Response, Verdict
from evals.grading.votes import Leaders, Sort, lone_leaf, plain_number
from evals.tasks.task import Question

LONGEST_ANSWER = 1000
DEEPEST_ANSWER = 40  # brackets inside brackets; the parser's time grows exponentially with them
_MOST_REMEMBERED = 200_000
_MOST_STUCK = 4  # comparisons that take too long, after which the votes of a question are only read exactly
_PERCENT = re.compile(r"%|\bper ?cent", re.IGNORECASE)


class MathGrader:
    """Answers that are numbers, expressions, sets, intervals, matrices, words.

    ``workers`` processes, each comparison limited to ``seconds`` of processor time. They start when the
    first comparison needs algebra; the same pair of gold and answer is compared once.
    """

    isolation = "none needed"

    def __init__(self, workers: int = 2, seconds: float = 3.0) -> None:
        self._pool = Pool(workers, seconds)
        self._remembered: dict[Pair, Outcome] = {}
        self._sorts: dict[str, Sort | None] = {}

    def grade(self, items: Sequence[tuple[Question, Response]]) -> list[Verdict]:
        """One verdict per response; ``detail`` names the rule that found the answer."""
        found = [extract(response.text, response.truncated) for _, response in items]
        pairs = [
            _pair(question, extraction.answer)
            for (question, _), extraction in zip(items, found, strict=True)
            if extraction.answer is not None
        ]
        outcomes = self._outcomes(pairs)
        return [
            Verdict("unparsed", None, extraction.rule)
            if extraction.answer is None
            else self._verdict(question, extraction.answer, extraction.rule, outcomes)
            for (question, _), extraction in zip(items, found, strict=True)
        ]

    def vote_classes(self, question: Question, answers: Sequence[str | None]) -> list[int | None]:
        """Classes of answers that mean the same.

        All that mean the gold are one class, whatever they would make of each other, so that voting and
        grading cannot disagree. Answers that could not be compared with the gold are equal to themselves
        only.
        """
        keys = [None if answer is None else canonical(answer) for answer in answers]
        spellings = {
            key: answer for key, answer in zip(keys, answers, strict=True) if answer and key is not None
        }
        leaders = self._leaders(question, spellings)
        numbers: dict[str, int] = {}
        return [
            None if key is None else numbers.setdefault(leaders.get(key, key), len(numbers)) for key in keys
        ]

    def close(self) -> None:
        """Ends the worker processes."""
        self._pool.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _verdict(self, question: Question, answer: str, rule: str, outcomes: dict[Pair, Outcome]) -> Verdict:
        shown = answer[:LONGEST_ANSWER]
        outcome = outcomes.get(_pair(question, answer))
        if not question.gold.strip():
            return Verdict("grader_error", shown, "the question has no gold answer")
        if outcome is None:
            return Verdict("wrong", shown, f"{rule}; too long or too deeply nested to be read")
        if outcome in ("equal", "different"):
            return Verdict("correct" if outcome == "equal" else "wrong", shown, rule)
        reasons = {
            "gold unreadable": "the gold answer cannot be read as mathematics",
            "timed out": f"the comparison took more than {self._pool.seconds:g} s",
            "failed": "the comparison failed",
        }
        return Verdict("grader_error", shown, f"{rule}; {reasons[outcome]}")

    def _outcomes(self, pairs: Iterable[Pair]) -> dict[Pair, Outcome]:
        """What is known of each pair; pairs whose answer cannot be looked at are left out."""
        known: dict[Pair, Outcome] = {}
        open_pairs: list[Pair] = []
        for pair in dict.fromkeys(pairs):
            if pair.answer.strip() == pair.gold.strip():
                known[pair] = "equal"
            elif _readable(pair.answer):
                decided = exact.decide(*pair)
                if decided is not None:
                    known[pair] = "equal" if decided else "different"
                elif pair in self._remembered:
                    known[pair] = self._remembered[pair]
                else:
                    open_pairs.append(pair)
        if open_pairs:
            if len(self._remembered) > _MOST_REMEMBERED:
                self._remembered.clear()
            computed = dict(zip(open_pairs, self._pool.compare(open_pairs), strict=True))
            self._remembered.update(computed)
            known.update(computed)
        return known

    def _leaders(self, question: Question, spellings: dict[str, str]) -> dict[str, str]:
        """Maps each spelling to the one that stands for its class."""
        judged = self._outcomes(_pair(question, answer) for answer in spellings.values())
        sorts = self._sorts_of(list(spellings.values()))
        leaders: dict[str, str] = {}
        others = Leaders()
        right: str | None = None
        stuck = 0
        for key, answer in spellings.items():
            outcome = judged.get(_pair(question, answer))
            if outcome == "equal":
                right = right or key
                leaders[key] = right
            elif outcome == "different" or not question.gold.strip():
                near = others.like(sorts[answer]) if _readable(answer) and stuck < _MOST_STUCK else []
                alike = self._alike(
                    [Pair(spellings[other], answer, _asks_percent(question)) for other in near]
                )
                stuck += sum(found is None for found in alike)
                same = (other for other, found in zip(near, alike, strict=True) if found)
                leaders[key] = next(same, key)
                if leaders[key] == key:
                    others.add(key, sorts[answer])
        return leaders

    def _sorts_of(self, answers: Sequence[str]) -> dict[str, Sort | None]:
        """The sort of each answer; those that take algebra to tell are computed at once, and kept."""
        leaves = {answer: lone_leaf(answer) if _readable(answer) else None for answer in answers}
        known = {leaf: plain_number(leaf) for leaf in leaves.values() if leaf is not None}
        if len(self._sorts) > _MOST_REMEMBERED:
            self._sorts.clear()
        asked = [leaf for leaf, sort in known.items() if sort is None and leaf not in self._sorts]
        self._sorts.update(zip(asked, self._pool.sorts(asked), strict=True))
        known |= {leaf: self._sorts[leaf] for leaf, sort in known.items() if sort is None}
        return {answer: None if leaf is None else known[leaf] for answer, leaf in leaves.items()}

    def _alike(self, pairs: Sequence[Pair]) -> list[bool | None]:
        """Whether the two answers of each pair mean the same in both directions; None: not found out."""
        back = {pair: Pair(pair.answer, pair.gold, pair.percent) for pair in pairs}
        plausible = [
            pair
            for pair in pairs
            if exact.decide(*pair) is not False and exact.decide(*back[pair]) is not False
        ]
        outcomes = self._outcomes([*plausible, *(back[pair] for pair in plausible)])
        found: list[bool | None] = []
        for pair in pairs:
            both = {outcomes.get(pair, "different"), outcomes.get(back[pair], "different")}
            found.append(None if both & {"timed out", "failed"} else both == {"equal"})
        return found


def _pair(question: Question, answer: str) -> Pair:
    return Pair(question.gold, answer, _asks_percent(question))


def _asks_percent(question: Question) -> bool:
    return _mentions_percent(question.text)


@lru_cache(maxsize=8192)
def _mentions_percent(text: str) -> bool:
    return _PERCENT.search(text) is not None


def _readable(answer: str) -> bool:
    return len(answer) <= LONGEST_ANSWER and max(depths(answer), default=0) <= DEEPEST_ANSWER
