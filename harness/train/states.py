"""Three ways to the hidden states that predict completion tokens: rows, rows packed, prompts shared."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any, Protocol

import torch
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer

from harness.train import packed
from harness.train.batching import Block, Row


class States(Protocol):
    def hidden(self, rows: tuple[Row, ...], targets: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """(N, H): the states that predict the N completion tokens of ``rows``, row by row."""
        ...

    def backward(self) -> None:
        """Passes on the gradients that have gathered."""
        ...


class Rows:
    """Prompt and completion as one row. Padding is on the right, where causal attention never looks."""

    def __init__(self, backbone: Any) -> None:
        self._backbone = backbone

    def hidden(self, rows: tuple[Row, ...], targets: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        ids, _ = pad([row.prompt_ids + row.completion_ids for row in rows], targets.device)
        states = self._backbone(input_ids=ids, use_cache=False).last_hidden_state
        # The state at a token predicts the next one: a completion's begin one before its first token.
        place = torch.arange(ids.shape[1], device=ids.device)
        first = torch.tensor([len(row.prompt_ids) - 1 for row in rows], device=ids.device)[:, None]
        last = torch.tensor([row.tokens - 1 for row in rows], device=ids.device)[:, None]
        picked: torch.Tensor = states[(place >= first) & (place < last)]
        return picked

    def backward(self) -> None:
        pass


class Packed:
    """Prompt and completion as one row, and the rows of a micro-batch one behind another."""

    def __init__(self, backbone: Any) -> None:
        self._backbone = backbone

    def hidden(self, rows: tuple[Row, ...], targets: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        lengths = [row.tokens for row in rows]
        ids = [token for row in rows for token in (*row.prompt_ids, *row.completion_ids)]
        states = self._backbone(
            input_ids=torch.tensor([ids], device=targets.device),
            use_cache=False,
            **packed.told(lengths, targets.device),
        ).last_hidden_state[0]
        ends = accumulate(lengths)
        places = [
            torch.arange(end - len(row.completion_ids) - 1, end - 1)
            for row, end in zip(rows, ends, strict=True)
        ]
        picked: torch.Tensor = states[torch.cat(places).to(targets.device)]
        return picked

    def backward(self) -> None:
        pass


class Shared:
    """Each group's prompt once; completions attend to its keys and values."""

    def __init__(self, backbone: Any, block: Block) -> None:
        self._backbone = backbone
        prompts = block.prompts
        self._place = {group: place for place, group in enumerate(prompts)}
        device = backbone.device
        ids, mask = pad(list(prompts.values()), device)
        self._lengths = mask.sum(1)
        cache: Any = DynamicCache()
        states = backbone(input_ids=ids, past_key_values=cache, use_cache=True).last_hidden_state
        last = states[torch.arange(len(ids), device=device), self._lengths - 1]
        self._made = [last, *(t for layer in cache.layers for t in (layer.keys, layer.values))]
        # Leaves of their own, so that each micro-batch's backward ends here and frees its memory.
        self._leaves = [t.detach().requires_grad_(t.requires_grad) for t in self._made]

    def hidden(self, rows: tuple[Row, ...], targets: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        which = torch.tensor([self._place[row.group] for row in rows], device=targets.device)
        first, *keys_and_values = [leaf.index_select(0, which) for leaf in self._leaves]
        states = first[:, None]
        if targets.shape[1] > 1:
            later = self._backbone(
                input_ids=targets[:, :-1],
                attention_mask=self._attention(which, targets.shape[1] - 1),
                position_ids=self._positions(which, mask[:, :-1]),
                past_key_values=_filled_cache(keys_and_values),
                use_cache=True,
            ).last_hidden_state
            states = torch.cat([states, later], dim=1)
        picked: torch.Tensor = states[mask]
        return picked

    def _positions(self, which: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """(B, tokens): places after the row's own prompt; padding stays at the row's last one.

        No place is then higher than that of a real token, which is what some rotary embeddings go by.
        """
        return self._lengths[which, None] + (mask.cumsum(1) - 1).clamp(min=0)

    def _attention(self, which: torch.Tensor, tokens: int) -> torch.Tensor:
        """(B, 1, tokens, prompt + tokens) bool: the row's own prompt without its padding, then causal."""
        width = self._leaves[1].shape[2]
        place = torch.arange(width, device=which.device)
        prompt = (place < self._lengths[which, None])[:, None, None].expand(-1, 1, tokens, -1)
        causal = torch.ones(tokens, tokens, dtype=torch.bool, device=which.device).tril()
        return torch.cat([prompt, causal.expand(len(which), 1, -1, -1)], dim=3)

    def backward(self) -> None:
        pairs = [(made, leaf.grad) for made, leaf in zip(self._made, self._leaves, strict=True)]
        reached = [(made, grad) for made, grad in pairs if grad is not None]
        if reached:
            torch.autograd.backward([made for made, _ in reached], [grad for _, grad in reached])


def pad(sequences: Sequence[Sequence[int]], device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids padded on the right with 0, (B, T) int64, and the bool mask of the real ones."""
    width = max(len(ids) for ids in sequences)
    ids = torch.zeros(len(sequences), width, dtype=torch.int64)
    for row, sequence in enumerate(sequences):
        ids[row, : len(sequence)] = torch.tensor(sequence)
    lengths = torch.tensor([len(sequence) for sequence in sequences])
    mask = torch.arange(width) < lengths[:, None]
    return ids.to(device), mask.to(device)


def _filled_cache(keys_and_values: Sequence[torch.Tensor]) -> Cache:
    layers: list[Any] = []
    for keys, values in zip(keys_and_values[::2], keys_and_values[1::2], strict=True):
        layer = DynamicLayer()  # type: ignore[no-untyped-call]
        layer.lazy_initialization(keys, values)
        layer.keys, layer.values = keys, values
        layers.append(layer)
    return Cache(layers=layers)
