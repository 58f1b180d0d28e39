"""vLLM servers that sample the policy in training, apart from the processes that train it."""

from __future__ import annotations

from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from evals.base.http import check_address
from evals.base.secrets import mask
from harness.config.table import Table


class Servers(Table):
    """vLLM servers that get the policy's weights after every update; a list of addresses stands for a table.

    They take orders from whoever reaches them, so they belong on this machine or on a private network.
    """

    addresses: list[str] = []
    """Of servers that run already: "http://node1:8000". docs/training.md says how they are started."""
    count: int = Field(0, ge=0)
    """So many are started on this machine and end with the run, however it ends. On GPUs each takes
    tensor_parallel times data_parallel of them (``policy.engine``), behind those that train."""
    transfer: Literal["auto", "nccl", "gloo"] = "auto"
    """How weights travel: "nccl" from GPU to GPU, "gloo" over the network through main memory; "auto" is
    nccl where the policy is trained on a GPU."""
    meet: str = ""
    """This machine's address as the servers reach it; by default the one that leads to the first server."""
    timeout: float = Field(3600.0, gt=0.0)
    """Seconds for one answer, and for one transfer of all weights."""
    starts_within: float = Field(1800.0, gt=0.0)
    """Seconds in which a server must answer after it was started."""

    @model_validator(mode="before")
    @classmethod
    def _from_addresses(cls, value: Any) -> Any:
        if isinstance(value, str):
            value = [each.strip() for each in value.split(",")]
        return {"addresses": value} if isinstance(value, list) else value

    @field_validator("addresses")
    @classmethod
    def _are_addresses(cls, value: list[str]) -> list[str]:
        found = []
        for each in value:
            if mask(each) != each:
                raise ValueError("contains a password, which would be saved with every run")
            check_address(each)
            found.append(each.rstrip("/").removesuffix("/v1"))
        if len(set(found)) < len(found):
            raise ValueError("lists the same address twice")
        return found

    @model_validator(mode="after")
    def _one_way(self) -> Servers:
        if bool(self.addresses) == bool(self.count):
            raise ValueError(
                'give the addresses of running servers (["http://node1:8000"]), or how many to start ({ '
                "count = 2 })"
            )
        return self

    @property
    def hosts(self) -> list[str]:
        """The machines that the addresses lead to."""
        return [urlsplit(each).hostname or "" for each in self.addresses]
