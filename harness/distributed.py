"""Several processes on one run: torchrun starts them, FSDP2 shards the policy over them, the first writes.

Every process draws the same prompts, samples, grades and learns its share of them, and knows all results
(``spread``). What depends on chance is seeded by what it is for and never by where it runs, and losses have
the denominators of the whole batch, so the number of processes changes rounding and nothing else. Each
process also holds a whole copy of the weights (``gathered``), which samples and goes into checkpoints.

With one process all of this is nothing: the functions hand back what they are given.
"""

from __future__ import annotations

import copy
import datetime
import os
import time
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar, cast

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard, register_fsdp_forward_method
from torch.distributed.rendezvous import rendezvous
from torch.distributed.tensor import DTensor, distribute_tensor
from transformers.modeling_layers import GradientCheckpointingLayer

if TYPE_CHECKING:
    from evals.engine import Group, Request, Sampling
    from harness.engines import RolloutEngine
    from harness.policy import Policy

T = TypeVar("T")
R = TypeVar("R")
PATIENCE = datetime.timedelta(hours=12)
"""How long a process waits for the others: the first one measures benchmarks by itself."""


UNTIL_ENDED = 30.0
"""Seconds in which the process that tells of an error has surely told it."""


def rank() -> int:
    """This process's number, 0 for the one that writes."""
    return int(os.environ["RANK"]) if dist.is_torchelastic_launched() else 0


def world() -> int:
    """How many processes work on the run."""
    return int(os.environ["WORLD_SIZE"]) if dist.is_torchelastic_launched() else 1


def is_main() -> bool:
    return rank() == 0


@contextmanager
def joined() -> Iterator[None]:
    """The processes that torchrun started know each other inside this block; each has a GPU, if there are.

    An error that ends one of them ends all, and one of them raises it: the others wait to be ended.
    """
    if world() == 1:
        yield
        return
    backend = "gloo"
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        backend = "cpu:gloo,cuda:nccl"
    store, number, count = next(rendezvous("env://", timeout=PATIENCE))
    dist.init_process_group(backend, store=store, rank=number, world_size=count, timeout=PATIENCE)
    try:
        yield
    except Exception:
        if store.add("errors", 1) > 1:
            # torchrun ends this process as soon as the one that tells of the error has ended.
            time.sleep(UNTIL_ENDED)
        raise
    dist.destroy_process_group()


def spread(work: Callable[[Sequence[T]], Sequence[R]], items: Sequence[T]) -> list[R]:
    """``work(items)``, a result for each item in order, each process having worked on its share.

    Raises:
        Exception: the first one that any process met, in all of them.
    """
    if world() == 1:
        return list(work(items))
    results = _told(lambda: list(work(items[rank() :: world()])))
    return [results[i % world()][i // world()] for i in range(len(items))]


def decided(decide: Callable[[], T]) -> T:
    """What the first process finds, in all of them: for what could look different to each."""
    if world() == 1:
        return decide()
    return cast(T, _told(lambda: decide() if is_main() else None)[0])


def gather(value: T) -> list[T]:
    """Every process's ``value``, in the order of their numbers."""
    return [value] if world() == 1 else _told(lambda: value)


def _told(find: Callable[[], R]) -> list[R]:
    """What each process finds; an error of one is raised in all, so that none waits for ever."""
    mine: tuple[R | None, Exception | None]
    try:
        mine = (find(), None)
    except Exception as error:  # whatever it is, it ends the run in the process that met it
        mine = (None, error)
    told: list[Any] = [None] * world()
    dist.all_gather_object(told, mine)
    for _, failure in told:
        if failure is not None:
            raise failure
    return [found for found, _ in told]


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


def shares(sizes: Sequence[int]) -> list[int]:
    """Which process each of some pieces of work goes to, so that their sums of sizes are about equal."""
    loads = [0] * world()
    found = [0] * len(sizes)
    for place in sorted(range(len(sizes)), key=lambda i: (-sizes[i], i)):
        found[place] = loads.index(min(loads))
        loads[found[place]] += sizes[place]
    return found


class SpreadEngine:
    """An engine in every process as one: each samples its share of the requests."""

    def __init__(self, engine: RolloutEngine) -> None:
        self._engine = engine
        self.name = engine.name

    @property
    def tokenizer(self) -> Any:
        return self._engine.tokenizer

    @property
    def model_hash(self) -> str:
        return self._engine.model_hash

    @property
    def weights_hash(self) -> str:
        return self._engine.weights_hash

    def sync(self, model: Any) -> None:
        self._engine.sync(model)

    def release(self) -> None:
        self._engine.release()

    def resume(self) -> None:
        self._engine.resume()

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[Group]:
        return spread(lambda mine: self._engine.generate(mine, sampling), requests)
