"""What a file of examples holds for a model, before anything is trained on it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from rich.text import Text

from evals.base.errors import UsageError
from evals.task import TaskError
from evals.templates import Template
from harness.train.sft.chat import Marked
from harness.train.sft.data import example
from harness.train.sft.encoding import tokenize
from harness.train.sft.formats import Example
from harness.train.sft.preview import preview
from harness.train.sft.rows import rows_of


@dataclass(frozen=True)
class DataCheck:
    """A file's examples: their lengths in tokens and how many of these are learned, in the file's order.

    ``broken`` has a sentence for each row that cannot be learned; ``first`` is the first example, marked.
    """

    lengths: tuple[int, ...]
    learned: tuple[int, ...]
    broken: tuple[str, ...]
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
    found: list[Example | Marked] = []
    broken: list[str] = []
    for where, row in rows_of(data):
        try:
            if isinstance(row, ValueError):
                raise row
            found.append(example(row, tokenizer, template, learn))
        except (ValueError, TaskError) as error:
            broken.append(f"{where}: {error}")
    if not found:
        why = broken[0] if broken else "it is empty"
        raise UsageError(f"{data}: holds no examples to learn from ({why})")
    tokens = tokenize(found, tokenizer, frozenset({tokenizer.eos_token_id, *ends}))
    return DataCheck(
        lengths=tuple(map(len, tokens)),
        learned=tuple(sum(each.learned) for each in tokens),
        broken=tuple(broken),
        first=preview(tokens[0], tokenizer),
    )
