"""A policy's weights as checkpoint files name them, put together one piece at a time.

Out of FSDP2's shards each tensor is gathered when it is its turn, so that no process holds a whole copy: all
processes of a run have to take the pieces together, in order. Adapters come merged. The way in is ``blocks``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import groupby

import torch
from transformers import PreTrainedModel
from transformers.core_model_loading import revert_weight_conversion

from harness.models import lora, sharding

BLOCK = re.compile(r"(.*?\.\d+)\.")
"""A name up to the number of its block."""

Tied = Callable[[str], bool]


def no_copies(_name: str) -> bool:
    """Tied weights once, as files have them."""
    return False


def pieces(model: PreTrainedModel, tied: Tied = no_copies) -> Iterator[tuple[str, torch.Tensor]]:
    """Names and whole tensors, one after another; of tied copies those that ``tied`` wants.

    Where files have the weights in other pieces than the model (experts that it stacks), those of a block
    are whole at a time.
    """
    yield from _outside_inference(_in_files(model, tied, lambda tensor: tensor, lora.merged))


def _outside_inference(
    tensors: Iterator[tuple[str, torch.Tensor]],
) -> Iterator[tuple[str, torch.Tensor]]:
    """vLLM asks for weights in inference mode, in which shards cannot be put together."""
    while True:
        with torch.inference_mode(False), torch.no_grad():
            pair = next(tensors, None)
        if pair is None:
            return
        yield pair


def described(model: PreTrainedModel, tied: Tied = no_copies) -> dict[str, torch.Tensor]:
    """What ``pieces`` will yield, as tensors on the meta device; nothing is gathered for it."""

    def outline(tensor: torch.Tensor) -> torch.Tensor:
        return torch.empty(tensor.shape, dtype=tensor.dtype, device="meta")

    return dict(_in_files(model, tied, outline, lora.named_as_merged))


def _in_files(
    model: PreTrainedModel,
    tied: Tied,
    see: Callable[[torch.Tensor], torch.Tensor],
    merged: Callable[..., Iterator[tuple[str, torch.Tensor]]],
) -> Iterator[tuple[str, torch.Tensor]]:
    state = model.state_dict()
    copies = set(getattr(model, "all_tied_weights_keys", None) or ())
    names = [name for name in state if name not in copies or tied(name)]
    found = merged(model, ((name, see(state[name].detach())) for name in names))
    whole = ((name, sharding.whole(tensor)) for name, tensor in found)
    converts = _converts(model)
    for block, tensors in groupby(whole, key=lambda pair: block_of(pair[0])):
        if block is None or not converts:
            yield from tensors
        else:
            yield from revert_weight_conversion(model, dict(tensors)).items()


def block_of(name: str) -> str | None:
    """The name of the block that a weight belongs to ("model.layers.3"); None outside all blocks."""
    found = BLOCK.match(name)
    return None if found is None else found[1]


def _converts(model: PreTrainedModel) -> bool:
    """Whether files have some weights under other names or in other pieces."""
    if getattr(model, "_weight_conversions", None) == []:
        return False  # nothing was converted when it was loaded
    nothing: dict[str, torch.Tensor] = {}
    return revert_weight_conversion(model, nothing) is not nothing
