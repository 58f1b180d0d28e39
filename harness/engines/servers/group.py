"""The trainer and the workers of all servers as one gloo group, beside whatever groups they have already."""

from __future__ import annotations

import datetime
import ipaddress
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.distributed_c10d import BroadcastOptions

GLOO: Any = dist.ProcessGroupGloo
"""Without the default group that torch.distributed knows: server and trainer have one of their own each."""


class Group:
    """One of the group's members. The first member is the trainer, who sends."""

    def __init__(self, address: str, port: int, rank: int, size: int, seconds: float) -> None:
        """Waits until all ``size`` members are there.

        Raises:
            RuntimeError: they are not, within ``seconds``.
        """
        patience = datetime.timedelta(seconds=seconds)
        self._store: Any = dist.TCPStore(  # type: ignore[attr-defined]
            address, port, size, is_master=rank == 0, timeout=patience, wait_for_workers=False
        )
        options = GLOO._Options()
        options._timeout = patience
        device = {"hostname": address} if _is_loopback(address) else {}
        options._devices = [GLOO.create_device(**device)]
        self._group = GLOO(
            dist.PrefixStore("weights", self._store),  # type: ignore[attr-defined]
            rank,
            size,
            options,
        )

    def pass_on(self, tensor: torch.Tensor) -> None:
        """Sends ``tensor``, which lies in main memory, from the first member; the others receive into it."""
        options = BroadcastOptions()
        options.rootRank = 0
        self._group.broadcast([tensor.view(-1).view(torch.uint8)], options).wait()


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"
