"""Refuses what a model's configuration rules out, before any of its weights are loaded or fetched."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from evals.engine import Request
from evals.prompts import render
from evals.tasks.task import Question, Task
from harness import config, lora
from harness.config import GRPO, SFT, Experiment, Reject, parts
from harness.engines import text
from harness.errors import UsageError
from harness.policy import config_folder, load_tokenizer

Asked = Sequence[tuple[Task, Question]]


def check_fit(experiment: Experiment, train: Asked, dev: Asked) -> None:
    """Checks prompts and completions against the policy's positions, and adapters against its matrices.

    Raises:
        UsageError: one sentence that names the key, what is asked for and what the model has.
        TaskError: the prompt template does not fit the tokenizer.
    """
    policy = _Policy(experiment.policy)
    if experiment.policy.lora is not None:
        policy.check_lora(experiment.policy.lora)
    for stage in parts(experiment.stages):
        match stage:
            case GRPO():
                policy.check_room(f"{stage.name}.max_tokens", stage.max_tokens, (*train, *dev))
            case SFT():
                policy.check_room(f"{stage.name}.max_tokens", stage.max_tokens, dev)
            case Reject() if stage.teacher is None and not stage.data:
                policy.check_room(f"{stage.name}.max_tokens", stage.max_tokens, train)
            case _:  # another model, or questions that are read later
                pass
    positions = policy.positions
    if experiment.eval.benchmarks and positions is not None and experiment.eval.max_tokens >= positions:
        raise UsageError(
            f"eval.max_tokens: {experiment.eval.max_tokens} leaves no room for a prompt, as "
            f"{policy.name} has {positions} positions"
        )


class _Policy:
    """A policy's configuration and tokenizer, without its weights."""

    def __init__(self, settings: config.Policy) -> None:
        folder = config_folder(settings)
        self.name = settings.model
        try:
            self._config: Any = AutoConfig.from_pretrained(folder, local_files_only=True)
        except (OSError, ValueError) as error:
            raise UsageError(f"{folder}: its config.json cannot be read: {error}") from error
        self._tokenizer = load_tokenizer(folder)
        self._template = settings.template
        self._lengths: dict[tuple[str, str], int] = {}

    @property
    def positions(self) -> int | None:
        """None where the configuration states no limit."""
        found = getattr(self._config.get_text_config(), "max_position_embeddings", None)
        return None if found is None else int(found)

    def check_room(self, key: str, max_tokens: int, asked: Asked) -> None:
        """Refuses completions that leave no room for the longest prompt."""
        longest = max(self._prompt_lengths(asked), default=None)
        if longest is None or self.positions is None or longest + max_tokens <= self.positions:
            return
        raise UsageError(
            f"{key}: {max_tokens} and the longest prompt, of {longest} tokens, need {longest + max_tokens} "
            f"positions, and {self.name} has {self.positions}; at most {self.positions - longest} fit"
        )

    def check_lora(self, settings: config.LoRA) -> None:
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(self._config)  # type: ignore[no-untyped-call]
        lora.check(settings, model, self.name)

    def _prompt_lengths(self, asked: Asked) -> list[int]:
        """In tokens; what several stages ask is rendered once."""
        new = [
            (task, question) for task, question in asked if (task.name, question.text) not in self._lengths
        ]
        prompts = [render(question, task, self._template, self._tokenizer) for task, question in new]
        encoded = text.encode_prompts(self._tokenizer, [Request(prompt, 1, 0) for prompt in prompts])
        for (task, question), ids in zip(new, encoded, strict=True):
            self._lengths[task.name, question.text] = len(ids)
        return [self._lengths[task.name, question.text] for task, question in asked]
