"""What steps learned from, token by token, held to the weights that each token says it was drawn by."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch

from harness.config import GRPO
from harness.models import trial
from harness.models.policy import Policy
from harness.train.grpo import stage as grpo_stage
from harness.train.grpo.metrics import batch_metrics
from harness.train.grpo.rollout import Batch


def learned(monkeypatch: pytest.MonkeyPatch) -> list[Batch]:
    """Gets each step's batch as it is learned."""
    batches: list[Batch] = []

    def keep(batch: Batch, of: GRPO) -> dict[str, float]:
        batches.append(batch)
        return batch_metrics(batch, of)

    monkeypatch.setattr(grpo_stage, "batch_metrics", keep)
    return batches


def check_tokens(batches: Sequence[Batch], weights_after: Callable[[int], Policy], within: float) -> None:
    """Every token's log-probability at temperature 1 is that of the checkpoint whose number it has."""
    policies: dict[int, Policy] = {}
    for batch in batches:
        for group in batch.groups:
            for one in (rollout.completion for rollout in group.rollouts):
                for version in set(one.versions):
                    if version not in policies:
                        policies[version] = weights_after(version)
                        policies[version].model.eval()
                    then = policies[version]
                    known = trial.plain_logprobs(then.model, then, group.prompt_ids, one.token_ids)
                    mine = torch.tensor([each == version for each in one.versions])
                    assert float((known - torch.tensor(one.logprobs))[mine].abs().max()) < within
