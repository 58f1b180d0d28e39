"""What a file of examples holds for a model, before anything is trained on it."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from rich.text import Text

from evals.base.errors import UsageError
from evals.task import TaskError
from evals.templates import Template
from harness.train.sft.chat import Marked
from harness.train.sft.data import example
from harness.train.sft.encoding import AT_ONCE, chunks, tokenize
from harness.train.sft.formats import Example
from harness.train.sft.preview import preview
from harness.train.sft.rows import rows_of
from harness.train.sft.stored import Tokens

TOLD = 100
"""Broken rows that are told one by one."""


@dataclass
class Broken:
    """Rows that cannot be learned: how many, and a sentence for each of the first ``TOLD``."""

    rows: int = 0
    such_as: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class DataCheck:
    """A file's examples: their lengths in tokens and how many of these are learned, in the file's order.

    ``first`` is the first example, marked.
    """

    lengths: Sequence[int]
    learned: Sequence[int]
    broken: Broken
    first: Text


def check_data(
    data: str,
    tokenizer: Any,
    template: str | Template,
    learn: Literal["all", "last"] = "all",
    ends: Iterable[int] = (),
) -> DataCheck:
    """Reads ``data``, a file or a data set of the hub, as an "sft" stage would.

    ``ends``: end-of-turn tokens besides EOS.

    Raises:
        UsageError: no row of it can be learned.
        TaskError: there are no such data.
    """
    stops = frozenset({tokenizer.eos_token_id, *ends})
    lengths, learned = array("L"), array("L")
    broken = Broken()
    first: Tokens | None = None
    for some in chunks(_examples(data, tokenizer, template, learn, broken), AT_ONCE):
        for each in tokenize(some, tokenizer, stops):
            lengths.append(len(each))
            learned.append(sum(each.learned))
            first = first or each
    if first is None:
        why = broken.such_as[0] if broken.rows else "it is empty"
        raise UsageError(f"{data}: contains no examples to learn from ({why})")
    return DataCheck(lengths, learned, broken, preview(first, tokenizer))


def _examples(
    data: str, tokenizer: Any, template: str | Template, learn: Literal["all", "last"], broken: Broken
) -> Iterator[Example | Marked]:
    for where, row in rows_of(data):
        try:
            if isinstance(row, ValueError):
                raise row
            yield example(row, tokenizer, template, learn)
        except (ValueError, TaskError) as error:
            broken.rows += 1
            if len(broken.such_as) < TOLD:
                broken.such_as.append(f"{where}: {error}")
