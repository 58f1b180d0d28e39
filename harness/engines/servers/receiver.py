"""The servers' side of ``plugin``: vLLM's contract for whoever brings new weights."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from vllm.distributed.weight_transfer.base import (
    WeightTransferEngine,
    WeightTransferInitInfo,
    WeightTransferUpdateInfo,
)

from harness.engines.servers.group import Group


@dataclass
class Meeting(WeightTransferInitInfo):  # type: ignore[misc]
    """Where the group meets. ``first``: the place of this server's first worker in it."""

    address: str
    port: int
    first: int
    size: int
    seconds: float


@dataclass
class Announced(WeightTransferUpdateInfo):  # type: ignore[misc]
    """What will be sent, in order."""

    names: list[str]
    dtypes: list[str]
    shapes: list[list[int]]


class GlooReceiver(WeightTransferEngine):  # type: ignore[misc]
    """Takes tensors as they are broadcast and hands each to vLLM before the next one comes."""

    init_info_cls = Meeting
    update_info_cls = Announced
    _group: Group

    def init_transfer_engine(self, init_info: Meeting) -> None:
        parallel = self.parallel_config
        worker = parallel.data_parallel_index * parallel.world_size + parallel.rank
        place = init_info.first + worker
        self._group = Group(init_info.address, init_info.port, place, init_info.size, init_info.seconds)
        self._modules = {
            name.rpartition(".")[2] for name, _ in self.model.named_modules(remove_duplicate=False)
        }

    def start_weight_update(self) -> None:
        from vllm.model_executor.model_loader.reload import initialize_layerwise_reload

        initialize_layerwise_reload(self.model)

    def finish_weight_update(self) -> None:
        from vllm.model_executor.model_loader.reload import finalize_layerwise_reload

        finalize_layerwise_reload(self.model, self.model_config)

    def receive_weights(self, update_info: Announced) -> None:
        self.model.load_weights(self._arriving(update_info))

    def _arriving(self, update_info: Announced) -> Iterator[tuple[str, torch.Tensor]]:
        """What the trainer sends, but for tied copies that vLLM's model has no module for: it refuses those,
        and where it has one, it has packed the old copy for this processor."""
        announced = zip(update_info.names, update_info.dtypes, update_info.shapes, strict=True)
        for name, dtype, shape in announced:
            tensor: Any = torch.empty(shape, dtype=getattr(torch, dtype))
            self._group.pass_on(tensor)
            if name.rpartition(".")[0].rpartition(".")[2] in self._modules or not name.startswith("lm_head"):
                yield name, tensor.to(self.device)

    def shutdown(self) -> None:
        """The group ends with the process."""
