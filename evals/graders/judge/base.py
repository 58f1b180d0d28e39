"""What all graders that ask a language model have in common; how it is asked is a file of its own each.

A judge that does not answer, or whose reply holds no verdict, makes a row "grader_error": that leaves the
score bounded, and the next call of the same command asks again.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from evals.base.closing import Closing
from evals.base.http import PAUSES
from evals.graders.base import Grader, Response, Verdict
from evals.graders.judge.client import Judge, JudgeClient, JudgeError, Reply
from evals.graders.judge.kept import KeptReplies
from evals.graders.reading import read
from evals.replies import Replies
from evals.stats.tables import JudgeBill
from evals.task import Question

FILE = "judge.jsonl"
"""What an evaluation's folder keeps the judge's replies in."""
AT_ONCE = 16  # requests: a vLLM server batches them
REPLY = 2_000  # characters of a reply that are kept, its end


class JudgedGrader(Closing):
    """Asks a ``Judge`` about what a response says after its reasoning; equal answers are judged once."""

    isolation = "none needed"
    judges_cut = False
    """Whether an answer that the length limit cut is judged as it stands; else it says nothing."""
    nothing = Verdict("unparsed", None, "no final answer")
    """The verdict on a response that says nothing after its reasoning."""

    def __init__(self, judge: Judge, pauses: Sequence[float] = PAUSES) -> None:
        self._judge = judge
        self._client = JudgeClient(judge, pauses)
        self._replies = KeptReplies(self._client)

    @property
    @abstractmethod
    def prompt(self) -> str:
        """What the judge is told, with the places where question and answers go."""

    @abstractmethod
    def _judged(self, question: Question, text: str) -> Verdict:
        """The judge's verdict on an answer that is not empty; may raise ``JudgeError``.

        Replies come from ``self._replies.settled``.
        """

    @property
    def description(self) -> dict[str, str]:
        """The judge's name and prompt, for keys and scores.json."""
        return {"model": self._judge.model, "prompt": self.prompt}

    def keep_in(self, replies: Replies) -> None:
        """Replies are kept in ``replies`` from here on; what is there is not asked again."""
        self._replies.keep_in(replies)

    def tell_of_each(self, paid: Callable[[Reply, Judge], None]) -> None:
        """``paid`` is told of each reply that the judge gives."""
        self._replies.paid = lambda reply: paid(reply, self._judge)

    def cost(self, replies: Replies) -> JudgeBill | None:
        """What the judge's replies that are kept in ``replies`` took."""
        return self._replies.bill(replies, self._judge.price)

    def grade(self, items: Sequence[tuple[Question, Response]]) -> list[Verdict]:
        """One verdict per item, in order; what is empty after the reasoning is "unparsed"."""
        said = [
            spoken(response) if self.judges_cut or not response.truncated else "" for _, response in items
        ]
        asked = {
            (question.id, question.gold, text): question
            for (question, _), text in zip(items, said, strict=True)
            if text
        }
        self._client.forgive()
        with ThreadPoolExecutor(AT_ONCE) as pool:
            verdicts = pool.map(lambda key: self._verdict(asked[key], key[2]), asked)
            known = dict(zip(asked, verdicts, strict=True))
        return [
            known[question.id, question.gold, text] if text else self.nothing
            for (question, _), text in zip(items, said, strict=True)
        ]

    def vote_classes(self, question: Question, answers: Sequence[str | None]) -> list[int | None]:
        """None throughout: free answers do not vote."""
        return [None] * len(answers)

    def close(self) -> None:
        """Closes the connections to the judge."""
        self._client.close()

    def _verdict(self, question: Question, text: str) -> Verdict:
        try:
            return self._judged(question, text)
        except JudgeError as error:
            return Verdict("grader_error", text, f"the judge {self._judge.model}: {error}")


def judge_of(grader: Grader) -> dict[str, str] | None:
    """The name and prompt of the judge that grades; None where none does."""
    return grader.description if isinstance(grader, JudgedGrader) else None


def keeping(grader: Grader, path: Path | None) -> Replies | None:
    """Keeps the judge's replies in ``path`` (None: in memory) from here on; None where no judge grades."""
    if not isinstance(grader, JudgedGrader):
        return None
    replies = Replies(path)
    grader.keep_in(replies)
    return replies


def judge_cost(grader: Grader, replies: Replies | None) -> JudgeBill | None:
    """What a judge's replies took, of which ``keeping`` gave the file; None where it was not asked."""
    return grader.cost(replies) if isinstance(grader, JudgedGrader) and replies is not None else None


def spoken(response: Response) -> str:
    """What a response says after its reasoning, whole; "" where that is nothing."""
    reading = read(response.text, response.truncated, response.unclosed_answers, further_questions=True)
    return (reading.said or "").strip()
