"""What supervised fine-tuning learns from: files in any of the shapes of ``formats``, row by row."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal, TypeVar

from evals import templates
from evals.base.errors import UsageError
from evals.rollout import END_THINK, THINK
from evals.task import Question, TaskError
from evals.tasks import registry
from evals.tasks.registry import EVERYONE, Tasks
from evals.templates import Template
from harness.config import SFT, Pretrain
from harness.config.names import TINY_TRACES
from harness.models.policy import Policy
from harness.models.tiny.traces import FLAWLESS, trace
from harness.train.sft import formats
from harness.train.sft.chat import Marked, mark, opened
from harness.train.sft.formats import Asked, Chat, Example, Plain, Row
from harness.train.sft.rows import is_source, rows_of

log = logging.getLogger(__name__)
T = TypeVar("T")

TINY_COUNT = 2000


def load_examples(
    stage: SFT,
    policy: Policy,
    template: str | Template,
    data_folder: Path,
    seed: int,
    tasks: Tasks = EVERYONE,
) -> Iterator[Example | Marked]:
    """The stage's data. Questions are put into the policy's own template; whole prompts stay as they are.

    Raises:
        UsageError: no such data, a broken row (named) without ``skip_broken``, or nothing left.
    """
    if stage.data == TINY_TRACES:
        yield from islice(_tiny_traces(policy, template, seed), TINY_COUNT)
        return
    made = data_folder / f"{stage.data}.jsonl"
    data = str(made) if made.exists() else stage.data
    if not is_source(data):
        raise UsageError(
            f"{stage.name}.data: {stage.data!r} is neither an earlier reject stage, nor a file, "
            f'nor "hf:OWNER/NAME@REVISION:split", nor "{TINY_TRACES}"'
        )
    count = unclosed = 0
    for each in _read(data, stage, lambda row: example(row, policy.tokenizer, template, stage.learn, tasks)):
        count += 1
        unclosed += any(THINK in part and END_THINK not in part for part in _written(each))
        yield each
    if unclosed:  # a policy that learns never to close its reasoning never comes to an answer
        log.warning(
            "%s: %d of %d responses do not close the reasoning that is opened for them or in them (no %s)",
            data,
            unclosed,
            count,
            END_THINK,
        )


def load_texts(stage: Pretrain, policy: Policy, template: str | Template, seed: int) -> Iterator[str]:
    """The texts of a "pretrain" stage.

    Raises:
        UsageError: no such file, a broken row (named) without ``skip_broken``, or nothing left.
    """
    if stage.data == TINY_TRACES:
        traces = islice(_tiny_traces(policy, template, seed), TINY_COUNT)
        return (example.prompt + example.response for example in traces)
    return _read(stage.data, stage, formats.text_of)


@dataclass(frozen=True)
class AskedIn:
    """The questions, or whole prompts, of examples; broken rows are left to ``load_examples``."""

    data: str

    def __iter__(self) -> Iterator[str]:
        for _, row in rows_of(self.data):
            text = None if isinstance(row, ValueError) else formats.question(row)
            if text is not None:
                yield text


def example(
    row: Row,
    tokenizer: Any,
    template: str | Template,
    learn: Literal["all", "last"],
    tasks: Tasks = EVERYONE,
) -> Example | Marked:
    """A row as text, under the tokenizer's chat template or, for a task's question, under ``template``.

    Raises:
        ValueError: the row has none of the shapes, or the chat template does not fit it.
        TaskError: an unknown task, or a template that does not fit.
    """
    match formats.read(row):
        case Example() as found:
            return found
        case Chat() as chat:
            return mark(chat, tokenizer, learn, template)
        case Asked() as asked:
            question = Question(asked.id, asked.question, "")
            prompt = templates.render(question, tasks.get(asked.task), template, tokenizer)
            return opened(prompt, asked.response)
        case Plain() as plain:
            return Marked(plain.text, ((0, len(plain.text)),))


def _read(data: str, stage: SFT, parse: Callable[[Row], T]) -> Iterator[T]:
    """The rows as ``parse`` takes them; it raises ``ValueError`` or ``TaskError``."""
    kept = broken = 0
    for where, row in rows_of(data):
        try:
            if isinstance(row, ValueError):
                raise row
            found = parse(row)
        except (ValueError, TaskError) as error:
            if not stage.skip_broken:
                raise UsageError(
                    f"{data}, {where}: {error}; {stage.name}.skip_broken = true leaves such rows out"
                ) from None
            broken += 1
            continue
        kept += 1
        yield found
    if broken:
        log.warning("%s: %d broken rows left out, %d examples kept", data, broken, kept)
    if not kept:
        raise UsageError(f"{data}: contains no examples to learn from")


def _written(item: Example | Marked) -> Iterator[str]:
    """Each learned part, begun with the opening tag where what stands before it ends with that."""
    parts = (
        [(item.prompt, item.response)]
        if isinstance(item, Example)
        else [(item.text[:begin], item.text[begin:end]) for begin, end in item.learned]
    )
    for before, part in parts:
        yield (THINK if before.rstrip().endswith(THINK) else "") + part


def _tiny_traces(policy: Policy, template: str | Template, seed: int) -> Iterator[Example]:
    rng, task = random.Random(seed), registry.get("tiny-aime")  # the tiny templates are alike for all tasks
    while True:
        question, response = trace(rng, FLAWLESS)
        yield Example(templates.render(question, task, template, policy.tokenizer), response)
