"""Which completions the transformers engine decodes together."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from evals.engine import Request


@dataclass(frozen=True)
class Part:
    """Completions ``first`` … ``first + count - 1`` of a request, decoded in one batch."""

    request: int
    prompt: tuple[int, ...]
    seed: int
    first: int
    count: int


def plan(
    prompts: Sequence[Sequence[int]],
    requests: Sequence[Request],
    row_tokens: int,
    max_batch_tokens: int,
    max_rows: int = sys.maxsize,
) -> list[list[Part]]:
    """Splits the requests into batches, from the requests alone: the same call gives the same batches.

    A batch's prompts, padded to the longest, and ``row_tokens`` for each of its completions stay within
    ``max_batch_tokens`` (a single completion runs whatever it takes), and no batch has more than ``max_rows``
    completions. Requests of like ``n`` and like prompt length go together: unlike ones would be padded.
    """
    order = sorted(range(len(requests)), key=lambda i: (-requests[i].n, len(prompts[i]), i))
    batches: list[list[Part]] = []
    batch: list[Part] = []
    width = rows = 0
    for i in order:
        first = 0
        while first < requests[i].n:
            wider = max(width, len(prompts[i]))
            room = min((max_batch_tokens - wider * (len(batch) + 1)) // row_tokens, max_rows) - rows
            wanted = requests[i].n - first
            count = max(1, min(wanted, room))
            most = max([count, *(part.count for part in batch)])
            uneven = batch and most * (len(batch) + 1) > 2 * (rows + count)
            if batch and (uneven or room < min(wanted, batch[0].count)):
                batches.append(batch)
                batch, width, rows = [], 0, 0
                continue
            batch.append(Part(i, tuple(prompts[i]), requests[i].seed, first, count))
            width, rows, first = wider, rows + count, first + count
    return [*batches, batch] if batch else batches
