"""The tokens that a loss chooses over a whole minibatch, kept with its rows: micro-batches do not matter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from harness.train.batching import Row
from harness.train.grpo.losses.base import Choosing, Minibatch


def choose(loss: Choosing, rows: Sequence[Row], seed: Sequence[int]) -> list[Row]:
    """The rows of one minibatch, each with the places of its tokens that ``loss`` chooses.

    Rows that do not count have no part in it. The log-probabilities are those of the sampling engine: each
    process has them for every row, with or without an advantage, so that all choose the same.
    """
    counting = [row for row in rows if row.counts and row.completion_ids]
    if not counting:
        return list(rows)
    lengths = [len(row.completion_ids) for row in counting]
    chosen = loss.choose(
        Minibatch(
            logprobs=np.concatenate([row.sampler for row in counting]).astype(np.float64),
            advantages=np.repeat([row.advantage for row in counting], lengths).astype(np.float64),
            rng=np.random.default_rng(seed),
        )
    )
    ends = np.cumsum(lengths)
    places: dict[int, list[int]] = {}
    for token in np.sort(chosen).tolist():
        at = int(np.searchsorted(ends, token, side="right"))
        places.setdefault(counting[at].index, []).append(token - int(ends[at]) + lengths[at])
    return [replace(row, chosen=tuple(places.get(row.index, ()))) for row in rows]


def marked(rows: Sequence[Row], mask: torch.Tensor) -> torch.Tensor | None:
    """The chosen tokens of a micro-batch as bool, (B, T) as ``mask``; None where there are none."""
    if not any(row.chosen for row in rows):
        return None
    found = torch.zeros_like(mask, dtype=torch.bool)
    for i, row in enumerate(rows):
        found[i, list(row.chosen)] = True
    return found
