"""FSDP2: a policy's weights sharded over the processes of a run, and put together again.

Each process also holds a whole copy of the weights (``gathered``), which samples and goes into checkpoints.
With one process the functions hand back what they are given.
"""

from __future__ import annotations

import copy
import types
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar, cast

import torch
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor, distribute_tensor
from transformers.modeling_layers import GradientCheckpointingLayer

from harness.models.dist import world

if TYPE_CHECKING:
    from harness.models.policy import Policy

T = TypeVar("T")


def shard(policy: Policy) -> Policy:
    """``policy`` sharded over the processes, with the whole copy that it was made from beside it."""
    if world() == 1:
        return policy
    whole = policy.model
    return replace(policy, model=shard_model(copy.deepcopy(whole)), whole=whole.requires_grad_(False))


def shard_model(model: Any) -> Any:
    """Shards a model in place: block by block, so that one block at a time is whole on a device."""
    if world() == 1:
        return model
    mesh = init_device_mesh(model.device.type, (world(),))
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
    return distribute_tensor(tensor.to(model.device), model.device_mesh, model.placements)


def load_weights(model: torch.nn.Module, tensors: Mapping[str, torch.Tensor]) -> None:
    """Copies whole tensors into ``model``, by name, sharded or not."""
    with torch.no_grad():
        for name, mine in model.state_dict().items():
            mine.copy_(like(tensors[name], mine))


def load_optimizer(optimizer: torch.optim.Optimizer, state: Mapping[str, Any]) -> None:
    """Gives ``optimizer`` the state of one that ran in any number of processes."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    parts = {
        number: {
            name: like(value, parameters[number]) if getattr(value, "ndim", 0) else value
            for name, value in entries.items()
        }
        for number, entries in state["state"].items()
    }
    optimizer.load_state_dict({**state, "state": parts})
