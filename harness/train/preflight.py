"""Refuses what a model's configuration rules out, before any of its weights are loaded or fetched."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from evals import protocols
from evals.base.errors import UsageError, first_line
from evals.engine import Request
from evals.task import Question, Task
from evals.templates import render
from harness import config
from harness.config import GRPO, SFT, Experiment, OnPolicyDistill, Reject, parts
from harness.engines import tokens
from harness.models import lora
from harness.models.damage import check_code
from harness.models.policy import load_tokenizer, positions
from harness.models.sources import config_folder

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
            case GRPO() | OnPolicyDistill():
                policy.check_room(f"{stage.name}.max_tokens", stage.max_tokens, (*train, *dev))
            case SFT():
                policy.check_room(f"{stage.name}.max_tokens", stage.max_tokens, dev)
            case Reject() if stage.teacher is None and not stage.data:
                policy.check_room(f"{stage.name}.max_tokens", stage.max_tokens, train)
            case _:  # another model, or questions that are read later
                pass
    settings, positions = experiment.eval, policy.positions
    # The protocol's own limit ends where the positions do; one that was chosen should have been another.
    own = settings.max_tokens != protocols.get(settings.protocol).sampling.max_tokens
    if settings.benchmarks and own and positions is not None and settings.max_tokens >= positions:
        raise UsageError(
            f"eval.max_tokens: {settings.max_tokens} leaves no room for a prompt, as "
            f"{policy.name} has {positions} positions"
        )


def room(experiment: Experiment, train: Asked, dev: Asked) -> int | None:
    """Positions that the longest prompt and its completion take in training; None where that is not known.

    A stage with questions of its own is not looked into.
    """
    policy = _Policy(experiment.policy)
    found = [0]
    for stage in parts(experiment.stages):
        match stage:
            case GRPO() | OnPolicyDistill():
                found.append(policy.room(stage.max_tokens, (*train, *dev)))
            case SFT():
                found.append(policy.room(stage.max_tokens, dev))
            case Reject() if stage.teacher is None:
                if stage.data:
                    return None
                found.append(policy.room(stage.max_tokens, train))
            case _:
                pass
    return max(found) or None


class _Policy:
    """A policy's configuration and tokenizer, without its weights."""

    def __init__(self, settings: config.Policy) -> None:
        folder = config_folder(settings)
        check_code(folder, settings.trust_remote_code)
        self.name = settings.model
        self._trust = settings.trust_remote_code
        try:
            self._config: Any = AutoConfig.from_pretrained(
                folder, local_files_only=True, trust_remote_code=self._trust
            )
        except Exception as error:  # transformers lets many classes through for a damaged file
            raise UsageError(f"{folder}: its config.json cannot be read: {first_line(error)}") from error
        self._tokenizer = load_tokenizer(folder)
        self._template = settings.template
        self._lengths: dict[tuple[str, str], int] = {}

    @property
    def positions(self) -> int | None:
        """None where the configuration states no limit."""
        return positions(self._config)

    def check_room(self, key: str, max_tokens: int, asked: Asked) -> None:
        """Refuses completions that leave no room for the longest prompt."""
        longest = max(self._prompt_lengths(asked), default=None)
        if longest is None or self.positions is None or longest + max_tokens <= self.positions:
            return
        raise UsageError(
            f"{key}: {max_tokens} and the longest prompt, of {longest} tokens, need {longest + max_tokens} "
            f"positions, and {self.name} has {self.positions}; at most {self.positions - longest} fit"
        )

    def room(self, max_tokens: int, asked: Asked) -> int:
        """Positions of the longest prompt and a completion; 0 where nothing is asked."""
        return max((length + max_tokens for length in self._prompt_lengths(asked)), default=0)

    def check_lora(self, settings: config.LoRA) -> None:
        try:
            with torch.device("meta"):
                model = AutoModelForCausalLM.from_config(  # type: ignore[no-untyped-call]
                    self._config, trust_remote_code=self._trust
                )
        except Exception as error:  # a configuration of no causal model, or one whose sizes do not fit
            raise UsageError(f"policy.model: {self.name} cannot be built: {first_line(error)}") from error
        lora.check(settings, model, self.name)

    def _prompt_lengths(self, asked: Asked) -> list[int]:
        """In tokens; what several stages ask is rendered once."""
        new = [
            (task, question) for task, question in asked if (task.name, question.text) not in self._lengths
        ]
        prompts = [render(question, task, self._template, self._tokenizer) for task, question in new]
        encoded = tokens.encode_prompts(self._tokenizer, [Request(prompt, 1, 0) for prompt in prompts])
        for (task, question), ids in zip(new, encoded, strict=True):
            self._lengths[task.name, question.text] = len(ids)
        return [self._lengths[task.name, question.text] for task, question in asked]
