"""Graded samples on disk: one JSON object a line, appended as they come, readable after any kill.

    samples.jsonl   id, sample, response, answer, correct, status, detail, finish_reason, tokens, seconds;
                    prompt where it was sampled here: the text that the model continued;
                    prompt_tokens where a server was asked and counts them;
                    duel (won, weight, length) where a judge compared the response with a baseline's
    tokens.jsonl    id, sample, token_ids (base64 of zlib of little-endian uint32)

Token ids stand in a file of their own: few readers want them, and every reader wants the rest quickly.
"""

from __future__ import annotations

import base64
import json
import math
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import Any, Self, get_args

import numpy as np

from evals.base.text_files import open_text
from evals.duel import Duel
from evals.engine import Completion, FinishReason, Usage
from evals.graders.base import Status, Verdict
from evals.rollout import Rollout
from evals.task import Question, TaskError

STATUSES = get_args(Status)
FINISH_REASONS = get_args(FinishReason)


@dataclass(frozen=True, slots=True)
class Sample:
    """One graded completion.

    ``tokens`` counts the completion's tokens (None where a recorded file does not say). ``seconds`` is
    its share, by tokens, of the time its batch took to generate: the only field that two runs of one
    evaluation do not agree on.
    """

    id: str
    sample: int
    response: str
    answer: str | None
    status: Status
    detail: str
    finish_reason: FinishReason
    tokens: int | None
    seconds: float
    duel: Duel | None = None
    prompt: str | None = None
    prompt_tokens: int | None = None

    @classmethod
    def of(cls, rollout: Rollout, seconds: float = 0.0) -> Self:
        """The row of a rollout; ``seconds``: what it took to generate."""
        completion, verdict = rollout.completion, rollout.verdict
        return cls(
            id=rollout.question.id,
            sample=rollout.sample,
            response=completion.text,
            answer=verdict.answer,
            status=verdict.status,
            detail=verdict.detail,
            finish_reason=completion.finish_reason,
            tokens=completion.tokens,
            seconds=seconds,
            duel=verdict.duel,
            prompt=rollout.prompt or None,
            prompt_tokens=None if completion.usage is None else completion.usage.prompt,
        )

    def judged(self, verdict: Verdict) -> Self:
        """The same response with another verdict."""
        return replace(
            self, answer=verdict.answer, status=verdict.status, detail=verdict.detail, duel=verdict.duel
        )

    def rollout(self, question: Question, prompt: str = "", token_ids: tuple[int, ...] = ()) -> Rollout:
        """The rollout that this is the row of; log-probabilities are not kept.

        ``question`` and ``prompt``: as this sample was asked. ``token_ids``: none where a server does not
        show them.
        """
        usage = None if token_ids else Usage(self.prompt_tokens, self.tokens)
        completion = Completion(self.response, token_ids, (), self.finish_reason, usage)
        verdict = Verdict(self.status, self.answer, self.detail, self.duel)
        return Rollout(question, prompt, completion, verdict, sample=self.sample)

    @property
    def correct(self) -> bool:
        return self.status == "correct"

    def as_row(self) -> dict[str, Any]:
        """The row of samples.jsonl."""
        row: dict[str, Any] = {
            "id": self.id,
            "sample": self.sample,
            "response": self.response,
            "answer": self.answer,
            "correct": self.correct,
            "status": self.status,
            "detail": self.detail,
            "finish_reason": self.finish_reason,
            "tokens": self.tokens,
            "seconds": self.seconds,
        }
        if self.duel is not None:
            row["duel"] = list(astuple(self.duel))
        if self.prompt is not None:
            row["prompt"] = self.prompt
        if self.prompt_tokens is not None:
            row["prompt_tokens"] = self.prompt_tokens
        return row


def parse_line(line: bytes) -> dict[str, Any]:
    """The JSON object in a line.

    Raises:
        ValueError: it is none; the message is a clause that says so.
    """
    try:
        row = json.loads(line.decode())
    except (ValueError, RecursionError):
        raise ValueError("is not valid JSON") from None
    if not isinstance(row, dict):
        raise ValueError("is not a JSON object")
    return row


def given(value: Any, otherwise: Any = None) -> Any:
    """The value; ``otherwise`` where there is none, as null or as the NaN of a table's empty cell."""
    return otherwise if value is None or (isinstance(value, float) and math.isnan(value)) else value


def whole(value: Any) -> Any:
    """A whole number that a table stored as a float (3.0) as a whole number; anything else as it is."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def parse_sample(row: Mapping[str, Any]) -> Sample:
    """The sample in a row of samples.jsonl.

    Raises:
        ValueError: a field is missing or of the wrong kind; the message is a clause that says which.
    """
    try:
        sample = Sample(
            id=row["id"],
            sample=row["sample"],
            response=row["response"],
            answer=row["answer"],
            status=row["status"],
            detail=row["detail"],
            finish_reason=row["finish_reason"],
            tokens=row["tokens"],
            seconds=float(row["seconds"]),
            duel=parse_duel(row.get("duel")),
            prompt=row.get("prompt"),
            prompt_tokens=row.get("prompt_tokens"),
        )
    except KeyError as missing:
        raise ValueError(f"lacks the key {missing}") from None
    except (TypeError, OverflowError):
        raise ValueError("has a 'seconds' that is not a number") from None
    if not isinstance(sample.id, str) or type(sample.sample) is not int or sample.sample < 0:
        raise ValueError("needs 'id' as a string and 'sample' as a number from 0")
    if not isinstance(sample.response, str) or not isinstance(sample.answer, str | None):
        raise ValueError("needs 'response' as a string and 'answer' as a string or null")
    if not isinstance(sample.prompt, str | None):
        raise ValueError("needs 'prompt' as a string, where it is given")
    if sample.status not in STATUSES or sample.finish_reason not in FINISH_REASONS:
        raise ValueError(f"needs a status of {STATUSES} and a finish_reason of {FINISH_REASONS}")
    for name in ("tokens", "prompt_tokens"):
        count = getattr(sample, name)
        if not (count is None or type(count) is int):
            raise ValueError(f"needs {name!r} as a whole number or null")
    return sample


def parse_duel(value: object) -> Duel | None:
    """The duel that [won, weight, length] stands for; None for None.

    Raises:
        ValueError: it is neither; the message is a clause that says so.
    """
    match value:
        case None:
            return None
        case [int() | float() as won, int() | float() as weight, int() as length] if 0 <= won <= weight > 0:
            return Duel(won, weight, length)
    raise ValueError("needs 'duel' as [won, weight, length]")


def numbered_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """The lines of a file with their numbers from 1, one at a time, line ends kept (see ``open_text``).

    Raises:
        TaskError: the file is not there or not readable.
    """
    with open_text(path) as handle:
        yield from enumerate(handle, start=1)


def read_samples(path: Path) -> Iterator[Sample]:
    """The samples of a finished samples.jsonl, streamed.

    Raises:
        TaskError: the file is missing, or a line is not a sample (named by its number).
    """
    for number, line in numbered_lines(path):
        try:
            yield parse_sample(parse_line(line))
        except ValueError as error:
            raise TaskError(f"{path}, line {number} {error}") from None


def token_row(rollout: Rollout) -> dict[str, Any]:
    """The row of tokens.jsonl."""
    ids = encode_ids(rollout.completion.token_ids)
    return {"id": rollout.question.id, "sample": rollout.sample, "token_ids": ids}


def encode_ids(token_ids: Iterable[int]) -> str:
    """Token ids as text: about 2 bytes a token."""
    words = np.fromiter(token_ids, dtype="<u4")
    return base64.b64encode(zlib.compress(words.tobytes())).decode("ascii")


def decode_ids(text: str) -> tuple[int, ...]:
    """The inverse of ``encode_ids``."""
    words = np.frombuffer(zlib.decompress(base64.b64decode(text)), dtype="<u4")
    return tuple(words.tolist())
