"""Which completions go through the model together: blocks of groups, cut into micro-batches by tokens."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from harness.models import dist

SHARING_PAYS = 0.2
"""Prompts are shared where that leaves out at least this part of the tokens."""
CALL = 256
"""What one more call of the model costs, in tokens: padding is worth that much."""


@dataclass(frozen=True)
class Row:
    """One completion in an update: ``index`` is its place in the step's batch; a group shares its prompt.

    ``advantage`` weighs its tokens; ``sampler`` holds their log-probabilities as the sampling engine gave
    them; ``counts``: whether it is in the loss; ``chosen``: the places of its tokens that the loss has
    chosen.
    """

    index: int
    group: int
    prompt_ids: tuple[int, ...]
    completion_ids: tuple[int, ...]
    advantage: float = 0.0
    sampler: tuple[float, ...] = ()
    counts: bool = True
    chosen: tuple[int, ...] = ()

    @property
    def tokens(self) -> int:
        return len(self.prompt_ids) + len(self.completion_ids)


@dataclass(frozen=True)
class Block:
    """Micro-batches over the same few groups; ``shared``: each group's prompt runs once for all of them.

    ``packed``: the rows of a micro-batch run one behind another, without padding. ``idle``: it runs because
    another process has something to do, and counts for nothing.
    """

    micro_batches: tuple[tuple[Row, ...], ...]
    shared: bool
    idle: bool = False
    packed: bool = False

    @property
    def prompts(self) -> dict[int, tuple[int, ...]]:
        """Group number -> prompt, in order of first appearance."""
        return {row.group: row.prompt_ids for batch in self.micro_batches for row in batch}


def plan(rows: Sequence[Row], budget: int, may_share: bool, may_pack: bool = False) -> list[Block]:
    """Cuts rows into micro-batches of at most ``budget`` tokens, padding included (one row at least).

    Where rows may be packed and sharing prompts does not pay, nothing is padded. Otherwise rows of similar
    length go together, which keeps padding small. With shared prompts, blocks of whole groups whose prompts
    fit a quarter of the budget come first, as their keys and values stay in memory while the block's
    completions pass.
    """
    if not rows:
        return []
    if not (may_share and _sharing_pays(rows)):
        if may_pack:
            return [Block(tuple(_filled(rows, budget)), shared=False, packed=True)]
        return [Block(tuple(_pack(rows, budget, lambda row: row.tokens)), shared=False)]
    blocks = []
    for groups in _blocks(rows, budget // 4):
        prompts = _padded([len(group[0].prompt_ids) for group in groups])
        inside = [row for group in groups for row in group]
        packed = _pack(inside, max(budget - prompts, 1), lambda row: len(row.completion_ids))
        blocks.append(Block(tuple(packed), shared=True))
    return blocks


def my_rows(rows: Sequence[Row]) -> list[Row]:
    """This process's share of an update's rows."""
    places = dist.shares([row.tokens for row in rows])
    return [row for row, place in zip(rows, places, strict=True) if place == dist.rank()]


def level(blocks: Sequence[Block], rows: Sequence[Row]) -> list[Block]:
    """``blocks`` and as many idle ones as the busiest process has more micro-batches.

    Sharded weights are put together by all processes at once, so that each must run as often as the others.
    """
    mine = sum(len(block.micro_batches) for block in blocks)
    idle = max(dist.gather(mine)) - mine
    if idle == 0:
        return list(blocks)
    shortest = min(rows, key=lambda row: row.tokens)
    return [*blocks, *[Block(((shortest,),), shared=False, idle=True)] * idle]


def padded_tokens(blocks: Iterable[Block]) -> int:
    """Tokens that pass through the model, padding included."""
    total = 0
    for block in blocks:
        if block.shared:
            total += _padded([len(ids) for ids in block.prompts.values()])
        for batch in block.micro_batches:
            if block.packed:
                total += sum(row.tokens for row in batch)
                continue
            total += _padded([len(row.completion_ids) if block.shared else row.tokens for row in batch])
    return total


def _sharing_pays(rows: Sequence[Row]) -> bool:
    groups = {row.group: len(row.prompt_ids) for row in rows}
    saved = sum(len(row.prompt_ids) for row in rows) - sum(groups.values())
    return saved >= SHARING_PAYS * sum(row.tokens for row in rows)


def _blocks(rows: Sequence[Row], budget: int) -> list[list[list[Row]]]:
    """Whole groups, those with similar prompts together, their padded prompts within ``budget`` tokens."""
    groups: dict[int, list[Row]] = {}
    for row in rows:
        groups.setdefault(row.group, []).append(row)
    ordered = sorted(groups.values(), key=lambda group: (len(group[0].prompt_ids), group[0].index))
    blocks: list[list[list[Row]]] = [[]]
    for group in ordered:
        if blocks[-1] and (len(blocks[-1]) + 1) * len(group[0].prompt_ids) > budget:
            blocks.append([])
        blocks[-1].append(group)
    return blocks


def _filled(rows: Sequence[Row], budget: int) -> list[tuple[Row, ...]]:
    """Micro-batches of at most ``budget`` tokens: as few as rows taken longest first into any room need."""
    batches: list[list[Row]] = []
    room: list[int] = []
    for row in sorted(rows, key=lambda row: (-row.tokens, row.index)):
        place = next((i for i, left in enumerate(room) if row.tokens <= left), None)
        if place is None:
            batches.append([])
            room.append(budget)
            place = len(room) - 1
        batches[place].append(row)
        room[place] -= row.tokens
    return [tuple(batch) for batch in batches]


def _pack(rows: Sequence[Row], budget: int, length: Callable[[Row], int]) -> list[tuple[Row, ...]]:
    """The cut of the rows, sorted by length, with the fewest padded tokens plus ``CALL`` per micro-batch."""
    ordered = sorted(rows, key=lambda row: (length(row), row.index))
    lengths = np.array([length(row) for row in ordered])
    # best[j]: the cost of the first j rows; the last micro-batch of that cut starts at start[j].
    best, start = np.zeros(len(ordered) + 1), np.zeros(len(ordered) + 1, dtype=int)
    for end in range(1, len(ordered) + 1):
        first = max(0, end - max(1, budget // int(lengths[end - 1])))
        sizes = end - np.arange(first, end)
        costs = best[first:end] + sizes * lengths[end - 1] + CALL
        start[end] = first + int(costs.argmin())
        best[end] = costs.min()
    batches, end = [], len(ordered)
    while end:
        batches.append(tuple(ordered[start[end] : end]))
        end = start[end]
    return batches


def _padded(lengths: Sequence[int]) -> int:
    return max(lengths) * len(lengths)
