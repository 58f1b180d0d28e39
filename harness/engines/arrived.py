"""Before a sampler is used: does it compute what the policy, whose weights it was given, computes?

That a sampler took every name says nothing about the weights that it computes with, and neither does a hash
of what was sent. Both sides score a fixed text, and a few tokens drawn after it. After each later sync
``harness.train.probe`` asks again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from evals.base.errors import UsageError
from harness.models import trial
from harness.models.policy import Policy

TOKENS, STEPS = 32, 8
"""Read, and sampled."""

Score = Callable[[Sequence[int], int], tuple[list[int], list[float]]]
"""(prompt, steps) -> the tokens drawn after it, and the log-probabilities of all but the prompt's first."""


def check(policy: Policy, positions: int, sampler: str, score: Score) -> None:
    """Compares the log-probabilities; ``policy`` may be sharded, its processes then call this together.

    Raises:
        UsageError: they are further apart than rounding explains; the sentence names ``sampler``.
    """
    count = min(TOKENS, max(2, positions - STEPS))
    prompt = trial.tokens(policy, count)
    drawn, told = score(prompt, max(1, min(STEPS, positions - len(prompt))))
    with trial.evaluating(policy.model):
        plain = trial.plain_logprobs(policy.model, policy, prompt[:1], [*prompt[1:], *drawn])
    off = trial.difference([torch.tensor(told)], [plain])
    if off > trial.limit(policy):
        raise UsageError(
            f"{policy.name} cannot be sampled by {sampler}: with the current weights loaded, "
            f"log-probabilities of a text differ by {off:.2g} nats per token from its forward pass "
            f'(rounding explains {trial.limit(policy):g}); take engine "transformers"'
        )
