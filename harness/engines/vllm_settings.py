"""What ``policy.engine = { kind = "vllm", … }`` takes: a few names of ours, and all else that vLLM has."""

from __future__ import annotations

import dataclasses
import importlib.util
import os
from functools import cache
from typing import Any

from pydantic import ConfigDict, Field, model_validator

from evals.base.errors import UsageError
from evals.base.registry import nearest
from harness.config.table import Table

SAID_ELSEWHERE = {
    "model": "policy.model says it",
    "tokenizer": "policy.model says it",
    "revision": "policy.revision says it",
    "tokenizer_revision": "policy.revision says it",
    "dtype": "policy.dtype says it",
    "trust_remote_code": "policy.trust_remote_code says it",
    "gpu_memory_utilization": "it is memory_share here",
    "tensor_parallel_size": "it is tensor_parallel here",
    "data_parallel_size": "it is data_parallel here",
    "max_num_seqs": "it is batch_size here",
    "seed": "every completion has its own seed",
    "generation_config": "stages and protocols set the sampling",
    "logprobs_mode": "the trainer needs the log-probabilities of the sampling distribution",
    "load_format": "it depends on whether the policy is trained",
    "enable_sleep_mode": "it is set for training on a GPU and not otherwise",
    "weight_transfer_config": "policy.servers sets it",
    "distributed_executor_backend": "it follows from tensor_parallel and the run's number of processes",
}
"""EngineArgs that an experiment says elsewhere, or that the harness cannot do without."""


class VllmSettings(Table):
    """Settings of vLLM. Names that are not here are vLLM's own EngineArgs and go to it as they are."""

    model_config = ConfigDict(extra="allow")

    memory_share: float | None = Field(None, gt=0, le=1)
    """The share of a GPU's memory that vLLM may take; as ``policy.vllm_memory``, which it goes before."""
    tensor_parallel: int = Field(1, ge=1)
    """Devices that hold one copy of the weights together."""
    data_parallel: int = Field(1, ge=1)
    """Copies of the weights behind one server's address (``policy.servers``)."""
    max_model_len: int | None = Field(None, ge=1)
    """Positions that vLLM plans for; by default those of the longest prompt and its completion."""
    batch_size: int | None = Field(None, ge=1)
    """Completions sampled at once; by default vLLM's own choice."""
    cache_gib: float = Field(1.0, gt=0)
    """Room for keys and values on a CPU; on a GPU it is what memory_share leaves."""

    @model_validator(mode="after")
    def _known_to_vllm(self) -> VllmSettings:
        for name in self.passed_on:
            if name in SAID_ELSEWHERE:
                raise ValueError(f"{name} cannot be set: {SAID_ELSEWHERE[name]}")
        known = vllms_own()
        for name in self.passed_on if known else ():
            if name not in known:
                ours = list(type(self).model_fields)
                meant = nearest(name, [*ours, *(each for each in known if each not in SAID_ELSEWHERE)])
                raise ValueError(
                    f"unknown key {name!r}; {meant}{' ' if meant else ''}accepted: {', '.join(ours)}, and "
                    "all of vLLM's EngineArgs"
                )
        return self

    @property
    def passed_on(self) -> dict[str, Any]:
        """What goes to vLLM's EngineArgs under their own names."""
        return dict(self.model_extra or {})


def check_copies(copies: object, key: str = "policy.engine") -> None:
    """Refuses several copies of the weights where no server has them.

    Raises:
        UsageError: ``copies`` is not 1; it names ``key``.
    """
    if copies != 1:
        raise UsageError(
            f"{key}.data_parallel: one process runs one copy of the weights; for more, sample on servers "
            "(policy.servers, or harness eval --server) or train in several processes"
        )


@cache
def vllms_own() -> frozenset[str]:
    """The names of vLLM's EngineArgs; none where vLLM is not installed, whose version alone knows them."""
    if importlib.util.find_spec("vllm") is None:
        return frozenset()
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")
    from vllm.engine.arg_utils import EngineArgs

    return frozenset(field.name for field in dataclasses.fields(EngineArgs))
