"""What supervised fine-tuning learns from: a prompt and the response that should follow it."""

from __future__ import annotations

import json
import logging
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from evals import prompts, tasks
from evals.tasks.task import Question, TaskError
from harness.config import SFT, Pretrain
from harness.errors import UsageError
from harness.policy import Policy
from harness.rewards.attempt import THINK
from harness.tiny.traces import FLAWLESS, trace

log = logging.getLogger(__name__)
T = TypeVar("T")

TINY_TRACES = "tiny-traces"
TINY_COUNT = 2000


@dataclass(frozen=True)
class Example:
    """One response to one prompt, as text: tokenizers of teacher and student may differ."""

    prompt: str
    response: str


def load_examples(stage: SFT, policy: Policy, template: str, data_folder: Path, seed: int) -> list[Example]:
    """The stage's data. Questions are put into the policy's own template; whole prompts stay as they are.

    A line of a file is ``{"prompt", "response"}`` or ``{"task", "question", "response"}``, as "reject"
    stages write it.

    Raises:
        UsageError: no such data, a broken line (named) without ``skip_broken``, or nothing left.
    """
    if stage.data == TINY_TRACES:
        return list(islice(_tiny_traces(policy, template, seed), TINY_COUNT))
    path = data_folder / f"{stage.data}.jsonl"
    path = path if path.exists() else Path(stage.data)
    if not path.exists():
        raise UsageError(
            f"{stage.name}.data: {stage.data!r} is neither an earlier reject stage, nor a file, "
            f'nor "{TINY_TRACES}"'
        )
    return _read(path, stage, lambda row: _example(row, policy, template))


def load_texts(stage: Pretrain, policy: Policy, template: str, seed: int) -> list[str]:
    """The texts of a "pretrain" stage.

    Raises:
        UsageError: no such file, a broken line (named) without ``skip_broken``, or nothing left.
    """
    if stage.data == TINY_TRACES:
        traces = islice(_tiny_traces(policy, template, seed), TINY_COUNT)
        return [example.prompt + example.response for example in traces]
    return _read(Path(stage.data), stage, _text)


def _read(path: Path, stage: SFT, parse: Callable[[Mapping[str, Any]], T]) -> list[T]:
    """The lines of a JSONL file as ``parse`` takes them; it raises ``ValueError`` or ``TaskError``."""
    found, broken = [], 0
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
        try:
            found.append(parse(_object(line)))
        except (ValueError, TaskError) as error:
            if not stage.skip_broken:
                raise UsageError(
                    f"{path}, line {number}: {error}; {stage.name}.skip_broken = true leaves such lines out"
                ) from None
            broken += 1
    if broken:
        log.warning("%s: %d broken lines left out, %d examples kept", path, broken, len(found))
    if not found:
        raise UsageError(f"{path}: holds no examples to learn from")
    return found


def _object(line: str) -> Mapping[str, Any]:
    try:
        row: Any = json.loads(line)
    except ValueError:
        raise ValueError("is no JSON") from None
    if not isinstance(row, Mapping):
        raise ValueError("is no JSON object")
    return row


def _text(row: Mapping[str, Any]) -> str:
    text = row.get("text")
    if not isinstance(text, str) or not text.strip():
        raise ValueError('"text" must be text that is not blank')
    return text


def _example(row: Mapping[str, Any], policy: Policy, template: str) -> Example:
    response = row.get("response")
    if not isinstance(response, str) or not response.strip():
        raise ValueError('"response" must be text that is not blank')
    if isinstance(row.get("prompt"), str):
        return Example(row["prompt"], response)
    if not isinstance(row.get("question"), str) or not isinstance(row.get("task"), str):
        raise ValueError('needs "prompt", or "task" and "question"')
    question = Question(str(row.get("id", "")), row["question"], "")
    prompt = prompts.render(question, tasks.get(row["task"]), template, policy.tokenizer)
    if prompt.rstrip().endswith(THINK):  # this template opens the reasoning itself
        response = response.lstrip().removeprefix(THINK).lstrip()
    return Example(prompt, response)


def _tiny_traces(policy: Policy, template: str, seed: int) -> Iterator[Example]:
    rng, task = random.Random(seed), tasks.get("tiny-aime")  # the tiny templates are alike for all tasks
    while True:
        question, response = trace(rng, FLAWLESS)
        yield Example(prompts.render(question, task, template, policy.tokenizer), response)
