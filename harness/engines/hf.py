"""Sampling with transformers' own model classes: no second copy of the weights, no other dependency.

Each prompt is prefilled once for all its completions (``shared_prompt``); prompts of different lengths
decode together, completions that ended leave the batch, and each draws from its own random stream
(``draws``). Unless asked otherwise the model object is the trainer's, so a new policy is sampled as soon as
it is there.
"""

from __future__ import annotations

import contextlib
import copy
import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

import torch
from transformers import PreTrainedModel
from transformers.cache_utils import DynamicCache

from evals.base.errors import JobError, UsageError, first_line
from evals.engine import Group, Request, Sampling, TokenPair, Underway
from harness.engines import hf_attention, hf_scoring
from harness.engines import tokens as text
from harness.engines.hf_batches import Part, plan
from harness.engines.hf_sampling import Draws
from harness.engines.watch import Watch
from harness.models import lora, trial
from harness.models import policy as policies
from harness.models.policy import Policy

log = logging.getLogger(__name__)

CACHE_BYTES = {"cpu": 2**30, "cuda": 2**33}  # keys and values of one batch, were every completion full length
LOGIT_BYTES = 24  # per row and vocabulary entry: scores, masses and their float64 sums
PREFILL_TOKENS = 16384  # prompt tokens per forward pass
TRIAL_TOKENS = 24  # a prompt's, in the trial of an architecture
TRIAL_STEPS = 4
IDLE_ROWS = 1 / 4  # finished rows leave once they are this share: leaving copies the cache


class TransformersEngine:
    """Samples a ``Policy`` in this process. Not for two threads at once."""

    name = "transformers"

    def __init__(
        self,
        policy: Policy,
        *,
        max_batch_tokens: int | None = None,
        own_weights: bool = False,
        max_rows: int | None = None,
    ) -> None:
        """Samples ``policy``, or with ``own_weights`` a copy of it that ``sync`` brings up to date.

        ``max_batch_tokens`` bounds the cached tokens of a batch (default: by memory), ``max_rows`` its
        completions.

        Raises:
            UsageError: the model's attention is not plain causal attention, or a trial of a prefill and a few
                steps finds other log-probabilities than a forward pass.
        """
        self._token_bytes = _tried(policy)
        self._owns = own_weights
        self._policy = replace(policy, model=copy.deepcopy(policy.model)) if own_weights else policy
        room = CACHE_BYTES.get(policy.device.type, 2**30) // self._token_bytes
        self._max_batch_tokens = max_batch_tokens or room
        self._max_rows = max_rows or sys.maxsize
        self._hash: str | None = None
        self._watch = Watch()

    @property
    def tokenizer(self) -> Any:
        return self._policy.tokenizer

    @property
    def model_hash(self) -> str:
        if self._hash is None:
            self._hash = policies.policy_hash(self._policy.model, self._policy.tokenizer)
        return self._hash

    @property
    def weights_hash(self) -> str:
        return policies.weights_hash(self._policy.model)

    def sync(self, model: PreTrainedModel) -> None:
        if self._owns and lora.is_adapted(model):  # the rest is frozen, and may be codes that nothing loads
            lora.put(self._policy.model, lora.adapter(model))
        elif self._owns:
            self._policy.model.load_state_dict(model.state_dict())
        else:
            self._policy = replace(self._policy, model=model)
        self._hash = None

    def samples(self, model: PreTrainedModel) -> bool:
        """Whether it samples this very module: an update is then there without a copy."""
        return self._policy.model is model

    def release(self) -> None:
        """Nothing is held between two calls of ``generate``."""

    def resume(self) -> None:
        """Nothing to take."""

    def watch(self, tell: Callable[[Underway], None]) -> AbstractContextManager[None]:
        """``tell`` is called after every token of all completions that are drawn together."""
        return self._watch.telling(tell)

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[Group]:
        """Samples every request, in order.

        Raises:
            UsageError: a prompt and ``max_tokens`` exceed the model's positions, or a prompt is empty.
            JobError: the logits are not finite.
        """
        model = self._policy.model
        prompts = text.encode_prompts(self.tokenizer, requests)
        text.check_lengths(prompts, sampling, self.positions)
        ends = text.end_tokens(model.config, model.generation_config, self.tokenizer)
        token_ids: list[list[int]] = []
        logprobs: list[list[float]] = []
        places: list[tuple[int, int]] = []
        self._watch.begin()
        with _as_sampler(self._policy):
            row_tokens = self._row_tokens(sampling)
            for batch in plan(prompts, requests, row_tokens, self._max_batch_tokens, self._max_rows):
                decoding = _Decoding(self._policy, batch, sampling, ends, self._watch)
                ids, scores = decoding.run()
                token_ids += ids
                logprobs += scores
                places += [(part.request, part.first + i) for part in batch for i in range(part.count)]
        finished = text.finish_completions(self.tokenizer, token_ids, logprobs, ends, sampling)
        in_order = [finished[k] for k in sorted(range(len(places)), key=places.__getitem__)]
        groups, start = [], 0
        for prompt, request in zip(prompts, requests, strict=True):
            groups.append(Group(tuple(prompt), tuple(in_order[start : start + request.n])))
            start += request.n
        return groups

    @property
    def positions(self) -> int:
        return self._policy.positions

    def loglikelihoods(self, pairs: Sequence[TokenPair]) -> list[tuple[float, bool]]:
        with _as_sampler(self._policy):
            return hf_scoring.loglikelihoods(self._policy, pairs, self.positions, PREFILL_TOKENS)

    def _row_tokens(self, sampling: Sampling) -> int:
        """A completion's share of a batch's memory, in cached tokens: its own, and the logits of a step."""
        logits = LOGIT_BYTES * self._policy.model.config.get_text_config().vocab_size
        return int(sampling.max_tokens + logits // self._token_bytes)


class _Decoding:
    """One batch from prefill to the last token. Rows are completions; those that ended leave in bulk."""

    def __init__(
        self, policy: Policy, batch: list[Part], sampling: Sampling, ends: frozenset[int], watch: Watch
    ) -> None:
        self._policy = policy
        self._batch = batch
        self._sampling = sampling
        self._device = policy.device
        self._ends = torch.tensor(sorted(ends), device=self._device)
        self._stops = text.StopStrings(policy.tokenizer, sampling.stop) if sampling.stop else None
        seeds = [part.seed + part.first + i for part in batch for i in range(part.count)]
        self._total = len(seeds)
        self._watch = watch
        prompts = [part.prompt for part in batch for _ in range(part.count)]
        self._draws = Draws(policy.tokenizer, prompts, seeds, sampling, self._device)
        self.token_bytes = 0
        """What one token's keys and values take in all layers, known once the prompts are prefilled."""

    def run(self) -> tuple[list[list[int]], list[list[float]]]:
        """Token ids and log-probabilities of every row, in the batch's order."""
        logits, prompts = self._prefill()
        with _attention(self._policy.model, hf_attention.NAME):
            return self._decode_all(logits, prompts)

    def _decode_all(
        self, logits: torch.Tensor, prompts: hf_attention.Prompts
    ) -> tuple[list[list[int]], list[list[float]]]:
        cache = hf_attention.CompletionCache(self._policy.model.config.get_text_config().num_hidden_layers)
        rows = torch.arange(self._total, device=self._device)
        alive = torch.ones(self._total, dtype=torch.bool, device=self._device)
        position = torch.tensor(
            [len(part.prompt) for part in self._batch for _ in range(part.count)], device=self._device
        )[:, None]
        history: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = []
        so_far: list[list[int]] = [[] for _ in range(self._total)]
        lengths = [self._sampling.max_tokens] * self._total
        left = self._total
        for step in range(1, self._sampling.max_tokens + 1):
            tokens, logprobs = self._draws.next(logits)
            history.append((rows, tokens, logprobs))
            ended = alive & self._has_ended(rows, tokens, so_far)
            places = ended.nonzero().flatten().tolist()
            if places:
                for row in rows[places].tolist():
                    lengths[row] = step
                alive &= ~ended
                left = int(alive.sum())
                self._watch.end(step * len(places), len(places))
                if left == 0:
                    break
                if len(rows) - left >= IDLE_ROWS * len(rows):
                    stay = alive.nonzero().flatten()
                    rows, tokens, position, alive = rows[stay], tokens[stay], position[stay], alive[stay]
                    cache.keep(stay)
                    prompts.keep(stay)
                    self._draws.keep(stay.tolist())
            self._watch.tell(step * left)
            if step < self._sampling.max_tokens:
                logits = self._step(tokens, position, cache, prompts)
                position = position + 1
        self._watch.end(len(history) * left, left)
        self._watch.tell()
        return self._collect(history, lengths)

    def _prefill(self) -> tuple[torch.Tensor, hf_attention.Prompts]:
        """Next-token logits of every row, and the prompts' keys and values."""
        width = max(len(part.prompt) for part in self._batch)
        size = max(1, PREFILL_TOKENS // width)
        chunks = [self._batch[i : i + size] for i in range(0, len(self._batch), size)]
        outputs = [self._prefill_chunk(chunk, width) for chunk in chunks]
        depth = range(len(outputs[0][1]))
        first = [tensor[0, :, 0] for layer in outputs[0][1] for tensor in (layer.keys, layer.values)]
        self.token_bytes = sum(tensor.numel() * tensor.itemsize for tensor in first)
        prompts = hf_attention.Prompts(
            keys=[torch.cat([layers[i].keys for _, layers in outputs]) for i in depth],
            values=[torch.cat([layers[i].values for _, layers in outputs]) for i in depth],
            lengths=torch.tensor([len(part.prompt) for part in self._batch], device=self._device),
            counts=[part.count for part in self._batch],
        )
        counts = torch.tensor([part.count for part in self._batch], device=self._device)
        return torch.cat([logits for logits, _ in outputs]).repeat_interleave(counts, dim=0), prompts

    def _prefill_chunk(self, parts: list[Part], width: int) -> tuple[torch.Tensor, list[Any]]:
        """Last logits (prompts, vocabulary), and the layers of the filled cache."""
        ids = torch.zeros(len(parts), width, dtype=torch.long)
        mask = torch.zeros(len(parts), width, dtype=torch.long)
        for row, part in enumerate(parts):
            ids[row, width - len(part.prompt) :] = torch.tensor(part.prompt)
            mask[row, width - len(part.prompt) :] = 1
        cache = DynamicCache()
        output = self._policy.model(
            input_ids=ids.to(self._device),
            attention_mask=mask.to(self._device),
            position_ids=(mask.cumsum(1) - 1).clamp(min=0).to(self._device),
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        return output.logits[:, -1], list(cache.layers)

    def _step(
        self,
        tokens: torch.Tensor,
        position: torch.Tensor,
        cache: hf_attention.CompletionCache,
        prompts: hf_attention.Prompts,
    ) -> torch.Tensor:
        """The logits (rows, vocabulary) after one more token of every row."""
        output = self._policy.model(
            input_ids=tokens[:, None],
            position_ids=position,
            past_key_values=cache,
            use_cache=True,
            prompts=prompts,
        )
        logits: torch.Tensor = output.logits[:, -1]
        return logits

    def _has_ended(self, rows: torch.Tensor, tokens: torch.Tensor, so_far: list[list[int]]) -> torch.Tensor:
        ended = (tokens[:, None] == self._ends).any(dim=1)
        if self._stops is None:
            return ended
        numbers = rows.tolist()
        for row, token in zip(numbers, tokens.tolist(), strict=True):
            so_far[row].append(token)
        reached = self._stops.reached([so_far[row] for row in numbers])
        return ended | torch.tensor(reached, device=self._device)

    def _collect(
        self, history: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]], lengths: list[int]
    ) -> tuple[list[list[int]], list[list[float]]]:
        token_ids = torch.zeros(self._total, len(history), dtype=torch.long)
        logprobs = torch.zeros(self._total, len(history))
        for step, (rows, tokens, scores) in enumerate(history):
            token_ids[rows.cpu(), step] = tokens.cpu()
            logprobs[rows.cpu(), step] = scores.cpu()
        ids, scores_ = token_ids.tolist(), logprobs.tolist()
        return (
            [row[:length] for row, length in zip(ids, lengths, strict=True)],
            [row[:length] for row, length in zip(scores_, lengths, strict=True)],
        )


@contextlib.contextmanager
def _as_sampler(policy: Policy) -> Iterator[None]:
    """The model without dropout, gradients or checkpointing, in the forward pass's dtype; then as it was."""
    training = policy.model.training
    policy.model.train(False)
    try:
        with torch.inference_mode(), policy.autocast():
            yield
    finally:
        policy.model.train(training)


@contextlib.contextmanager
def _attention(model: PreTrainedModel, name: str) -> Iterator[None]:
    usual = model.config._attn_implementation
    model.config._attn_implementation = name
    try:
        yield
    finally:
        model.config._attn_implementation = usual


def _tried(policy: Policy) -> int:
    """Bytes of one token's keys and values in all layers, found by decoding a few tokens of a fixed text.

    Two prompts of different lengths are prefilled and continued, by two completions and by one.

    Raises:
        UsageError: the model does not decode this way, or not to the numbers of its forward pass.
    """
    reason = hf_attention.unsupported(policy.model)
    if reason is None:
        try:
            with _as_sampler(policy):
                off, size = _trial(policy)
        except (JobError, torch.OutOfMemoryError):
            raise
        except NotImplementedError as error:
            reason = first_line(error)
        except Exception as error:  # whatever an architecture's own code does not take
            log.debug("a trial of decoding failed", exc_info=True)
            reason = f"decoding a test text fails ({first_line(error)})"
        else:
            if off <= trial.limit(policy):
                return size
            reason = f"decoding gives log-probabilities that are off by {off:.2g} nats per token"
    raise UsageError(
        f'{policy.name} cannot be sampled by the transformers engine: {reason}; try engine "vllm"'
    )


def _trial(policy: Policy) -> tuple[float, int]:
    """Mean |difference| of decoding from plain forward passes, in nats, and the bytes of a cached token."""
    ids = trial.tokens(policy, TRIAL_TOKENS)
    parts = [Part(0, ids, 0, 0, 2), Part(1, ids[: max(1, len(ids) // 3)], 2, 0, 1)]
    steps = min(TRIAL_STEPS, policy.positions - len(ids))
    decoding = _Decoding(policy, parts, Sampling(max_tokens=max(1, steps)), frozenset(), Watch())
    token_ids, logprobs = decoding.run()
    prompts = [part.prompt for part in parts for _ in range(part.count)]
    plain = [
        trial.plain_logprobs(policy.model, policy, prompt, completion)
        for prompt, completion in zip(prompts, token_ids, strict=True)
    ]
    return trial.difference([torch.tensor(row) for row in logprobs], plain), decoding.token_bytes
