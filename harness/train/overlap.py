"""Questions that are in two of training, dev set and benchmarks: who learned them knows the answers.

They are found by their text (evals/tasks/alike.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np
import numpy.typing as npt

from evals.tasks.alike import text_key
from evals.tasks.reading import Questions
from harness.train.questions import Asked


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
            example = next(text for text in other.texts if text_key(text) in common)
            yield (
                f"{other.key}: {len(common)} of its {len(second)} questions are in {one.key} too, "
                f"{_short(example)!r} for one"
            )


@dataclass(frozen=True)
class Texts:
    """The texts of questions, read as often as they are gone through."""

    asked: Asked

    def __iter__(self) -> Iterator[str]:
        return (question.text for _, question in self.asked)

    def keys(self) -> npt.NDArray[np.uint64]:
        """A key a text; a file's were noted when it was read."""
        sets = [questions for _, questions in self.asked.sets]
        found = [
            each.text_keys if isinstance(each, Questions) else _fresh(one.text for one in each)
            for each in sets
        ]
        return np.concatenate(found) if found else _fresh(())


def repetitions(texts: Texts) -> int:
    """How many of the texts are the same as an earlier one."""
    counted = texts.keys()
    return len(counted) - len(np.unique(counted))


def _keys(texts: Iterable[str]) -> npt.NDArray[np.uint64]:
    """The keys of the texts, each once."""
    return np.unique(texts.keys() if isinstance(texts, Texts) else _fresh(texts))


def _fresh(texts: Iterable[str]) -> npt.NDArray[np.uint64]:
    return np.fromiter(map(text_key, texts), dtype=np.uint64)


def _short(text: str, width: int = 60) -> str:
    line = " ".join(text.split())
    return line if len(line) <= width else f"{line[:width]}…"
