"""Between text and tokens, the same for every engine: prompts in, completions out, and where they end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from evals.base.errors import UsageError
from evals.engine import Completion, FinishReason, Request, Sampling


def encode_prompts(tokenizer: Any, requests: Sequence[Request]) -> list[list[int]]:
    """Token ids of each prompt; a beginning-of-sequence token that the text already carries is not doubled.

    What a tokenizer adds behind a text (an end token, say) is left out: the prompt is to be continued.

    Raises:
        UsageError: a prompt without a single token.
    """
    if not requests:
        return []
    prompts = [request.prompt for request in requests]
    start = tokenizer.bos_token
    ids: list[list[int]] = [[] for _ in prompts]
    for has_start in (False, True):
        rows = [
            i for i, text in enumerate(prompts) if (start is not None and text.startswith(start)) == has_start
        ]
        if rows:
            encoded = tokenizer(
                [prompts[i] for i in rows],
                add_special_tokens=not has_start,
                return_special_tokens_mask=True,
            )
            masks = encoded.special_tokens_mask
            for row, tokens, added in zip(rows, encoded.input_ids, masks, strict=True):
                ids[row] = tokens[: len(tokens) - added_behind(added)]
    if not all(ids):
        raise UsageError(f"prompt {ids.index([])} of the requests is empty")
    return ids


def added_behind(added: Sequence[int]) -> int:
    """How many tokens at the end are the tokenizer's own and not the text's."""
    behind = 0
    while behind < len(added) and added[-1 - behind]:
        behind += 1
    return behind


def check_lengths(prompts: Sequence[Sequence[int]], sampling: Sampling, positions: int) -> None:
    """Refuses what the model has no positions for.

    Raises:
        UsageError: the longest prompt and ``max_tokens`` exceed the positions; both are named.
    """
    if sampling.max_tokens < 1:
        raise UsageError(f"max_tokens is {sampling.max_tokens}; at least 1 is needed")
    longest = max(map(len, prompts), default=0)
    if longest + sampling.max_tokens > positions:
        raise UsageError(
            f"a prompt of {longest} tokens and max_tokens {sampling.max_tokens} need "
            f"{longest + sampling.max_tokens} positions, but the model has {positions}"
        )


def end_tokens(model_config: Any, generation_config: Any, tokenizer: Any) -> frozenset[int]:
    """Every token that ends a completion: the configurations name one, several or none."""
    found: set[int] = set()
    for named in (
        getattr(generation_config, "eos_token_id", None),
        getattr(model_config, "eos_token_id", None),
        tokenizer.eos_token_id,
    ):
        if named is not None:
            found.update([named] if isinstance(named, int) else named)
    return frozenset(found)


def finish_completions(
    tokenizer: Any,
    token_ids: Sequence[Sequence[int]],
    logprobs: Sequence[Sequence[float]],
    ends: frozenset[int],
    sampling: Sampling,
) -> list[Completion]:
    """Texts and finish reasons of finished completions, by one rule for every engine.

    "stop" is an end token or a stop string; the text ends before either of them. Other special tokens stay
    in the text: a model's tags may be such.
    """
    if not token_ids:
        return []
    bodies = [ids[:-1] if ids[-1] in ends else ids for ids in token_ids]
    silent = silent_tokens(tokenizer, sampling.stop)
    told = [[token for token in body if token not in silent] for body in bodies]
    texts = tokenizer.batch_decode(told, skip_special_tokens=False, clean_up_tokenization_spaces=False)
    completions = []
    for ids, scores, body, text in zip(token_ids, logprobs, bodies, texts, strict=True):
        cut = first_stop(text, sampling.stop)
        reason: FinishReason = "length" if cut is None and len(body) == len(ids) else "stop"
        completions.append(Completion(text[:cut], tuple(ids), tuple(scores), reason))
    return completions


def silent_tokens(tokenizer: Any, stop: Sequence[str]) -> frozenset[int]:
    """Tokens that are no part of a text: what begins, ends and pads sequences, unless one stops at it."""
    named = [(tokenizer.bos_token_id, tokenizer.bos_token), (tokenizer.eos_token_id, tokenizer.eos_token)]
    named.append((tokenizer.pad_token_id, tokenizer.pad_token))
    return frozenset(
        number
        for number, said in named
        if number is not None and not any(str(said) in word or word in str(said) for word in stop)
    )


def first_stop(text: str, stop: Sequence[str]) -> int | None:
    """Where the first of the stop strings begins in ``text``; None where none does."""
    places = [place for place in (text.find(word) for word in stop) if place >= 0]
    return min(places, default=None)


class StopStrings:
    """Says after each token whether a completion has come to a stop string, from its last tokens alone."""

    def __init__(self, tokenizer: Any, stop: Sequence[str]) -> None:
        self._tokenizer = tokenizer
        self._stop = stop
        self._silent = silent_tokens(tokenizer, stop)
        # A token decodes to at least a byte of its own; some more because decoders treat the first
        # tokens of a text in their own way (a leading space, half a character).
        self._window = max((len(word.encode()) for word in stop), default=0) + 8

    def reached(self, completions: Sequence[Sequence[int]]) -> list[bool]:
        """For each completion's tokens so far: does the text hold a stop string?"""
        tails = [[t for t in ids if t not in self._silent][-self._window :] for ids in completions]
        texts = self._tokenizer.batch_decode(tails, clean_up_tokenization_spaces=False)
        return [first_stop(text, self._stop) is not None for text in texts]
