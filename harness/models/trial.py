"""A fixed text in one plain forward pass: what every other way to a model's numbers is held to.

Which architectures a fast path is right for cannot be read off their names, and new ones come every month. So
each path (rows beside others, shared prompts, an engine's decoding steps, a sampler in another framework) is
tried once on a few tokens before it is used, and refused where it finds other log-probabilities.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch

from harness.models.policy import Policy

TEXT = (
    "Question: a farmer has 17 sheep, buys 25 more and sells 9. How many sheep are left?\n"
    "Answer: 17 + 25 = 42, and 42 - 9 = 33, so 33 sheep are left. Let us check it once more, step by step."
)
LIMITS = {torch.float32: 1e-3, torch.bfloat16: 0.2}
"""Mean |difference| of a token's log-probability, in nats, that rounding can explain, by the forward pass's
dtype. Seen: 1e-6 to 1e-4 in float32 and 0.01 to 0.1 in bfloat16 where both sides compute the same model; an
attention that leaves something out is off by 0.06 to 8, wrong weights by more."""


def limit(policy: Policy) -> float:
    """The difference that is still rounding for this policy's dtype."""
    return LIMITS.get(policy.dtype, LIMITS[torch.bfloat16])


def tokens(policy: Policy, count: int) -> tuple[int, ...]:
    """The first ``count`` tokens of the text (again from its beginning where it has fewer), or what fits.

    A policy without a tokenizer gets the first tokens of its vocabulary.
    """
    count = min(count, policy.positions)
    if policy.tokenizer is None:
        return tuple(range(count))
    found = [token for token in policy.tokenizer(TEXT).input_ids if token != policy.tokenizer.eos_token_id]
    return tuple((found * (count // len(found) + 1))[:count])


@contextmanager
def evaluating(model: torch.nn.Module) -> Iterator[None]:
    """The model without dropout; then as it was."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)


@torch.no_grad()
def plain_logprobs(
    model: torch.nn.Module, policy: Policy, prompt: Sequence[int], completion: Sequence[int]
) -> torch.Tensor:
    """(completion,) float32: each completion token's log-probability, one row alone, no cache, no padding."""
    ids = torch.tensor([[*prompt, *completion]], device=policy.device)
    with policy.autocast():
        logits = model(input_ids=ids, use_cache=False).logits[0]
    scores = torch.log_softmax(logits[len(prompt) - 1 : -1].float(), dim=-1)
    return scores.gather(1, ids[0, len(prompt) :, None])[:, 0]


def difference(ours: Sequence[torch.Tensor], plain: Sequence[torch.Tensor]) -> float:
    """Mean |difference| over all tokens; infinite where a number is not finite."""
    both = torch.cat([(a.cpu() - b.cpu()).abs() for a, b in zip(ours, plain, strict=True)])
    found = float(both.mean())
    return found if both.isfinite().all() else float("inf")
