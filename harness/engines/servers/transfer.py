"""The trainer's side of moving weights to servers: by vLLM's own transfer over nccl, or by gloo.

One group has the trainer's first process and the workers of all servers, so that each weight is sent once.
The other processes of the run take part in putting each weight together.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Protocol

import torch
from transformers import PreTrainedModel

from evals.base.errors import JobError
from harness.engines.servers.control import Control
from harness.engines.servers.group import Group
from harness.models import dist
from harness.models.pieces import described, pieces


class Transfer(Protocol):
    """Moves the weights of a model to all servers; each process of the run calls ``send``."""

    def send(self, model: PreTrainedModel) -> None: ...


class GlooTransfer:
    """Tensor by tensor through main memory, in the dtype that the servers compute in."""

    def __init__(self, controls: Sequence[Control], address: str, dtype: torch.dtype, seconds: float) -> None:
        """``controls`` are the servers, in the first process; the others have none.

        Raises:
            JobError: the servers do not meet here.
        """
        self._controls = controls
        self._dtype = dtype
        if not controls:
            return
        workers = [control.workers() for control in controls]
        size, port = 1 + sum(workers), _free_port(address)
        infos = [
            {"address": address, "port": port, "first": 1 + sum(workers[:number]), "size": size}
            for number in range(len(controls))
        ]
        bodies = [{"init_info": {**info, "seconds": seconds}} for info in infos]
        with _at_once(controls, "/init_weight_transfer_engine", bodies):
            self._group = Group(address, port, 0, size, seconds)

    def send(self, model: PreTrainedModel) -> None:
        outline = described(model, tied=_all)
        sent = pieces(model, tied=_all)
        if not self._controls:
            for _ in sent:
                pass
            return
        info = {
            "names": list(outline),
            "dtypes": [str(self._sent_as(each)).removeprefix("torch.") for each in outline.values()],
            "shapes": [list(each.shape) for each in outline.values()],
        }
        for control in self._controls:
            control.order("/start_weight_update")
        bodies = [{"update_info": info}] * len(self._controls)
        with _at_once(self._controls, "/update_weights", bodies):
            for _, tensor in sent:
                self._group.pass_on(tensor.to("cpu", self._sent_as(tensor)).contiguous())
        for control in self._controls:
            control.order("/finish_weight_update")

    def _sent_as(self, tensor: torch.Tensor) -> torch.dtype:
        return self._dtype if tensor.is_floating_point() else tensor.dtype


class NcclTransfer:
    """vLLM's own, from GPU to GPU. Tied weights are sent once: on GPUs both uses share their memory."""

    def __init__(
        self,
        controls: Sequence[Control],
        address: str,
        dtype: torch.dtype,
        model: PreTrainedModel,
    ) -> None:
        from vllm.distributed.weight_transfer.nccl_engine import (
            NCCLTrainerInitInfo,
            NCCLTrainerWeightTransferEngine,
        )

        self._source = _source(dtype)
        self._source.model = model
        size = 1 + sum(control.workers() for control in controls)
        port = _free_port(address) if controls else 0
        self._engine = NCCLTrainerWeightTransferEngine.trainer_init(
            NCCLTrainerInitInfo(address, port, size, rank=dist.rank()),
            client=_Together(controls),
            source=self._source,
        )

    def send(self, model: PreTrainedModel) -> None:
        self._source.model = model
        self._engine.send_weights()


class _Together:
    """Several servers as the one that vLLM's transfer gives its orders to."""

    def __init__(self, controls: Sequence[Control]) -> None:
        self._controls = controls

    def init_weight_transfer_engine(self, init_info: dict[str, Any]) -> None:
        first = int(init_info["rank_offset"])
        bodies = []
        for control in self._controls:
            bodies.append({"init_info": {**init_info, "rank_offset": first}})
            first += control.workers()
        self._all("/init_weight_transfer_engine", bodies)

    def start_weight_update(self) -> None:
        self._all("/start_weight_update", [{}] * len(self._controls))

    def update_weights(self, update_info: Any) -> None:
        self._all("/update_weights", [{"update_info": update_info}] * len(self._controls))

    def finish_weight_update(self, weight_version: str | None = None) -> None:
        self._all("/finish_weight_update", [{}] * len(self._controls))

    def _all(self, path: str, bodies: Sequence[dict[str, Any]]) -> None:
        with _at_once(self._controls, path, bodies):
            pass


def _source(dtype: torch.dtype) -> Any:
    """vLLM's ``WeightSource`` over ``pieces``; vLLM is imported for it."""
    from vllm.distributed.weight_transfer.base import ParamMeta, WeightSource

    class Source(WeightSource):  # type: ignore[misc]
        model: PreTrainedModel

        def metadata(self) -> list[Any]:
            return [
                ParamMeta(name, dtype if each.is_floating_point() else each.dtype, tuple(each.shape))
                for name, each in described(self.model).items()
            ]

        def __iter__(self) -> Iterator[tuple[str, torch.Tensor]]:
            for name, tensor in pieces(self.model):
                yield name, tensor.to(dtype) if tensor.is_floating_point() else tensor

    return Source()


@contextmanager
def _at_once(controls: Sequence[Control], path: str, bodies: Sequence[dict[str, Any]]) -> Iterator[None]:
    """Gives all servers an order that they can follow only while the trainer does its part, the block.

    Raises:
        JobError: a server refuses, or the block fails; the server's word goes first, being the cause.
    """
    threads = ThreadPoolExecutor(len(controls), thread_name_prefix="servers")
    asked = [
        threads.submit(control.order, path, body) for control, body in zip(controls, bodies, strict=True)
    ]
    try:
        try:
            yield
        except RuntimeError as error:
            refused = next((why for each in asked if each.done() and (why := each.exception())), None)
            raise refused or JobError(
                f"policy.servers: the weights could not be sent: {str(error).splitlines()[0]}; run the "
                "same command again to resume from the last checkpoint"
            ) from None
        for each in asked:
            each.result()
    finally:
        threads.shutdown(wait=False, cancel_futures=True)


def _all(_name: str) -> bool:
    return True


def _free_port(address: str) -> int:
    with socket.socket() as probe:
        probe.bind((address, 0))
        return int(probe.getsockname()[1])


def address_towards(host: str) -> str:
    """This machine's address as ``host`` reaches it; nothing is sent to find out."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((host, 9))
        return str(probe.getsockname()[0])
