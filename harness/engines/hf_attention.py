"""Decoding many completions of the same prompts: attention that reads each prompt's keys and values once.

The keys and values of a prompt are stored once per request, those of a completion once per completion.
Per layer and step, attention is two batched products over each part and one softmax over both:

    scores = [ q K_prompt^T | q K_completion^T ]      out = softmax(scores) [ V_prompt ; V_completion ]

Decoding is bound by memory traffic, and n completions of a prompt read its part once instead of n times;
query heads that share a key-value head are one product too, where repeating the keys would copy the cache.
transformers' models run it unchanged: it is an attention implementation like "sdpa", and a cache.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers import AttentionInterface, PreTrainedModel
from transformers.cache_utils import Cache, CacheLayerMixin

NAME = "shared_prompt"
BEYOND = ("s_aux", "softcap", "sliding_window", "position_bias", "head_mask", "indices")
"""Keyword arguments of attention implementations that change the result: sinks, caps, windows, biases."""
WINDOWS = ("sliding_window", "attention_window_size", "window_size", "attention_chunk_size")
"""What configurations call a window of tokens beyond which nothing is attended to."""
ROOM = 32  # steps of room a completion's cache starts with; it doubles from there


class Prompts:
    """The prefilled prompts of a batch and which row continues which.

    ``keys`` and ``values`` hold per layer (prompts x key-value heads, length, head size); ``lengths`` says
    how many of ``length`` are real, the last ones, since prompts are padded on the left.
    """

    def __init__(
        self,
        keys: Sequence[torch.Tensor],
        values: Sequence[torch.Tensor],
        lengths: torch.Tensor,
        counts: Sequence[int],
    ) -> None:
        self._heads = keys[0].shape[1]
        self._keys = [layer.flatten(0, 1) for layer in keys]
        self._values = [layer.flatten(0, 1) for layer in values]
        width = keys[0].shape[2]
        places = torch.arange(width, device=lengths.device)
        padding = places[None, :] < width - lengths[:, None]
        bias = torch.zeros(padding.shape, dtype=keys[0].dtype, device=lengths.device)
        self._bias = bias.masked_fill(padding, torch.finfo(bias.dtype).min)
        self._rows = torch.repeat_interleave(
            torch.arange(len(counts), device=lengths.device), torch.tensor(counts, device=lengths.device)
        )
        self._arrange(list(counts))

    def _arrange(self, counts: list[int]) -> None:
        """Lays the rows out as prompts x the most rows of one prompt; shorter ones are filled up."""
        self._counts = counts
        self._most = max(counts)
        device = self._rows.device
        first = 0
        take, give = [], []
        for prompt, count in enumerate(counts):
            take += [first + min(i, count - 1) for i in range(self._most)]
            give += [prompt * self._most + i for i in range(count)]
            first += count
        even = len(take) == len(give)
        self._take = None if even else torch.tensor(take, device=device)
        self._give = None if even else torch.tensor(give, device=device)
        self.row_bias = self._bias[self._rows][:, None, None, :]

    def keep(self, rows: torch.Tensor) -> None:
        """Goes on with these rows alone, and with the prompts that they continue."""
        rows_of = self._rows[rows]
        used, self._rows, counts = torch.unique_consecutive(rows_of, return_inverse=True, return_counts=True)
        if len(used) < len(self._counts):
            self._bias = self._bias[used]
            self._keys = [self._of_prompts(layer, used) for layer in self._keys]
            self._values = [self._of_prompts(layer, used) for layer in self._values]
        self._arrange(counts.tolist())

    def _of_prompts(self, layer: torch.Tensor, prompts: torch.Tensor) -> torch.Tensor:
        _, width, size = layer.shape
        return layer.view(-1, self._heads, width, size)[prompts].flatten(0, 1)

    def scores(self, layer: int, query: torch.Tensor) -> torch.Tensor:
        """``q K^T``: (rows, key-value heads, group, head size) -> (rows, key-value heads, group, length)."""
        return self._per_row(torch.bmm(self._per_prompt(query), self._keys[layer].mT), query.shape[2])

    def mix(self, layer: int, weights: torch.Tensor) -> torch.Tensor:
        """``w V``: (rows, key-value heads, group, length) -> (rows, key-value heads, group, head size)."""
        return self._per_row(torch.bmm(self._per_prompt(weights), self._values[layer]), weights.shape[2])

    def _per_prompt(self, rows: torch.Tensor) -> torch.Tensor:
        """(rows, heads, group, x) -> (prompts x heads, rows of a prompt x group, x)."""
        if self._take is not None:
            rows = rows[self._take]
        _, heads, group, size = rows.shape
        laid_out = rows.view(-1, self._most, heads, group, size).transpose(1, 2)
        return laid_out.reshape(-1, self._most * group, size)

    def _per_row(self, prompts: torch.Tensor, group: int) -> torch.Tensor:
        """The way back."""
        size = prompts.shape[-1]
        laid_out = prompts.view(-1, self._heads, self._most, group, size).transpose(1, 2)
        rows = laid_out.reshape(-1, self._heads, group, size)
        return rows if self._give is None else rows[self._give]


class CompletionLayer(CacheLayerMixin):  # type: ignore[no-untyped-call]
    """One layer's keys and values of the completions, (rows, heads, room, head size), written in place."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.length = 0

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        rows, heads, _, size = key_states.shape
        self.keys = key_states.new_empty(rows, heads, ROOM, size)
        self.values = value_states.new_empty(rows, heads, ROOM, value_states.shape[-1])
        self.is_initialized = True

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        assert self.keys is not None
        assert self.values is not None
        if self.length == self.keys.shape[2]:
            self.keys, self.values = _doubled(self.keys), _doubled(self.values)
        self.keys[:, :, self.length] = key_states[:, :, 0]
        self.values[:, :, self.length] = value_states[:, :, 0]
        self.length += 1
        return self.keys[:, :, : self.length], self.values[:, :, : self.length]

    def keep(self, rows: torch.Tensor) -> None:
        """Goes on with these rows alone."""
        if self.keys is not None and self.values is not None:
            self.keys = self._selected(self.keys, rows)
            self.values = self._selected(self.values, rows)

    def _selected(self, tensor: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        kept = tensor.new_empty(len(rows), *tensor.shape[1:])
        torch.index_select(tensor[:, :, : self.length], 0, rows, out=kept[:, :, : self.length])
        return kept

    def get_seq_length(self) -> int:
        return self.length

    def get_max_length(self) -> int:
        return -1

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.length + query_length, 0


class CompletionCache(Cache):
    """The completions' part of the cache, one layer per layer of the model."""

    def __init__(self, layers: int) -> None:
        self._own = [CompletionLayer() for _ in range(layers)]
        super().__init__(layers=list(self._own))

    def keep(self, rows: torch.Tensor) -> None:
        """Goes on with these rows alone."""
        for layer in self._own:
            layer.keep(rows)


def _doubled(tensor: torch.Tensor) -> torch.Tensor:
    rows, heads, room, size = tensor.shape
    grown = tensor.new_empty(rows, heads, 2 * room, size)
    grown[:, :, :room] = tensor
    return grown


def attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    scaling: float,
    prompts: Prompts | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """One decoding step of one layer, as transformers calls an attention implementation.

    Args:
        query: (rows, query heads, 1, head size).
        key, value: (rows, key-value heads, steps so far, head size), from ``CompletionLayer``; values may
            have another size than keys.
        prompts: passed through the model's keyword arguments.

    Returns:
        (rows, 1, query heads, size of a value), and no weights.

    Raises:
        NotImplementedError: the model asks for what is not computed here, see ``BEYOND``.
    """
    if prompts is None:
        raise NotImplementedError("its layers do not pass arguments on to the attention implementation")
    if any(kwargs.get(name) is not None for name in BEYOND):
        raise NotImplementedError("its attention is more than a softmax over keys")
    rows, heads, steps, size = key.shape
    layer = int(module.layer_idx)  # type: ignore[arg-type]
    grouped = (query * scaling).view(rows, heads, -1, size)
    asked = prompts.scores(layer, grouped) + prompts.row_bias
    told = torch.bmm(grouped.flatten(0, 1), key.flatten(0, 1).mT).view(rows, heads, -1, steps)
    weights = torch.cat([asked, told], dim=-1).softmax(dim=-1, dtype=torch.float32).to(query.dtype)
    of_prompt, of_completion = torch.split(weights, [asked.shape[-1], steps], dim=-1)
    mixed = prompts.mix(layer, of_prompt)
    mixed = mixed + torch.bmm(of_completion.flatten(0, 1), value.flatten(0, 1)).view_as(mixed)
    return mixed.reshape(rows, 1, query.shape[1], value.shape[-1]), None


def unsupported(model: PreTrainedModel) -> str | None:
    """Why ``model`` cannot run this attention, by its configuration; None where a trial decides.

    Windows and caps are read off here because the few tokens of a trial do not reach them.
    """
    config = model.config.get_text_config()
    kinds = getattr(config, "layer_types", None)
    if kinds is not None and set(kinds) != {"full_attention"}:
        return f"its layers are of kind {', '.join(sorted(set(kinds)))}"
    windows = [name for name in WINDOWS if isinstance(getattr(config, name, None), int)]
    if kinds is None and any(getattr(config, name) for name in windows):
        return "it attends to a sliding window"
    if getattr(config, "attn_logit_softcapping", None) is not None:
        return "it caps its attention scores"
    if not getattr(model, "_supports_attention_backend", False):
        return "its code does not support custom attention implementations"
    return None


AttentionInterface.register(NAME, attention)
