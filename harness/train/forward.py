"""Completion tokens through the model: their log-probabilities, with the prompt run once per group.

The last hidden states come from the model's backbone; ``logprobs.score_tokens`` projects them. Either
prompt and completion run as one row, right-padded and without any mask (``Rows``), or rows run one behind
another without padding (``Packed``), or the prompts of a block run first and its completions attend to their
keys and values (``Shared``). In the last case gradients gather at those keys and values over all
micro-batches, and then pass through the prompts once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from transformers import PreTrainedModel

from evals.base.errors import UsageError, first_line
from harness.config.training import Packing
from harness.models import head, trial
from harness.models.policy import Policy
from harness.models.sharding import inside, is_sharded
from harness.train import packed
from harness.train.batching import Block, Row
from harness.train.logprobs import TokenScores, score_tokens
from harness.train.states import Packed, Rows, Shared, States, pad

TRIAL_TOKENS = 36
"""Tokens of the text that each way is tried on."""


Head = Callable[[tuple[Row, ...], torch.Tensor, torch.Tensor, torch.Tensor], TokenScores]
"""(rows, their hidden states (N, H), the vocabulary projection (V, H), targets (N,)) -> (N,) scores."""


@dataclass(frozen=True)
class Scores:
    """One micro-batch: (B, T) log-probabilities, entropies and the mask of real tokens, row by row.

    ``divergence``, (B, T), is there where the head that scored the micro-batch compares with a teacher.
    """

    rows: tuple[Row, ...]
    logprobs: torch.Tensor
    entropy: torch.Tensor
    mask: torch.Tensor
    divergence: torch.Tensor | None = None


class Scorer:
    """Scores completions under one model at one sampling temperature."""

    def __init__(
        self, model: torch.nn.Module, policy: Policy, temperature: float, packing: Packing = "never"
    ) -> None:
        """``model`` is the policy's own or a reference with the same architecture.

        ``packing``: whether rows may be packed, as ``Training.packing``; ``may_pack`` says what came of it.

        Raises:
            UsageError: the model's logits are not a plain projection of its last hidden states.
        """
        self._model = model
        self._backbone = _backbone_of(model)
        self._head: torch.nn.Module = model.get_output_embeddings()  # type: ignore[operator]
        self._float32_head = head.is_float32(model)
        self._policy = policy
        self._temperature = temperature
        asked = packing == "always" or (packing == "auto" and policy.device.type == "cuda")
        self.may_pack = asked and packed.possible(model, policy)
        with evaluation_mode(model):
            self.may_share = self._tried()

    def _tried(self) -> bool:
        """Whether prompts may be shared, having tried rows, and shared prompts, against a plain pass.

        Raises:
            UsageError: no way of this module gives the model's own log-probabilities.
        """
        model, name = self._model, self._policy.name
        try:
            _check_plain_head(model, self._backbone, self._head, name)
            rows = _trial_rows(trial.tokens(self._policy, TRIAL_TOKENS))
            plain = [
                trial.plain_logprobs(model, self._policy, row.prompt_ids, row.completion_ids) for row in rows
            ]
            off = self._off(rows, plain, shared=False)
        except (UsageError, torch.OutOfMemoryError):
            raise
        except Exception as error:  # whatever an architecture's own code does not take
            raise UsageError(f"policy.model: {name} cannot be trained: {first_line(error)}") from error
        if off > trial.limit(self._policy):
            raise UsageError(
                f"policy.model: {name} cannot be trained: its log-probabilities of a text change by "
                f"{off:.2g} nats per token when others are beside it; training takes causal language models"
            )
        if self.may_pack:
            self.may_pack = self._right(rows, plain, packed=True) and self._learns(rows)
        # Activations that are computed again would be put into the prompts' cache again.
        # Several processes must run forward and backward passes in the same order.
        if not _only_full_attention(model.config) or _checkpointed(model) or is_sharded(model):
            return False
        return self._right(rows, plain, shared=True)

    def _right(self, rows: tuple[Row, ...], plain: Sequence[torch.Tensor], **way: bool) -> bool:
        """Whether a way of ``Block`` gives the model's own log-probabilities."""
        try:
            return self._off(rows, plain, **way) <= trial.limit(self._policy)
        except torch.OutOfMemoryError:
            raise
        except Exception:  # an attention or a cache of its own: its rows are right all the same
            return False

    def _learns(self, rows: tuple[Row, ...]) -> bool:
        """Whether a backward pass over packed rows runs; a kernel may know the forward pass alone."""
        if not any(parameter.requires_grad for parameter in self._model.parameters()):
            return True
        try:
            for scores in self.micro_batches(Block((rows,), shared=False, packed=True)):
                scores.logprobs.sum().backward()  # type: ignore[no-untyped-call]
        except torch.OutOfMemoryError:
            raise
        except Exception:  # whatever a kernel says that does not take this model
            return False
        finally:
            self._model.zero_grad(set_to_none=True)
        return True

    def _off(
        self, rows: tuple[Row, ...], plain: Sequence[torch.Tensor], shared: bool = False, packed: bool = False
    ) -> float:
        """Mean |difference| from the plain pass, in nats, at temperature 1."""
        wanted, self._temperature = self._temperature, 1.0
        try:
            return trial.difference(self.score([Block((rows,), shared, packed=packed)], len(rows)), plain)
        finally:
            self._temperature = wanted

    def micro_batches(self, block: Block, head: Head | None = None) -> Iterator[Scores]:
        """Each micro-batch's scores in turn; ``head`` makes them in place of ``score_tokens``.

        With gradients enabled, the caller runs backward on what it makes of one before it asks for the
        next, and exhausts the iterator: the prompts' own backward pass comes last.
        """
        longest = max(row.tokens for rows in block.micro_batches for row in rows)
        if longest > self._policy.positions:
            raise UsageError(
                f"a prompt and its completion of {longest} tokens do not fit the {self._policy.positions} "
                f"positions of {self._policy.name}"
            )
        with packed.attending(self._model) if block.packed else nullcontext():
            with self._policy.autocast():
                states = self._states(block)
            for rows in block.micro_batches:
                yield self._score(states, rows, head)
            states.backward()

    def _states(self, block: Block) -> States:
        if block.packed:
            return Packed(self._backbone)
        return Shared(self._backbone, block) if block.shared else Rows(self._backbone)

    def score(self, blocks: Sequence[Block], count: int) -> list[torch.Tensor]:
        """Log-probabilities of ``count`` completions by ``Row.index``, (tokens,) each, without gradients."""
        found: list[torch.Tensor] = [torch.empty(0)] * count
        with torch.no_grad():
            for block in blocks:
                for scores in self.micro_batches(block):
                    if block.idle:
                        continue
                    for row, values in zip(scores.rows, scores.logprobs, strict=True):
                        found[row.index] = values[: len(row.completion_ids)]
        return found

    def hidden(self, rows: tuple[Row, ...]) -> torch.Tensor:
        """(N, H): the states that predict the N completion tokens of ``rows``, without gradients."""
        targets, mask = pad([row.completion_ids for row in rows], self._policy.device)
        with torch.no_grad():
            return inside(self._model, lambda: self._hidden(Rows(self._backbone), rows, targets, mask))

    @property
    def head_weight(self) -> torch.Tensor:
        """(V, H): the vocabulary projection."""
        weight: torch.Tensor = self._head.weight  # type: ignore[assignment]
        return weight

    def _hidden(
        self, states: States, rows: tuple[Row, ...], targets: torch.Tensor, mask: torch.Tensor
    ) -> torch.Tensor:
        device = self._policy.device
        with self._policy.autocast():
            hidden = states.hidden(rows, targets, mask)
            if self._float32_head:
                hidden = hidden.float()
            elif torch.is_autocast_enabled(device.type):
                hidden = hidden.to(torch.get_autocast_dtype(device.type))
        return hidden

    def _score(self, states: States, rows: tuple[Row, ...], head: Head | None = None) -> Scores:
        device = self._policy.device
        targets, mask = pad([row.completion_ids for row in rows], device)

        def score() -> TokenScores:
            hidden = self._hidden(states, rows, targets, mask)
            if head is not None:
                return head(rows, hidden, self.head_weight, targets[mask])
            return score_tokens(hidden, self.head_weight, targets[mask], self._temperature)

        flat = inside(self._model, score)
        zeros = torch.zeros(mask.shape, device=device)
        return Scores(
            rows,
            zeros.masked_scatter(mask, flat.logprobs),
            zeros.masked_scatter(mask, flat.entropy),
            mask,
            None if flat.divergence is None else zeros.masked_scatter(mask, flat.divergence),
        )


@contextmanager
def evaluation_mode(model: torch.nn.Module) -> Iterator[None]:
    """Dropout off: old, new and reference log-probabilities must differ by the weights alone.

    Blocks with gradient checkpointing still count as training, by which they know that they are to do it.
    """
    before = model.training
    model.eval()
    for block in _checkpointed(model):
        block.training = True
    try:
        yield
    finally:
        model.train(before)


def _checkpointed(model: torch.nn.Module) -> list[torch.nn.Module]:
    """The blocks whose activations are not kept."""
    return [module for module in model.modules() if getattr(module, "gradient_checkpointing", False)]


def _backbone_of(model: torch.nn.Module) -> Any:
    """What gives the last hidden states. A few architectures call it otherwise than their base class says."""
    inner = [child for child in model.children() if isinstance(child, PreTrainedModel)]
    return inner[0] if model.base_model is model and len(inner) == 1 else model.base_model


def _trial_rows(ids: Sequence[int]) -> tuple[Row, ...]:
    """Two completions of one prompt and one of a shorter, of three lengths."""
    third = max(1, len(ids) // 3)
    prompt, rest = tuple(ids[:third]), tuple(ids[third:])
    return (
        Row(0, 0, prompt, rest[:third]),
        Row(1, 0, prompt, rest),
        Row(2, 1, prompt[: max(1, third // 2)], rest[: max(1, third // 2)]),
    )


def _only_full_attention(config: Any) -> bool:
    """Whether keys and values are all that a prompt leaves behind, and masks are taken as given."""
    config = config.get_text_config()
    layer_types = getattr(config, "layer_types", None) or ["full_attention"]
    return (
        config._attn_implementation == "sdpa"
        and not config.is_encoder_decoder
        and set(layer_types) == {"full_attention"}
        and not (getattr(config, "sliding_window", None) and getattr(config, "use_sliding_window", True))
    )


def _check_plain_head(model: torch.nn.Module, backbone: Any, head: Any, name: str) -> None:
    """Refuses a model whose logits are more than a projection of the last hidden states.

    The head's output is replaced by logits as large as they may ever become, so that a soft cap shows even
    where this model's own are still small; what goes into the head must be what the backbone returns.
    """
    weight = getattr(head, "weight", None)
    reason = "has no vocabulary projection"
    if isinstance(weight, torch.Tensor) and weight.ndim == 2:
        reason = "has a bias in its vocabulary projection" if getattr(head, "bias", None) is not None else ""
    ids = torch.arange(8, device=next(model.parameters()).device)[None]
    told: dict[str, torch.Tensor] = {}

    def replace(_module: torch.nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> Any:
        told["hidden"], told["logits"] = inputs[0], output
        ramp = torch.linspace(-1e3, 1e3, output.numel(), device=output.device)
        told["replaced"] = ramp.view_as(output).to(output.dtype)
        return told["replaced"]

    with torch.no_grad():
        if not reason:
            plain = inside(model, lambda: _projected(backbone, head, ids))
            handle = head.register_forward_hook(replace)
            try:
                logits = model(input_ids=ids, use_cache=False).logits
            finally:
                handle.remove()
            if not told:
                reason = "does not call its vocabulary projection"
            elif not _close(told["hidden"], plain[0]) or not _close(told["logits"], plain[1]):
                reason = "changes its hidden states before the vocabulary projection (by a scale or a layer)"
            elif not _close(logits, told["replaced"]):
                reason = "changes its logits after the vocabulary projection (by a scale or soft cap)"
    if reason:
        raise UsageError(f"policy.model: {name} {reason}, which training does not support")


def _projected(backbone: Any, head: Any, ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The last hidden states and their logits, by the head's weight alone."""
    hidden = backbone(input_ids=ids, use_cache=False).last_hidden_state
    return hidden, hidden @ head.weight.T.to(hidden.dtype)


def _close(found: torch.Tensor, wanted: torch.Tensor) -> bool:
    same_shape = found.shape == wanted.shape
    return same_shape and torch.allclose(found.float(), wanted.float(), rtol=1e-2, atol=1e-2)
