"""From text to the tokens that a step learns, and what becomes of those that are too long."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal, TypeVar

from evals.base.errors import UsageError
from evals.engine import Request
from harness.engines import tokens as text
from harness.models.policy import Policy
from harness.train.sft.chat import Marked
from harness.train.sft.formats import Example
from harness.train.sft.stored import Stored, Tokens

log = logging.getLogger(__name__)
T = TypeVar("T")

TooLong = Literal["refuse", "cut", "leave_out"]
AT_ONCE = 512
"""Examples that are encoded together."""


@dataclass(frozen=True)
class Limit:
    """How long an example may be, in tokens, and what is done with a longer one."""

    length: int
    rule: TooLong = "refuse"


def encode(
    items: Iterable[Example | Marked],
    policy: Policy,
    limit: Limit | None = None,
    folder: Path | None = None,
) -> Stored:
    """Token ids of every example, prompts as the engines encode them; by default up to the model's positions.

    A response, and a learned part at the end of a text, is closed by the end-of-sequence token where the
    text does not close it. ``folder``: where they are kept if they are too many for memory.

    Raises:
        UsageError: an example is too long (and ``limit`` does not say what to do with it), none is left, or
            the tokenizer has no end.
    """
    tokenizer = policy.tokenizer
    if tokenizer.eos_token_id is None:
        raise UsageError(f"{policy.name}: its tokenizer has no end-of-sequence token, so no response can end")
    ends = text.end_tokens(policy.model.config, policy.model.generation_config, tokenizer)
    within = _Within(limit or Limit(policy.positions), Stored(folder))
    for some in chunks(items, AT_ONCE):
        for example in tokenize(some, tokenizer, ends):
            within.add(example)
    return within.kept(tokenizer)


def chunks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """The items in lists of ``size``, the last one of what is left."""
    remaining = iter(items)
    while some := list(islice(remaining, size)):
        yield some


def tokenize(items: Sequence[Example | Marked], tokenizer: Any, ends: frozenset[int]) -> list[Tokens]:
    """Token ids and what of them is learned, in order; ``ends`` are the tokens that end a turn."""
    found: dict[int, Tokens] = {}
    pairs = [(i, item) for i, item in enumerate(items) if isinstance(item, Example)]
    if pairs:
        prompts = text.encode_prompts(tokenizer, [Request(item.prompt, 1, 0) for _, item in pairs])
        responses = tokenizer([item.response for _, item in pairs], add_special_tokens=False).input_ids
        for (i, _), prompt, response in zip(pairs, prompts, responses, strict=True):
            rest = (*response, tokenizer.eos_token_id)
            found[i] = Tokens(tuple(prompt), rest, (True,) * len(rest))
    start = tokenizer.bos_token
    for has_start in (False, True):
        marked = [
            (i, item)
            for i, item in enumerate(items)
            if isinstance(item, Marked) and bool(start and item.text.startswith(start)) == has_start
        ]
        if not marked:
            continue
        encoded = tokenizer(
            [item.text for _, item in marked],
            add_special_tokens=not has_start,
            return_offsets_mapping=True,
            return_special_tokens_mask=True,
        )
        columns = encoded.input_ids, encoded.offset_mapping, encoded.special_tokens_mask
        for (i, item), ids, places, added in zip(marked, *columns, strict=True):
            count = len(ids) - text.added_behind(added)
            found[i] = _marked(item, list(ids[:count]), places[:count], tokenizer.eos_token_id, ends)
    return [found[i] for i in range(len(items))]


def _marked(
    item: Marked, ids: list[int], places: Sequence[tuple[int, int]], eos: int, ends: frozenset[int]
) -> Tokens:
    """Learned are the tokens that begin in a learned part, but for white space behind an end of turn.

    ``places``: where each token of the text begins and ends.
    """
    learned = [False] * len(ids)
    closed = True
    for begin, end in item.learned:
        inside = [i for i, (a, b) in enumerate(places) if begin <= a < end and a < b]
        last = next((n for n in range(len(inside), 0, -1) if ids[inside[n - 1]] in ends), 0)
        closed = bool(last) and not item.text[places[inside[last - 1]][1] : end].strip()
        for i in inside[:last] if closed else inside:
            learned[i] = True
    if not closed and item.learned[-1][1] == len(item.text):
        ids.append(eos)
        learned.append(True)
    # What comes first has nothing before it that predicts it.
    read = max(1, learned.index(True) if True in learned else len(ids))
    return Tokens(tuple(ids[:read]), tuple(ids[read:]), tuple(learned[read:]))


class _Within:
    """Keeps the examples as the limit has them, and tells in the log where it changes any."""

    def __init__(self, limit: Limit, stored: Stored) -> None:
        self._limit = limit
        self._stored = stored
        self._count = self._long = self._cut = self._worst = 0
        self._shown: Tokens | None = None
        """The first one that is too long."""

    def add(self, example: Tokens) -> None:
        self._count += 1
        if len(example) <= self._limit.length:
            self._stored.add(example)
            return
        self._long += 1
        self._worst = max(self._worst, len(example))
        self._shown = self._shown or example
        first = example.first(self._limit.length)
        if self._limit.rule == "cut" and any(first.learned):
            self._cut += 1
            self._stored.add(first)

    def kept(self, tokenizer: Any) -> Stored:
        """What is left.

        Raises:
            UsageError: one is too long and the rule is "refuse", or none is left.
        """
        limit = self._limit
        if self._shown is None:
            return self._stored
        if limit.rule == "refuse":
            shown = tokenizer.decode(self._shown.prompt)[:60]
            raise UsageError(
                f"{self._long} of {self._count} examples do not fit {limit.length} positions (the longest "
                f'has {self._worst} tokens), {shown!r}… for one: too_long = "cut" or "leave_out" makes do '
                "without"
            )
        log.warning(
            "%d of %d examples are longer than %d tokens (the longest: %d): %d cut, %d left out",
            self._long,
            self._count,
            limit.length,
            self._worst,
            self._cut,
            self._long - self._cut,
        )
        if not self._stored:
            raise UsageError(
                f"no example is left that fits {limit.length} tokens with something to learn in it"
            )
        return self._stored


def pack(texts: Iterable[str], policy: Policy, length: int, folder: Path | None = None) -> Stored:
    """The texts, one after another, in pieces of ``length`` tokens: the first is read, the rest is learned.

    Every text begins as the tokenizer begins one (with a token of its own, or none) and ends with the
    end-of-sequence token. What does not fill a last piece is left out, unless it is all there is.
    ``folder`` as for ``encode``.

    Raises:
        UsageError: pieces longer than the model has positions, or a tokenizer without an end.
    """
    end, positions = policy.tokenizer.eos_token_id, policy.positions
    if end is None:
        raise UsageError(f"{policy.name}: its tokenizer has no end-of-sequence token, so no text can end")
    if length > positions:
        raise UsageError(f"sequence_length: {length} tokens do not fit the model's {positions} positions")
    pieces, ids = Stored(folder), list[int]()
    for some in chunks((each for each in texts if each), AT_ONCE):
        for row in text.encode_prompts(policy.tokenizer, [Request(each, 1, 0) for each in some]):
            ids += [*row, end]
        filled = len(ids) // length * length
        for start in range(0, filled, length):
            pieces.add(_piece(ids[start : start + length]))
        ids = ids[filled:]
    if not pieces:
        pieces.add(_piece(ids))
    return pieces


def _piece(ids: Sequence[int]) -> Tokens:
    return Tokens((ids[0],), tuple(ids[1:]), (True,) * (len(ids) - 1))
