"""Questions that are in two of training, dev set and benchmarks: who learned them knows the answers.

They are found by their text, for splits and data sets number their questions as they like. Spaces, capitals,
Unicode variants and punctuation at the ends of words do not make it a different question.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np
import numpy.typing as npt

from evals.task import Question, Task

ENDS, BEGINS = ".,;:!?\"'“”‘’", "\"'“‘"
"""Punctuation that does not count at a word's end, and at its beginning."""


@dataclass(frozen=True)
class Named:
    """Questions by their texts, what they are for, and the key that names them."""

    role: Literal["training", "dev", "benchmark"]
    key: str
    texts: Iterable[str]
    """Gone through more than once."""


def overlaps(sets: Sequence[Named]) -> Iterator[str]:
    """A sentence for each two sets of different roles that have a question in common."""
    known = [_keys(each.texts) for each in sets]
    for (one, first), (other, second) in combinations(zip(sets, known, strict=True), 2):
        if one.role == other.role:
            continue
        common = set(np.intersect1d(first, second, assume_unique=True).tolist())
        if common:
            example = next(text for text in other.texts if _key(text) in common)
            yield (
                f"{other.key}: {len(common)} of its {len(second)} questions are in {one.key} too, "
                f"{_short(example)!r} for one"
            )


@dataclass(frozen=True)
class Texts:
    """The texts of questions, read as often as they are gone through."""

    questions: Iterable[tuple[Task, Question]]

    def __iter__(self) -> Iterator[str]:
        return (question.text for _, question in self.questions)


def normalised(text: str) -> str:
    """The text as it is compared."""
    plain = unicodedata.normalize("NFKC", text).casefold()
    words = (word.rstrip(ENDS).lstrip(BEGINS) for word in plain.split())
    return " ".join(word for word in words if word)


def repetitions(texts: Iterable[str]) -> int:
    """How many of the texts are the same as an earlier one."""
    counted = np.fromiter(map(_key, texts), dtype=np.uint64)
    return len(counted) - len(np.unique(counted))


def _keys(texts: Iterable[str]) -> npt.NDArray[np.uint64]:
    """The keys of the texts, each once."""
    return np.unique(np.fromiter(map(_key, texts), dtype=np.uint64))


def _key(text: str) -> int:
    """Eight bytes for the text: those of a million questions fit into memory."""
    plain = normalised(text).encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(plain, digest_size=8).digest())


def _short(text: str, width: int = 60) -> str:
    line = " ".join(text.split())
    return line if len(line) <= width else f"{line[:width]}…"
