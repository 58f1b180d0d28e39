"""What an engine replied to lm-eval's requests, kept on disk as it comes: a request is asked once.

A request is known by what was asked (its kind, texts and generation settings) and by its number among equal
ones, so that the repeats of a question stay different samples, and a task whose data were edited asks anew
what is new in it and nothing else. lm-eval's own cache knows one reply to a request, and not how it ended.

    replies.jsonl   request, number, text, finish_reason, tokens     of a completion
                    request, number, loglikelihood (null is -inf), greedy    of a continuation or a text
                    prompt_tokens   of either, where they are known: what a server is paid for
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Self

from evals.engine import FinishReason
from evals.lm_eval.chat import without_thinking
from evals.replies import Place, Row


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
