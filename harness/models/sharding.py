"""FSDP2: a policy's weights sharded over the processes of a run, and put together again.

Where the transformers engine samples, each process also holds a whole copy of the weights (``gathered``);
other engines and checkpoints take them piece by piece (``pieces``). With one process the functions hand back
what they are given.
"""

from __future__ import annotations

import copy
import re
import types
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar, cast

import torch
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor, distribute_tensor
from transformers.modeling_layers import GradientCheckpointingLayer

from harness.models import head
from harness.models.dist import world

if TYPE_CHECKING:
    from harness.models.policy import Policy

T = TypeVar("T")


def shard(policy: Policy, keep_whole: bool = True) -> Policy:
    """``policy`` sharded over the processes; with ``keep_whole``, what it was made from stays beside it."""
    if world() == 1 or is_sharded(policy.model):
        return policy
    whole = policy.model
    if not keep_whole:
        return replace(policy, model=shard_model(whole))
    return replace(policy, model=shard_model(copy.deepcopy(whole)), whole=whole.requires_grad_(False))


def shard_model(model: Any, device: torch.device | None = None) -> Any:
    """Shards a model in place: block by block, so that one block at a time is whole on a device.

    ``device``: where it will lie, of a model that lies on the meta device.
    """
    if world() == 1:
        return model
    mesh = init_device_mesh((device or model.device).type, (world(),))
    blocks = [module for module in model.modules() if isinstance(module, GradientCheckpointingLayer)]
    for module in (*blocks, model):
        # By default the outermost weights would stay whole after a pass that no backward follows.
        fully_shard(module, mesh=mesh, reshard_after_forward=True)
        # Losses have the whole batch's denominators: gradients add up (and gloo knows no other scaling).
        module.set_gradient_divide_factor(1.0)
        module.set_force_sum_reduction_for_comms(True)
    model.inside = types.MethodType(lambda _self, work: work(), model)
    register_fsdp_forward_method(model, "inside")
    return model


def shard_copy(model: Any) -> Any:
    """A second model with the weights of ``model``, each process making its own part of it alone."""
    if not is_sharded(model):
        return shard_model(copy.deepcopy(model))
    made = on_meta(model, model.dtype)
    if head.is_float32(model):
        head.to_float32(made)
    made = shard_empty(made, model.device)
    with torch.no_grad():
        for mine, theirs in (
            (made.parameters(), model.parameters()),
            (made.buffers(), model.buffers()),  # those of positions too, which no file has
        ):
            for one, other in zip(mine, theirs, strict=True):
                one.copy_(other)
    return made


def on_meta(model: Any, dtype: torch.dtype) -> Any:
    """A model like ``model`` on the meta device, without adapters, as transformers loads it in ``dtype``."""
    with torch.device("meta"):
        made = plain_class(model)(copy.deepcopy(model.config))
    return keep_float32(made.to(dtype), dtype)


def keep_float32(model: Any, dtype: torch.dtype) -> Any:
    """Casts to float32 the weights that transformers keeps so when it loads ``model`` in ``dtype``."""
    kept = [pattern.replace("*", ".*") for pattern in model._get_dtype_plan(dtype)]
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        if kept and re.search("|".join(kept), name):
            tensor.data = tensor.data.float()
    return model


def shard_empty(model: Any, device: torch.device) -> Any:
    """Shards a model whose parameters lie on the meta device: each process has room for its part of them.

    Buffers that are there stay as they are.
    """
    kept = [None if buffer.is_meta else buffer.clone() for buffer in model.buffers()]
    made = shard_model(model, device).to_empty(device=device)
    for buffer, value in zip(made.buffers(), kept, strict=True):
        if value is not None:
            buffer.copy_(value)
    return made


def plain_class(model: Any) -> Any:
    """The model's own class: FSDP puts one before it."""
    return next(kind for kind in type(model).__mro__ if not issubclass(kind, FSDPModule))


def is_sharded(model: torch.nn.Module) -> bool:
    return isinstance(model, FSDPModule)


def inside(model: torch.nn.Module, work: Callable[[], T]) -> T:
    """``work()`` where the weights outside ``model``'s blocks (embeddings, head) are whole."""
    return cast(T, model.inside(work)) if is_sharded(model) else work()  # type: ignore[operator]


def gathered(policy: Policy) -> Policy:
    """The policy with whole weights as they are now: itself, or its whole copy, brought up to date."""
    if policy.whole is None:
        return policy
    theirs = policy.model.state_dict()
    with torch.no_grad():
        for name, tensor in policy.whole.state_dict().items():
            tensor.copy_(whole(theirs[name]))
    return replace(policy, model=policy.whole, whole=None)


def whole(value: Any) -> Any:
    """``value`` (a tensor, or containers of some) with every sharded tensor put together."""
    match value:
        case DTensor():
            return value.full_tensor()
        case Mapping():
            return {key: whole(inner) for key, inner in value.items()}
        case list() | tuple():
            return type(value)(whole(inner) for inner in value)
        case _:
            return value


def like(tensor: torch.Tensor, model: torch.Tensor) -> torch.Tensor:
    """This process's part of a whole ``tensor`` that is to lie where ``model`` lies."""
    if not isinstance(model, DTensor) or isinstance(tensor, DTensor):
        return tensor
    # Every process has the tensor: none needs to send it.
    return distribute_tensor(tensor.to(model.device), model.device_mesh, model.placements, src_data_rank=None)


def own(tensor: torch.Tensor) -> torch.Tensor:
    """The part of a tensor that lies in this process."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def load_weights(model: torch.nn.Module, tensors: Mapping[str, torch.Tensor]) -> None:
    """Copies whole tensors into ``model``, by name, sharded or not; a tied copy may be missing."""
    tied = getattr(model, "all_tied_weights_keys", None) or ()
    with torch.no_grad():
        for name, mine in model.state_dict().items():
            if name not in tied or name in tensors:
                mine.copy_(like(tensors[name], mine))


def load_optimizer(
    optimizer: torch.optim.Optimizer,
    state: Mapping[str, Any],
    moments: Mapping[str, torch.Tensor] | None = None,
) -> None:
    """Gives ``optimizer`` the state of one that ran in any number of processes.

    ``moments``: what of it lies elsewhere (``split_optimizer``), read one after another.
    """
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    parts = {
        number: {
            name: like(value, parameters[number]) if getattr(value, "ndim", 0) else value
            for name, value in entries.items()
        }
        for number, entries in state["state"].items()
    }
    for place in moments or {}:
        number, _, name = place.partition(".")
        parts.setdefault(int(number), {})[name] = like((moments or {})[place], parameters[int(number)])
    optimizer.load_state_dict({**state, "state": parts})


def split_optimizer(state: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, DTensor]]:
    """An optimiser's state without its sharded tensors, and those as NUMBER.NAME."""
    moments: dict[str, DTensor] = {}
    rest: dict[int, dict[str, Any]] = {}
    for number, entries in state["state"].items():
        rest[number] = {}
        for name, value in entries.items():
            if isinstance(value, DTensor):
                moments[f"{number}.{name}"] = value
            else:
                rest[number][name] = value
    return {**state, "state": rest}, moments


def gathering(tensors: Mapping[str, torch.Tensor]) -> Iterator[tuple[str, torch.Tensor]]:
    """Sharded tensors put together one after another; all processes take them in turn."""
    for name, tensor in tensors.items():
        yield name, whole(tensor.detach())


def outline(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Their shapes and dtypes, as tensors on the meta device."""
    return {name: torch.empty(each.shape, dtype=each.dtype, device="meta") for name, each in tensors.items()}
