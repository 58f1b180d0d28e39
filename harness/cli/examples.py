"""Checks training examples: `harness data check` on a file of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evals.base.errors import UsageError
from evals.task import TaskError
from evals.tasks.reading import USUAL
from evals.tasks.registry import Tasks
from harness.train.sft import formats
from harness.train.sft.rows import is_source, rows_of

SHOWN = 3
"""Number of broken rows that are quoted."""


@dataclass(frozen=True)
class ExampleCheck:
    """The result. ``tokens``: shortest, mean and longest example."""

    name: str
    examples: int
    broken_rows: int
    broken: list[str]
    """What is wrong with the first few."""
    tokens: tuple[int, float, int]
    learned: int
    """Number of tokens in the loss, over all examples."""
    first: str
    """The first example, with the tokens in the loss between ⟪ and ⟫."""


def holds_examples(data: str, tasks: Tasks) -> bool:
    """Whether the first row of ``data`` is a training example, and not a question with its answer."""
    if data in tasks.own or not is_source(data):
        return False
    try:
        row = next((row for _, row in rows_of(data) if isinstance(row, dict)), None)
        if row is None or all(any(name in row for name in USUAL[thing]) for thing in ("question", "answer")):
            return False
        formats.read(row)
    except (TaskError, ValueError):
        return False
    return True


def check_examples(data: str, model: str | None, template: str) -> ExampleCheck:
    """Reads ``data`` as an "sft" stage that trains ``model`` would.

    Raises:
        UsageError: no model is named, or no row is usable.
    """
    from harness import config
    from harness.models.policy import load_tokenizer
    from harness.models.sources import config_folder
    from harness.train.sft.check import check_data

    if model is None:
        raise UsageError(
            f"{data}: contains training examples, which are checked with a model's tokenizer: "
            "add --model MODEL"
        )
    folder = config_folder(config.Policy(model=model))
    tokenizer = load_tokenizer(folder)
    found = check_data(data, tokenizer, template, ends=_ends(folder, tokenizer))
    lengths = found.lengths
    return ExampleCheck(
        name=data,
        examples=len(lengths),
        broken_rows=found.broken.rows,
        broken=found.broken.such_as,
        tokens=(min(lengths), sum(lengths) / len(lengths), max(lengths)),
        learned=sum(found.learned),
        first=found.first.plain,
    )


def _ends(folder: Path, tokenizer: Any) -> frozenset[int]:
    from transformers import AutoConfig, GenerationConfig

    from harness.engines.tokens import end_tokens

    settings = AutoConfig.from_pretrained(folder, local_files_only=True)
    named = (folder / "generation_config.json").is_file()
    generation = GenerationConfig.from_pretrained(folder, local_files_only=True) if named else None
    return end_tokens(settings, generation, tokenizer)


def lines(found: ExampleCheck) -> Iterator[str]:
    """The result as lines of text."""
    least, mean, most = found.tokens
    yield f"{found.name}: {found.examples:,} training examples"
    yield f"Tokens per example: {least:,} to {most:,}, {mean:,.0f} on average; {found.learned:,} in the loss"
    told = f", such as {'; '.join(found.broken[:SHOWN])}" if found.broken else ""
    yield f"Broken rows: {found.broken_rows:,}{told}"
    yield "The first example, with the tokens in the loss between ⟪ and ⟫:"
    yield found.first
