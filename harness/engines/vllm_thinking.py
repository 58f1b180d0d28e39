"""A thinking budget with vLLM: a completion is drawn in pieces, and </think> put in where the budget ends.

The same meaning as in the transformers engine (``thinking``): a completion thinks from the <think> that its
prompt ends with or that it writes itself, to the first </think>; it thinks once; what is put in was certain.
vLLM's own ``thinking_token_budget`` compares token ids, and many tokenizers write the tags in several tokens,
which depend on what stands beside them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from evals.engine import Request, Sampling
from evals.templates import THINK_CLOSES, THINK_OPENS, opens_thinking
from harness.engines.thinking import WINDOW

LATER = 1_000_003
"""Between the seeds of a completion's pieces: with the same one they would repeat the same draws."""


@dataclass(frozen=True)
class Piece:
    """What is to be drawn: ``n`` completions of token ids, with seeds from ``seed`` on."""

    prompt: Sequence[int]
    n: int
    seed: int
    logprobs: bool
    max_tokens: int
    stop: tuple[str, ...]


@dataclass(frozen=True)
class Drawn:
    """Token ids, and the log-probability of each (none where they are not asked for).

    ``ended``: at an end token or a stop string, which is ``stopped_at`` then; else its tokens were used up.
    """

    ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    ended: bool = True
    stopped_at: str | None = None


Draw = Callable[[Sequence[Piece]], list[list[Drawn]]]


@dataclass
class _Row:
    """A completion so far."""

    prompt: tuple[int, ...]
    seed: int
    """Of its next piece."""
    request: Request
    inside: bool
    """Whether it thinks."""
    left: int
    """Tokens that it may still have."""
    ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)

    def add(self, ids: Iterable[int], logprobs: Iterable[float]) -> None:
        before = len(self.ids)
        self.ids += ids
        self.logprobs += logprobs
        self.left -= len(self.ids) - before


def within_budget(
    draw: Draw,
    prompts: Sequence[Sequence[int]],
    requests: Sequence[Request],
    sampling: Sampling,
    tokenizer: Any,
) -> list[list[Drawn]]:
    """The completions of every request, none of which thinks for more than ``sampling.thinking_budget``.

    ``draw`` is called three times at most: up to <think>, up to </think>, and for the rest.
    """
    budget = sampling.thinking_budget or 0
    closing: list[int] = tokenizer.encode(THINK_CLOSES, add_special_tokens=False)
    ends = tokenizer.batch_decode(
        [list(prompt[-WINDOW:]) for prompt in prompts],
        skip_special_tokens=False,
        clean_up_tokenization_spaces=False,
    )
    rows = [
        _Row(tuple(prompt), request.seed + i, request, opens_thinking(end), sampling.max_tokens)
        for prompt, request, end in zip(prompts, requests, ends, strict=True)
        for i in range(request.n)
    ]
    plain = [row for row in rows if not row.inside]
    met = _go_on(draw, plain, sampling, THINK_OPENS)
    for row, drawn in zip(plain, met, strict=True):
        row.inside = _came_to(THINK_OPENS, drawn, sampling)
    thinking = [row for row in rows if row.inside and row.left]
    rest = []
    for row, drawn in zip(thinking, _go_on(draw, thinking, sampling, THINK_CLOSES, budget), strict=True):
        closed = _came_to(THINK_CLOSES, drawn, sampling)
        if drawn.ended and not closed:
            continue
        if not closed:
            put = closing[: row.left]
            row.add(put, [0.0] * len(put) if row.request.logprobs else [])
        if row.left:
            rest.append(row)
    _go_on(draw, rest, sampling)
    found = iter(rows)
    return [
        [Drawn(tuple(row.ids), tuple(row.logprobs)) for row in (next(found) for _ in range(request.n))]
        for request in requests
    ]


def _came_to(tag: str, drawn: Drawn, sampling: Sampling) -> bool:
    """Whether a piece ended with the tag, and goes on behind it."""
    return drawn.stopped_at == tag and tag not in sampling.stop


def _go_on(
    draw: Draw,
    rows: Sequence[_Row],
    sampling: Sampling,
    tag: str | None = None,
    most: int | None = None,
) -> list[Drawn]:
    """The next piece of each row, up to ``tag`` and of ``most`` tokens at most."""
    nothing = Drawn((), (), ended=False)
    drawn = [nothing] * len(rows)
    stop = sampling.stop if tag is None or tag in sampling.stop else (*sampling.stop, tag)
    asked = {
        place: Piece(
            (*row.prompt, *row.ids),
            1,
            row.seed,
            row.request.logprobs,
            row.left if most is None else min(row.left, most),
            stop,
        )
        for place, row in enumerate(rows)
        if most != 0
    }
    if asked:
        for place, (piece,) in zip(asked, draw(list(asked.values())), strict=True):
            rows[place].add(piece.ids, piece.logprobs)
            rows[place].seed += LATER
            drawn[place] = piece
    return drawn
