"""From text to the tokens that a step learns, and what becomes of those that are too long."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from evals.base.errors import UsageError
from evals.engine import Request
from harness.engines import tokens as text
from harness.models.policy import Policy
from harness.train.sft.chat import Marked
from harness.train.sft.formats import Example

log = logging.getLogger(__name__)

TooLong = Literal["refuse", "cut", "leave_out"]


@dataclass(frozen=True)
class Tokens:
    """An example: ``prompt`` is only read; ``learned`` says which of ``rest`` count in the loss."""

    prompt: tuple[int, ...]
    rest: tuple[int, ...]
    learned: tuple[bool, ...]

    def __len__(self) -> int:
        return len(self.prompt) + len(self.rest)

    def first(self, length: int) -> Tokens:
        """Its first ``length`` tokens."""
        kept = max(0, length - len(self.prompt))
        return Tokens(self.prompt[:length], self.rest[:kept], self.learned[:kept])


@dataclass(frozen=True)
class Limit:
    """How long an example may be, in tokens, and what is done with a longer one."""

    length: int
    rule: TooLong = "refuse"


def encode(items: Sequence[Example | Marked], policy: Policy, limit: Limit | None = None) -> list[Tokens]:
    """Token ids of every example, prompts as the engines encode them; by default up to the model's positions.

    A response, and a learned part at the end of a text, is closed by the end-of-sequence token where the
    text does not close it.

    Raises:
        UsageError: an example is too long (and ``limit`` does not say what to do with it), none is left, or
            the tokenizer has no end.
    """
    tokenizer = policy.tokenizer
    if tokenizer.eos_token_id is None:
        raise UsageError(f"{policy.name}: its tokenizer has no end-of-sequence token, so no response can end")
    ends = text.end_tokens(policy.model.config, policy.model.generation_config, tokenizer)
    return within(tokenize(items, tokenizer, ends), limit or Limit(policy.positions), tokenizer)


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
    for i, item in enumerate(items):
        if isinstance(item, Marked):
            found[i] = _marked(item, tokenizer, ends)
    return [found[i] for i in range(len(items))]


def _marked(item: Marked, tokenizer: Any, ends: frozenset[int]) -> Tokens:
    """Learned are the tokens that begin in a learned part, but for white space behind an end of turn."""
    start = tokenizer.bos_token
    encoded = tokenizer(
        item.text,
        add_special_tokens=not (start and item.text.startswith(start)),
        return_offsets_mapping=True,
        return_special_tokens_mask=True,
    )
    count = len(encoded.input_ids) - text.added_behind(encoded.special_tokens_mask)
    ids, places = list(encoded.input_ids[:count]), encoded.offset_mapping[:count]
    learned = [False] * count
    closed = True
    for begin, end in item.learned:
        inside = [i for i, (a, b) in enumerate(places) if begin <= a < end and a < b]
        last = next((n for n in range(len(inside), 0, -1) if ids[inside[n - 1]] in ends), 0)
        closed = bool(last) and not item.text[places[inside[last - 1]][1] : end].strip()
        for i in inside[:last] if closed else inside:
            learned[i] = True
    if not closed and item.learned[-1][1] == len(item.text):
        ids.append(tokenizer.eos_token_id)
        learned.append(True)
    # What comes first has nothing before it that predicts it.
    read = max(1, learned.index(True) if True in learned else len(ids))
    return Tokens(tuple(ids[:read]), tuple(ids[read:]), tuple(learned[read:]))


def within(examples: Sequence[Tokens], limit: Limit, tokenizer: Any) -> list[Tokens]:
    """The examples as the limit has them, told in the log where it changes any.

    Raises:
        UsageError: one is too long and the rule is "refuse", or none is left.
    """
    long = [each for each in examples if len(each) > limit.length]
    if not long:
        return list(examples)
    worst = max(map(len, long))
    if limit.rule == "refuse":
        shown = tokenizer.decode(long[0].prompt)[:60]
        raise UsageError(
            f"{len(long)} of {len(examples)} examples do not fit {limit.length} positions (the longest has "
            f'{worst} tokens), {shown!r}… for one: too_long = "cut" or "leave_out" makes do without'
        )
    cut = examples if limit.rule == "leave_out" else [each.first(limit.length) for each in examples]
    kept = [each for each in cut if len(each) <= limit.length and any(each.learned)]
    log.warning(
        "%d of %d examples are longer than %d tokens (the longest: %d): %d cut, %d left out",
        len(long),
        len(examples),
        limit.length,
        worst,
        len(kept) - (len(examples) - len(long)),
        len(examples) - len(kept),
    )
    if not kept:
        raise UsageError(f"no example is left that fits {limit.length} tokens with something to learn in it")
    return kept


def pack(texts: Sequence[str], policy: Policy, length: int) -> list[Tokens]:
    """The texts, one after another, in pieces of ``length`` tokens: the first is read, the rest is learned.

    Every text begins as the tokenizer begins one (with a token of its own, or none) and ends with the
    end-of-sequence token. What does not fill a last piece is left out, unless it is
    all there is.

    Raises:
        UsageError: pieces longer than the model has positions, or a tokenizer without an end.
    """
    end, positions = policy.tokenizer.eos_token_id, policy.positions
    if end is None:
        raise UsageError(f"{policy.name}: its tokenizer has no end-of-sequence token, so no text can end")
    if length > positions:
        raise UsageError(f"sequence_length: {length} tokens do not fit the model's {positions} positions")
    rows = text.encode_prompts(policy.tokenizer, [Request(each, 1, 0) for each in texts if each])
    ids = [token for row in rows for token in (*row, end)]
    pieces = [ids[start : start + length] for start in range(0, len(ids) - length + 1, length)] or [ids]
    return [Tokens((piece[0],), tuple(piece[1:]), (True,) * (len(piece) - 1)) for piece in pieces]
