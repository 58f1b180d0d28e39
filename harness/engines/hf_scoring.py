"""The log-likelihood of given continuations: what multiple-choice suites ask of a model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from evals.engine import TokenPair
from harness.models.policy import Policy

LOGIT_NUMBERS = 2**26
"""Logits in memory at once: those of every position that a continuation is read from."""


def loglikelihoods(
    policy: Policy, pairs: Sequence[TokenPair], positions: int, max_batch_tokens: int
) -> list[tuple[float, bool]]:
    """For each (context, continuation) in token ids: ln p(continuation | context), and is it greedy's choice?

    What exceeds ``positions`` is cut off at the left. Pairs that differ in their last token alone, as the
    letters of a multiple-choice question do, share a forward pass.
    """
    wanted: dict[tuple[int, ...], list[int]] = {}
    for number, (context, continuation) in enumerate(pairs):
        whole = (*context, *continuation)[-(positions + 1) :]
        wanted.setdefault(whole[:-1], []).append(number)
    found: list[tuple[float, bool]] = [(0.0, True)] * len(pairs)
    reach = {read: max(len(pairs[number][1]) for number in numbers) for read, numbers in wanted.items()}
    order = sorted(wanted, key=lambda read: (-len(read), -reach[read], read))
    for batch in _batches(order, reach, max_batch_tokens, policy.model.config.get_text_config().vocab_size):
        scores = _scores(policy, batch, max(reach[read] for read in batch))
        for row, read in enumerate(batch):
            for number in wanted[read]:
                continuation = pairs[number][1]
                if continuation:
                    found[number] = _of_row(scores[row, -len(continuation) :], continuation)
    return found


def _batches(
    order: Sequence[tuple[int, ...]],
    reach: dict[tuple[int, ...], int],
    max_batch_tokens: int,
    vocabulary: int,
) -> Iterator[list[tuple[int, ...]]]:
    """Inputs in batches that fit, longest first: the first of a batch tells its width."""
    batch: list[tuple[int, ...]] = []
    deepest = 0
    for read in order:
        deeper = max(deepest, reach[read])
        rows = len(batch) + 1
        full = rows * len((*batch, read)[0]) > max_batch_tokens or rows * deeper * vocabulary > LOGIT_NUMBERS
        if batch and full:
            yield batch
            batch, deeper = [], reach[read]
        batch.append(read)
        deepest = deeper
    if batch:
        yield batch


def _scores(policy: Policy, batch: Sequence[tuple[int, ...]], keep: int) -> torch.Tensor:
    """Log-probabilities (rows, keep, vocabulary), float32, after each of the last ``keep`` tokens."""
    width = len(batch[0])
    ids = torch.zeros(len(batch), width, dtype=torch.long)
    mask = torch.zeros(len(batch), width, dtype=torch.long)
    for row, read in enumerate(batch):
        ids[row, width - len(read) :] = torch.tensor(read)
        mask[row, width - len(read) :] = 1
    output = policy.model(
        input_ids=ids.to(policy.device),
        attention_mask=mask.to(policy.device),
        position_ids=(mask.cumsum(1) - 1).clamp(min=0).to(policy.device),
        use_cache=False,
        logits_to_keep=keep,
    )
    return torch.log_softmax(output.logits.float(), dim=-1)


def _of_row(scores: torch.Tensor, continuation: Sequence[int]) -> tuple[float, bool]:
    tokens = torch.tensor(continuation, device=scores.device)
    chosen = scores.gather(1, tokens[:, None])
    return float(chosen.sum()), bool((scores.argmax(dim=1) == tokens).all())
