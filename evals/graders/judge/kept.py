"""A judge's replies, each kept as it comes: what is paid for is not asked for again, and is counted.

    judge.jsonl   request, number, judge, text, likeliest, prompt_tokens, tokens

A judge is asked at temperature 0, so a reply that is there stands for another one. But where the replies to a
question hold no verdict, it is asked anew by the next call: the number counts replies to equal requests.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from threading import Lock
from typing import Any, Protocol, TypeVar

from evals.graders.judge.client import JudgeClient, Message, NoVerdictError, Reply
from evals.price import Price, judge_bill
from evals.replies import Place, Replies, Row, Tokens, digest
from evals.stats.tables import JudgeBill

T = TypeVar("T")


class Ask(Protocol):
    """``JudgeClient.ask``."""

    def __call__(self, messages: Sequence[Message], **options: Any) -> Reply: ...


class KeptReplies:
    """Asks a judge what was not asked before, from any number of threads."""

    def __init__(self, client: JudgeClient) -> None:
        self._client = client
        self._lock = Lock()
        self._kept: Replies | None = None
        self._known: list[Replies] = []
        self.paid: Callable[[Reply], None] = lambda _reply: None
        """Told of each reply that the judge gave just now."""

    def keep_in(self, kept: Replies) -> None:
        """From here on new replies go into ``kept``; those that are there are not asked for again.

        Until then none is kept.
        """
        self._kept = kept
        if all(each is not kept for each in self._known):
            self._known.append(kept)

    def settled(self, judged: Callable[[Ask], T]) -> T:
        """What ``judged`` reads from replies; where kept ones hold no verdict, they are asked for again.

        Raises:
            JudgeError: the judge did not reply, or gave no verdict.
        """
        first = _Asking(self)
        try:
            return judged(first)
        except NoVerdictError:
            if first.new:
                raise
        return judged(_Asking(self, anew=True))

    def reply(self, messages: Sequence[Message], options: dict[str, Any], anew: bool) -> tuple[Reply, bool]:
        """The reply, and whether it was asked for just now."""
        request = digest("judge", [self._client.model, messages, options])
        with self._lock:
            rows = list(self._rows(request))
        if rows and not anew:
            return _reply(rows[-1]), False
        found = self._client.ask(messages, **options)
        with self._lock:
            if self._kept is not None:
                place = request, len(list(self._rows(request)))
                self._kept.add([_row(place, self._client.model, found)])
            self.paid(found)
        return found, True

    def bill(self, kept: Replies, price: tuple[float, float] | None) -> JudgeBill | None:
        """What this judge's replies in ``kept`` took; another judge's may be there too."""
        own = (row for row in kept.rows() if row.get("judge") == self._client.model)
        return judge_bill(map(Tokens.of, own), None if price is None else Price(*price))

    def _rows(self, request: str) -> Iterator[Row]:
        """The replies to equal requests, in order."""
        number = 0
        while row := next((row for each in self._known if (row := each.get((request, number)))), None):
            yield row
            number += 1


class _Asking:
    """``Ask``; ``new``: whether anything was asked of the judge itself."""

    def __init__(self, replies: KeptReplies, anew: bool = False) -> None:
        self._replies, self._anew, self.new = replies, anew, False

    def __call__(self, messages: Sequence[Message], **options: Any) -> Reply:
        reply, new = self._replies.reply(messages, options, self._anew)
        self.new |= new
        return reply


def _row(place: Place, judge: str, reply: Reply) -> Row:
    return {
        "request": place[0],
        "number": place[1],
        "judge": judge,
        "text": reply.text,
        "likeliest": reply.likeliest,
        "prompt_tokens": reply.prompt_tokens,
        "tokens": reply.tokens,
    }


def _reply(row: Row) -> Reply:
    likeliest = tuple((str(token), float(value)) for token, value in row.get("likeliest") or ())
    return Reply(str(row["text"]), likeliest, row.get("prompt_tokens"), row.get("tokens"))
