r"""Grades mathematics: extract the answer, decide exactly where possible, else ask the worker processes.

The order of the rules is in ``extract.py``, what counts as the same answer in ``meaning.py`` and
``exact.py``. A percentage is compared as the share it is; only where the question asks for a percentage does
``25\%`` answer a gold of 25.

An answer that cannot be compared in time with a gold that can be read is wrong, and not a failure of the
grader: failures are left out of a group in training, so that a policy would gain by being slow.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Literal

from evals.base.closing import Closing
from evals.graders.base import Response, Verdict, numbered
from evals.graders.extract import Extraction, extract
from evals.graders.math import exact
from evals.graders.math.asked import asks_percent, expected, restate
from evals.graders.math.brackets import depths
from evals.graders.math.gold import stated
from evals.graders.math.normalize import canonical
from evals.graders.math.votes import Leaders, Sort, lone_leaf, plain_number
from evals.graders.math.workers import Outcome, Pair, Pool
from evals.task import Question

LONGEST_ANSWER = 1000
DEEPEST_ANSWER = 40  # brackets inside brackets; the parser's time grows exponentially with them
_MOST_REMEMBERED = 200_000
_MOST_STUCK = 4  # comparisons that take too long, after which the votes of a question are only read exactly
# A comparison takes milliseconds. What takes longer than the first limit is tried again with the pool's own,
# as long as the call's budget lasts; once that is spent, what is left has the second limit.
_FIRST_SECONDS = 0.3
_HURRIED_SECONDS = 0.1
_MANY = 1000  # responses, of which some will need algebra
_AT_ONCE = 64  # comparisons between two looks at the clock

# What is known of a pair: an outcome of the pool, or that the answer could not be compared although the gold
# can be read.
Judgement = Outcome | Literal["too slow", "broke down"]
_WRONG: tuple[Judgement, ...] = ("different", "too slow", "broke down")
_UNKNOWN: set[Judgement] = {"timed out", "failed", "too slow", "broke down"}


class MathGrader(Closing):
    """Answers that are numbers, expressions, sets, intervals, matrices, words.

    ``workers`` processes, each comparison limited to ``seconds`` of processor time, and those of one call
    that are slow to ``budget`` seconds by the clock, all together (each still has a tenth of a second). The
    processes start when the first comparison needs algebra; a pair of gold and answer is compared once.
    """

    isolation = "none needed"

    def __init__(self, workers: int = 2, seconds: float = 3.0, budget: float = 30.0) -> None:
        self._pool = Pool(workers, seconds)
        self._budget = budget
        self._remembered: dict[Pair, Judgement] = {}
        self._sorts: dict[str, Sort | None] = {}

    def grade(self, items: Sequence[tuple[Question, Response]]) -> list[Verdict]:
        """One verdict per response; ``detail`` names the rule that found the answer."""
        if len(items) >= _MANY:
            self._pool.start()  # it loads SymPy while the answers are looked for
        found = [
            extract(response.text, response.truncated, response.unclosed_answers) for _, response in items
        ]
        pairs = [
            None if extraction.answer is None else _pair(question, extraction.answer)
            for (question, _), extraction in zip(items, found, strict=True)
        ]
        outcomes = self._outcomes(pair for pair in pairs if pair is not None)
        return [
            Verdict("unparsed", None, extraction.rule)
            if extraction.answer is None or pair is None
            else self._verdict(question, extraction, outcomes.get(pair))
            for (question, _), extraction, pair in zip(items, found, pairs, strict=True)
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
        return numbered(None if key is None else leaders.get(key, key) for key in keys)

    def close(self) -> None:
        """Ends the worker processes."""
        self._pool.close()

    def _verdict(self, question: Question, extraction: Extraction, outcome: Judgement | None) -> Verdict:
        shown, rule = (extraction.answer or "")[:LONGEST_ANSWER], extraction.rule
        if not question.gold.strip():
            return Verdict("grader_error", shown, "the question has no gold answer")
        if outcome is None:
            return Verdict("wrong", shown, f"{rule}; too long or too deeply nested to be read")
        if outcome in ("equal", "different"):
            return Verdict("correct" if outcome == "equal" else "wrong", shown, rule)
        if outcome == "too slow":
            return Verdict("wrong", shown, f"{rule}; not compared within the time limit")
        if outcome == "broke down":
            return Verdict("wrong", shown, f"{rule}; the comparison failed on this answer")
        reasons: dict[Judgement, str] = {
            "gold unreadable": "the gold answer cannot be read as mathematics",
            "timed out": f"the comparison took more than {self._pool.seconds:g} s",
            "failed": "the comparison failed",
        }
        return Verdict("grader_error", shown, f"{rule}; {reasons[outcome]}")

    def _outcomes(self, pairs: Iterable[Pair]) -> dict[Pair, Judgement]:
        """What is known of each pair; pairs whose answer cannot be looked at are left out."""
        known: dict[Pair, Judgement] = {}
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
            computed = self._compared(open_pairs)
            self._remembered.update(computed)
            known.update(computed)
        return known

    def _compared(self, pairs: Sequence[Pair]) -> dict[Pair, Judgement]:
        """What the pool makes of each pair, within the call's budget."""
        deadline = time.monotonic() + self._budget
        found: dict[Pair, Judgement] = {}
        for some in _portions(pairs, _AT_ONCE):
            limit = _FIRST_SECONDS if time.monotonic() < deadline else _HURRIED_SECONDS
            found.update(zip(some, self._pool.compare(some, limit), strict=True))
        slow = [pair for pair in pairs if found[pair] == "timed out"]
        for some in _portions(slow, 2 * self._pool.size):
            if time.monotonic() < deadline:
                found.update(zip(some, self._pool.compare(some), strict=True))
        self._settle(found)
        return found

    def _settle(self, found: dict[Pair, Judgement]) -> None:
        """Tells the answers that cannot be compared from the golds that cannot be read."""
        undecided = [pair for pair, outcome in found.items() if outcome in ("timed out", "failed")]
        golds = list(dict.fromkeys(pair.gold for pair in undecided))
        readable = dict(zip(golds, self._pool.readable(golds), strict=True))
        for pair in undecided:
            judged = readable[pair.gold]
            if judged != "readable":
                found[pair] = judged
            else:
                found[pair] = "too slow" if found[pair] == "timed out" else "broke down"

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
            elif outcome in _WRONG or not question.gold.strip():
                near = others.like(sorts[answer]) if _readable(answer) and stuck < _MOST_STUCK else []
                alike = self._alike(
                    [Pair(spellings[other], answer, asks_percent(question.text)) for other in near]
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
            found.append(None if both & _UNKNOWN else both == {"equal"})
        return found


def _pair(question: Question, answer: str) -> Pair:
    gold = expected(question.text, stated(question.gold))
    return Pair(gold, restate(question.text, gold, answer), asks_percent(question.text))


def _portions(pairs: Sequence[Pair], size: int) -> Iterable[Sequence[Pair]]:
    return (pairs[start : start + size] for start in range(0, len(pairs), size))


def _readable(answer: str) -> bool:
    return len(answer) <= LONGEST_ANSWER and max(depths(answer), default=0) <= DEEPEST_ANSWER
