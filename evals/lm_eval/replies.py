"""What an engine replied to lm-eval's requests, kept on disk as it comes: a request is asked once.

A request is known by what was asked (its kind, texts and generation settings) and by its number among equal
ones, so that the repeats of a question stay different samples, and a task whose data were edited asks anew
what is new in it and nothing else. lm-eval's own cache knows one reply to a request, and not how it ended.

    replies.jsonl   request, number, text, finish_reason, tokens     of a completion
                    request, number, loglikelihood (null is -inf), greedy    of a continuation or a text
                    prompt_tokens   of either, where they are known: what a server is paid for
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from evals.base import io
from evals.engine import Completion, FinishReason
from evals.lm_eval.chat import without_thinking
from evals.records import numbered_lines, parse_line

Row = dict[str, Any]
Place = tuple[str, int]
"""A request's digest, and its number among equal requests."""


class Reply(str):
    """A generated text that still knows how it ended: lm-eval hands texts on as they are.

    ``prompt`` is the text that the model was asked, where lm-eval's own was too long for it. ``whole`` is all
    that it said, where lm-eval is handed what follows the reasoning alone.
    """

    finish_reason: FinishReason
    tokens: int | None
    prompt: str
    whole: str

    @classmethod
    def of(
        cls, row: Mapping[str, Any], prompt: str, *, thinks: bool = False, until: Sequence[str] = ()
    ) -> Self:
        """The reply in a row of replies.jsonl.

        One that ``thinks`` is read from where its reasoning ends to the first of ``until``.
        """
        reply = cls(without_thinking(row["text"], until) if thinks else row["text"])
        reply.whole = row["text"]
        reply.finish_reason, reply.tokens, reply.prompt = row["finish_reason"], row["tokens"], prompt
        return reply


@dataclass(frozen=True)
class Tokens:
    """Tokens of a prompt and of its reply; None where nobody counted them."""

    prompt_tokens: int | None
    tokens: int | None


class Replies:
    """The replies in a file; without a file they are kept in memory alone."""

    def __init__(self, path: Path | None = None) -> None:
        """Reads ``path``; a line that a kill or a disk damaged is dropped, and its request asked again."""
        self._path = path
        self._rows: dict[Place, Row] = {}
        self.asked = 0
        """Requests that were not in the file."""
        if path is None or not path.exists():
            return
        bad = set()
        for number, line in numbered_lines(path):
            try:
                row = parse_line(line)
                if not line.endswith(b"\n") or not ("text" in row or "loglikelihood" in row):
                    raise ValueError("is cut short")
                self._rows[str(row["request"]), int(row["number"])] = row
            except (ValueError, KeyError, TypeError):
                bad.add(number)
        if bad:
            io.write_bytes(path, [line for number, line in numbered_lines(path) if number not in bad])

    def get(self, place: Place) -> Row | None:
        return self._rows.get(place)

    def __contains__(self, place: Place) -> bool:
        return place in self._rows

    def counts(self) -> Iterator[Tokens]:
        """The tokens of every reply."""
        for row in self._rows.values():
            yield Tokens(row.get("prompt_tokens"), row.get("tokens"))

    def add(self, rows: Iterable[Row]) -> None:
        """Keeps rows, on disk before this returns."""
        new = list(rows)
        self.asked += len(new)
        self._rows.update({(row["request"], row["number"]): row for row in new})
        if self._path is not None:
            io.append_lines(self._path, new)


def digest(kind: str, args: Iterable[Any]) -> str:
    """The name of a request of lm-eval."""
    told = json.dumps([kind, *args], sort_keys=True, default=str)
    return hashlib.blake2b(told.encode(), digest_size=16).hexdigest()


def completion_row(place: Place, completion: Completion) -> Row:
    row = {
        "request": place[0],
        "number": place[1],
        "text": completion.text,
        "finish_reason": completion.finish_reason,
        "tokens": completion.tokens,
    }
    return row if completion.usage is None else row | {"prompt_tokens": completion.usage.prompt}


def likelihood_row(
    place: Place, value: float, greedy: bool | None = None, *, read: int, requests: int = 1
) -> Row:
    """``read``: tokens of the texts that were scored; each of ``requests`` is answered by a token."""
    known = value if math.isfinite(value) else None
    told = {"request": place[0], "number": place[1], "loglikelihood": known, "greedy": greedy}
    return told | {"prompt_tokens": read, "tokens": requests}


def likelihood(row: Mapping[str, Any]) -> float:
    value = row["loglikelihood"]
    return -math.inf if value is None else float(value)
