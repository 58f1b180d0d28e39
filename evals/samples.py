"""Graded samples on disk: one JSON object a line, appended as they come, readable after any kill.

    samples.jsonl   id, sample, response, answer, correct, status, detail, finish_reason, tokens, seconds;
                    duel (won, weight, length) where a judge compared the response with a baseline's
    tokens.jsonl    id, sample, token_ids (base64 of zlib of little-endian uint32)

Token ids stand in a file of their own: few readers want them, and every reader wants the rest quickly.
"""

from __future__ import annotations

import base64
import json
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np

from evals.engine import FinishReason
from evals.grading.verdict import Duel, Status
from evals.tasks.task import TaskError

STATUSES = get_args(Status)
FINISH_REASONS = get_args(FinishReason)
_READABLE = json.JSONEncoder(ensure_ascii=False)


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

    @property
    def correct(self) -> bool:
        return self.status == "correct"

    def as_row(self) -> dict[str, Any]:
        """The row of samples.jsonl."""
        row = {
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
        return row if self.duel is None else {**row, "duel": list(astuple(self.duel))}


def parse_line(line: bytes) -> dict[str, Any]:
    """The JSON object in a line.

    Raises:
        ValueError: it is none; the message is a clause that says so.
    """
    try:
        row = json.loads(line.decode())
    except (ValueError, RecursionError):
        raise ValueError("is no JSON") from None
    if not isinstance(row, dict):
        raise ValueError("is no JSON object")
    return row


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
        )
    except KeyError as missing:
        raise ValueError(f"lacks the key {missing}") from None
    except TypeError:
        raise ValueError("has a 'seconds' that is no number") from None
    if not isinstance(sample.id, str) or type(sample.sample) is not int or sample.sample < 0:
        raise ValueError("needs 'id' as a string and 'sample' as a number from 0")
    if not isinstance(sample.response, str) or not isinstance(sample.answer, str | None):
        raise ValueError("needs 'response' as a string and 'answer' as a string or null")
    if sample.status not in STATUSES or sample.finish_reason not in FINISH_REASONS:
        raise ValueError(f"needs a status of {STATUSES} and a finish_reason of {FINISH_REASONS}")
    if not (sample.tokens is None or type(sample.tokens) is int):
        raise ValueError("needs 'tokens' as a whole number or null")
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
    """The lines of a file with their numbers from 1, one at a time, line ends kept.

    Raises:
        TaskError: the file is not there or not readable.
    """
    try:
        with path.open("rb") as handle:
            yield from enumerate(handle, start=1)
    except FileNotFoundError:
        raise TaskError(f"{path}: no such file") from None
    except OSError as error:
        raise TaskError(f"{path}: cannot be read ({error.strerror})") from None


def read_samples(path: Path) -> Iterator[Sample]:
    """The samples of a finished samples.jsonl, streamed.

    Raises:
        TaskError: the file is missing, or a line is no sample (named by its number).
    """
    for number, line in numbered_lines(path):
        try:
            yield parse_sample(parse_line(line))
        except ValueError as error:
            raise TaskError(f"{path}, line {number} {error}") from None


def encode_ids(token_ids: Iterable[int]) -> str:
    """Token ids as text: about 2 bytes a token."""
    words = np.fromiter(token_ids, dtype="<u4")
    return base64.b64encode(zlib.compress(words.tobytes())).decode("ascii")


def decode_ids(text: str) -> tuple[int, ...]:
    """The inverse of ``encode_ids``."""
    words = np.frombuffer(zlib.decompress(base64.b64decode(text)), dtype="<u4")
    return tuple(words.tolist())


def append_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Appends rows as JSON lines and flushes them to disk, once for all of them."""
    with path.open("ab") as handle:
        for row in rows:
            handle.write(json_line(row))
        handle.flush()
        os.fsync(handle.fileno())


def json_line(row: Mapping[str, Any]) -> bytes:
    """One line of JSON. A lone surrogate (half a character, as a byte-level model can emit) stays escaped."""
    try:
        return (_READABLE.encode(row) + "\n").encode()
    except UnicodeEncodeError:
        return (json.dumps(row) + "\n").encode()


def write_lines(path: Path, lines: Iterable[bytes]) -> None:
    """Writes ``lines`` aside, flushes them to disk, and renames the file to ``path``."""
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with aside.open("wb") as handle:
            handle.writelines(lines)
            handle.flush()
            os.fsync(handle.fileno())
        aside.replace(path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise


def write_json(path: Path, value: object) -> None:
    """``value`` as indented JSON, all there or not at all."""
    write_lines(path, [(json.dumps(value, indent=2, ensure_ascii=True) + "\n").encode()])
