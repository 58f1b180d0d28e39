"""What a grader says of one response."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, Protocol, Self

from evals.base.closing import Closing
from evals.duel import Duel
from evals.task import Question

Status = Literal["correct", "wrong", "unparsed", "grader_error"]
TIMEOUT = "timeout"  # how the detail of a program begins whose seconds were up


def timed_out(detail: str) -> bool:
    """Whether a verdict's detail says that a program was ended because its seconds were up."""
    return detail.startswith(f"{TIMEOUT}:")


@dataclass(frozen=True)
class Verdict:
    """One response, judged.

    ``answer`` is what was extracted (None when nothing could be: "unparsed"). ``detail`` says in a few
    words why (a failed test's number, a grader's error, the fallback used). ``duel`` is there where a
    response is compared with a baseline's: it is "correct" where it won more than half.
    """

    status: Status
    answer: str | None = None
    detail: str = ""
    duel: Duel | None = None

    @property
    def correct(self) -> bool:
        return self.status == "correct"


@dataclass(frozen=True)
class Response:
    """A response to be judged: the text, and whether the length limit cut it.

    ``unclosed_answers``: whether a complete ``<answer>`` counts that ends a response whose ``<think>`` was
    never closed (``reading.py``).
    """

    text: str
    truncated: bool = False
    unclosed_answers: bool = True


class Grader(Protocol):
    """Judges responses. Never raises for what a model wrote: that is a verdict of its own."""

    @property
    def isolation(self) -> str:
        """How model-written code is contained ("none needed" where none is run)."""
        ...

    def grade(self, items: Sequence[tuple[Question, Response]]) -> list[Verdict]:
        """One verdict per item, in order."""
        ...

    def vote_classes(self, question: Question, answers: Sequence[str | None]) -> list[int | None]:
        """The equivalence class of each answer to one question, numbered by first appearance.

        Class 0, 1, … of answers that mean the same; None (abstains) for an answer that is None. Graders
        of code return None throughout: programs do not vote.
        """
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class OneByOne(Closing):
    """A grader that judges each response by itself, in this process, and holds nothing."""

    isolation = "none needed"

    @abstractmethod
    def verdict(self, question: Question, response: Response) -> Verdict:
        """The verdict on one response; ``detail`` names the rule that found the answer."""

    @abstractmethod
    def vote_classes(self, question: Question, answers: Sequence[str | None]) -> list[int | None]:
        """As ``Grader.vote_classes``."""

    def grade(self, items: Sequence[tuple[Question, Response]]) -> list[Verdict]:
        """One verdict per item, in order."""
        return [self.verdict(question, response) for question, response in items]

    def close(self) -> None:
        """It holds nothing."""


def numbered(keys: Iterable[Hashable | None]) -> list[int | None]:
    """Vote classes: equal keys are one class, numbered by first appearance; None abstains."""
    numbers: dict[Hashable, int] = {}
    return [None if key is None else numbers.setdefault(key, len(numbers)) for key in keys]
