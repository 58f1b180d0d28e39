"""A model's files read into shards, block by block: no process ever holds the whole model.

Files may name the weights otherwise than the model does, or have them in other pieces (a mixture's experts
one by one, which the model stacks). transformers' own loader converts them, into a second model on the meta
device of which one block is real at a time; each process keeps its part. The way back is ``pieces``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterator
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel
from transformers.conversion_mapping import get_model_conversion_mapping
from transformers.core_model_loading import convert_and_load_state_dict_in_model
from transformers.modeling_utils import LoadStateDictConfig

from evals.base.errors import UsageError
from harness.models import lora, sharding, stored
from harness.models.damage import check_complete
from harness.models.pieces import block_of


@torch.no_grad()
def load(model: Any, folder: Path, adapter: Path | None = None) -> None:
    """Reads the weights in ``folder`` into ``model``, sharded or not; adapters that it has stay as they are.

    ``adapter``: the folder of one that is added to the weights, in float32 (``lora.adds_products``).

    Raises:
        UsageError: the files lack weights of the model, or have two for one that it uses twice; or the
            adapter does not fit the model.
    """
    dtype = model.dtype if adapter is None else torch.float32
    added = {} if adapter is None else lora.products(adapter, sharding.on_meta(model, dtype))
    twin = sharding.on_meta(model, dtype)
    conversions: Any = get_model_conversion_mapping(twin)
    settings = LoadStateDictConfig(weight_mapping=conversions, dtype=dtype)
    shards = {lora.plain_name(name): tensor for name, tensor in model.state_dict().items()}
    tied = twin.all_tied_weights_keys
    missing = {tied.get(name, name) for name in twin.state_dict()}
    for places in _by_block(stored.places(folder), shards):
        convert_and_load_state_dict_in_model(twin, dict(stored.tensors(places)), settings)
        for name, tensor in _taken(twin):
            source, mine = tied.get(name, name), shards[name]
            tensor = tensor + added[name]() if name in added else tensor
            found = sharding.like(tensor, mine).to(mine.dtype)
            if source in missing:
                missing.discard(source)
                mine.copy_(found)
            elif not torch.equal(sharding.own(found), sharding.own(mine)):
                raise UsageError(
                    f"{folder}: {name} and {source} differ, which are one weight by the model's config.json; "
                    "set tie_word_embeddings to false there"
                )
    check_complete(folder, missing)
    # transformers saves the weights in the form of the files that it converted.
    model._weight_conversions = twin._weight_conversions


def _by_block(places: dict[str, Path], known: Container[str]) -> Iterator[dict[str, Path]]:
    """Where the tensors of each block lie; outside the blocks one that the model names so is alone."""
    blocks: dict[str | None, dict[str, Path]] = defaultdict(dict)
    for name, place in places.items():
        block = block_of(name)
        blocks[name if block is None and name in known else block][name] = place
    yield from blocks.values()


def _taken(model: PreTrainedModel) -> Iterator[tuple[str, torch.Tensor]]:
    """Parameters and saved buffers that have values, by name; then they lie on the meta device again."""
    for name, tensor in model.state_dict(keep_vars=True).items():
        if tensor.is_meta:
            continue
        yield name, tensor
        owner, _, leaf = name.rpartition(".")
        empty: Any = torch.empty_like(tensor, device="meta")
        if isinstance(tensor, torch.nn.Parameter):
            empty = torch.nn.Parameter(empty, requires_grad=False)
        setattr(model.get_submodule(owner), leaf, empty)
