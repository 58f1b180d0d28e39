"""The teacher of on-policy distillation: loaded here, or at a server that tells log-probabilities."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch

from evals.base.errors import JobError
from evals.price import Price
from harness.config import OnPolicyDistill
from harness.engines.served import ServedEngine
from harness.models.flops import Shape, shape_of
from harness.models.policy import Policy, load_policy
from harness.train.batching import Row, plan
from harness.train.checks import known_shape
from harness.train.distil.divergence import Distribution, Likeliest, Whole
from harness.train.distil.tokens import check_tokenizer
from harness.train.forward import Scorer, evaluation_mode
from harness.train.micro_batch import MicroBatch


class Teacher(ABC):
    """Scores tokens that the policy has written; its weights do not change."""

    shape: Shape | None
    """What FLOPs are counted by; None where it is not known."""

    @abstractmethod
    def read(self, rows: Sequence[Row], micro_batch: MicroBatch) -> None:
        """Reads completions before the update that learns from what it says of them."""

    @abstractmethod
    def logprobs(self, row: Row) -> torch.Tensor:
        """(tokens,) log-probabilities of a completion's tokens, in nats; ``read`` had the row."""

    @abstractmethod
    def distribution(self, rows: tuple[Row, ...]) -> Distribution:
        """The next-token distributions at every token of ``rows``, row by row; ``read`` had them."""

    def price(self, rows: Sequence[Row]) -> float | None:
        """What a server takes for reading ``rows``; None where none does, or nothing says."""
        return None

    def flops(self, rows: Sequence[Row]) -> float | None:
        """Model FLOPs of reading ``rows``, a group's prompt once; None where the shape is not known."""
        if self.shape is None:
            return None
        groups: dict[int, list[Row]] = {}
        for row in rows:
            groups.setdefault(row.group, []).append(row)
        return sum(
            self.shape.forward(len(group[0].prompt_ids), [len(row.completion_ids) for row in group])
            for group in groups.values()
        )


def make_teacher(stage: OnPolicyDistill, student: Policy) -> Teacher:
    """The stage's teacher, with the policy's own tokenizer.

    Raises:
        UsageError: it has another tokenizer, or cannot be loaded or asked.
    """
    if stage.teacher.server is not None:
        return ServedTeacher(stage, student)
    return LocalTeacher(load_policy(stage.teacher), stage, student)


class LocalTeacher(Teacher):
    """A model in this process. With several processes each has all of it."""

    def __init__(self, policy: Policy, stage: OnPolicyDistill, student: Policy) -> None:
        check_tokenizer(stage, policy.tokenizer, student.tokenizer, student.name)
        policy.model.requires_grad_(False)
        self.shape = shape_of(policy.model)
        self._policy = policy
        self._stage = stage
        self._scorer = Scorer(policy.model, policy, stage.temperature)
        head = student.model.get_output_embeddings()  # type: ignore[no-untyped-call]
        self._vocabulary = len(head.weight)
        self._logprobs: dict[int, torch.Tensor] = {}

    def read(self, rows: Sequence[Row], micro_batch: MicroBatch) -> None:
        """Log-probabilities of tokens. Distributions are too large to be kept: see ``distribution``."""
        if self._stage.divergence == "jsd" or not rows:
            return
        count = max(row.index for row in rows) + 1
        with evaluation_mode(self._policy.model):
            found = micro_batch.fitting(
                lambda: self._scorer.score(plan(rows, micro_batch.tokens, self._scorer.may_share), count)
            )
        self._logprobs = {row.index: found[row.index] for row in rows}

    def logprobs(self, row: Row) -> torch.Tensor:
        return self._logprobs[row.index]

    def distribution(self, rows: tuple[Row, ...]) -> Distribution:
        with evaluation_mode(self._policy.model):
            hidden = self._scorer.hidden(rows)
        whole = Whole(hidden, self._scorer.head_weight, self._stage.temperature)
        count = self._stage.teacher_top_k
        return whole.likeliest(count, self._vocabulary) if count else whole


class ServedTeacher(Teacher):
    """A model at a vLLM server; prompts and completions go there as token ids."""

    def __init__(self, stage: OnPolicyDistill, student: Policy) -> None:
        self._engine = ServedEngine(stage.teacher, where=f"{stage.name}.teacher", teacher=True)
        check_tokenizer(stage, self._engine.tokenizer, student.tokenizer, student.name)
        self.shape = known_shape(stage.teacher)
        self._name = stage.teacher.model
        self._count = stage.teacher_top_k
        self._device = student.device
        self._told: dict[int, list[dict[int, float]]] = {}

    def read(self, rows: Sequence[Row], micro_batch: MicroBatch) -> None:
        told = self._engine.prompt_logprobs(
            [(*row.prompt_ids, *row.completion_ids) for row in rows], self._count
        )
        self._told = {row.index: each[len(row.prompt_ids) :] for row, each in zip(rows, told, strict=True)}

    def price(self, rows: Sequence[Row]) -> float | None:
        """Each row is a prompt of all its tokens, which the server answers with one."""
        if self._engine.price is None:
            return None
        return Price(*self._engine.price).of(sum(row.tokens for row in rows), len(rows))

    def logprobs(self, row: Row) -> torch.Tensor:
        told = self._told[row.index]
        try:
            found = [place[token] for place, token in zip(told, row.completion_ids, strict=True)]
        except KeyError as error:
            raise JobError(
                f"{self._name}: the server tells nothing of token {error}, which it was sent"
            ) from None
        return torch.tensor(found)

    def distribution(self, rows: tuple[Row, ...]) -> Distribution:
        likeliest = [
            sorted(place.items(), key=lambda pair: -pair[1])[: self._count]
            for row in rows
            for place in self._told[row.index]
        ]
        fewest = min(map(len, likeliest), default=self._count)
        if fewest < self._count:
            raise JobError(
                f"{self._name}: the server tells {fewest} tokens a place where teacher_top_k asks for "
                f"{self._count}; start it with --max-logprobs {self._count}, or lower teacher_top_k"
            )
        ids, values = torch.tensor(likeliest, dtype=torch.float64).unbind(2)
        return Likeliest(ids.long().to(self._device), values.float().to(self._device))
