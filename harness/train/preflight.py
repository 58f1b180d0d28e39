"""Refuses what a model's configuration rules out, before any of its weights are loaded or fetched.

The longest prompt counts, and there may be a million. A token stands for a byte at least: by the bytes of a
question and of what the template writes around it most prompts fit for sure, and only the others are rendered
and encoded. Where the longest question of a file fits for sure, the others are not looked at.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from math import inf
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from evals import protocols
from evals.base.errors import UsageError, first_line
from evals.engine import Request
from evals.task import Question
from evals.tasks.reading import Questions
from evals.templates import Template, find, render, resolved
from harness import config
from harness.config import GRPO, SFT, Experiment, OnPolicyDistill, Reject, parts
from harness.engines import tokens
from harness.models import lora
from harness.models.damage import check_code
from harness.models.policy import load_tokenizer, positions
from harness.models.sources import config_folder
from harness.train.distil.tokens import check_tokenizer
from harness.train.questions import Asked

TRIED = 64
"""Questions of a task that are rendered in any case, to see what the template writes around them."""
AT_ONCE = 1024
"""Prompts that are encoded together."""
MARGIN = 16
"""Tokens allowed for what a tokenizer puts before a text by itself."""


def check_fit(experiment: Experiment, train: Asked, dev: Asked) -> None:
    """Checks prompts and completions against the policy's positions, adapters against its matrices, and a
    teacher's tokenizer against its own.

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
                if isinstance(stage, OnPolicyDistill) and stage.teacher.server is None:
                    policy.check_teacher(stage)
                policy.check_room(f"{stage.name}.max_tokens", stage.max_tokens, train, dev)
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
    """Positions that suffice for the longest prompt and its completion in training; None where not known.

    Where there are many questions their bytes are counted for tokens, as far as the positions go. A stage
    with questions of its own is not looked into.
    """
    policy = _Policy(experiment.policy)
    found = [0]
    for stage in parts(experiment.stages):
        match stage:
            case GRPO() | OnPolicyDistill():
                found.append(policy.room(stage.max_tokens, train, dev))
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

    @property
    def positions(self) -> int | None:
        """None where the configuration states no limit."""
        return positions(self._config)

    def check_room(self, key: str, max_tokens: int, *asked: Asked) -> None:
        """Refuses completions that leave no room for the longest prompt."""
        if self.positions is None:
            return
        longest = self._longest(asked, self.positions - max_tokens)
        if longest is None or longest + max_tokens <= self.positions:
            return
        raise UsageError(
            f"{key}: {max_tokens} and the longest prompt, of {longest} tokens, need {longest + max_tokens} "
            f"positions, and {self.name} has {self.positions}; at most {self.positions - longest} fit"
        )

    def room(self, max_tokens: int, *asked: Asked) -> int:
        """Positions that the longest prompt and a completion fit into; 0 where nothing is asked."""
        longest = self._longest(asked, inf if self.positions is None else self.positions - max_tokens)
        return 0 if longest is None else longest + max_tokens

    def check_teacher(self, stage: OnPolicyDistill) -> None:
        theirs = load_tokenizer(config_folder(stage.teacher))
        check_tokenizer(stage, theirs, self._tokenizer, self.name)

    def check_lora(self, settings: config.LoRA) -> None:
        try:
            with torch.device("meta"):
                model = AutoModelForCausalLM.from_config(  # type: ignore[no-untyped-call]
                    self._config, trust_remote_code=self._trust
                )
        except Exception as error:  # a configuration of no causal model, or one whose sizes do not fit
            raise UsageError(f"policy.model: {self.name} cannot be built: {first_line(error)}") from error
        lora.check(settings, model, self.name)

    def _longest(self, asked: Iterable[Asked], enough: float) -> int | None:
        """Tokens of the longest prompt where they are more than ``enough``, else a number up to ``enough``
        that none exceeds; None where nothing is asked.

        Raises:
            TaskError: the template does not fit the tokenizer.
        """
        longest: int | None = None
        unsure: list[str] = []
        around: dict[str, _Around] = {}
        for task, questions in chain.from_iterable(each.sets for each in asked):
            written = around.setdefault(task.name, _Around(self._by_data))
            largest = int(questions.text_bytes.max()) if isinstance(questions, Questions) else None
            for question in questions:
                if largest is not None and written.most(largest) <= enough:
                    longest = max(longest or 0, int(written.most(largest)))
                    break
                most = written.most(_bytes(question.text))
                if most <= enough:
                    longest = max(longest or 0, int(most))
                    continue
                prompt = render(question, task, self._template, self._tokenizer)
                written.see(question, prompt)
                unsure.append(prompt)
                if len(unsure) == AT_ONCE:
                    longest, unsure = max(longest or 0, self._tokens(unsure)), []
        return max(longest or 0, self._tokens(unsure)) if unsure else longest

    @property
    def _by_data(self) -> bool:
        """Whether the template puts every question into the same text; a function may do as it likes."""
        return isinstance(find(resolved(self._template, self._tokenizer)), Template)

    def _tokens(self, prompts: list[str]) -> int:
        """Of the longest prompt."""
        return max(
            map(len, tokens.encode_prompts(self._tokenizer, [Request(each, 1, 0) for each in prompts]))
        )


class _Around:
    """What a template writes around a task's questions, as seen in some of them."""

    def __init__(self, same: bool) -> None:
        """``same``: it is the same for all."""
        self._same = same
        self._seen = 0
        self._bytes = 0

    def see(self, question: Question, prompt: str) -> None:
        self._seen += 1
        self._same = self._same and question.text.strip() in prompt
        self._bytes = max(self._bytes, _bytes(prompt) - _bytes(question.text))

    def most(self, size: int) -> float:
        """Tokens that the prompt of a question of ``size`` bytes has at most: a byte each."""
        if self._seen < TRIED or not self._same:
            return inf
        return size + self._bytes + MARGIN


def _bytes(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))
