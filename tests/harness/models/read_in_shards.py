"""Run by torchrun: loads policies in shards and writes what the processes have together.

torchrun … read_in_shards.py FOLDER DTYPE RANK-OF-ADAPTERS OUT
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch.distributed.tensor import DTensor

from evals.base import io
from harness import config
from harness.models import blocks, dist, sharding
from harness.models.policy import load_policy, save_policy

sizes: list[int] = []
"""Bytes of weights that were real, each time, in the second model of which each process takes its part."""


def watched(taken: Any) -> Any:
    def found(model: Any) -> Any:
        sizes.append(sum(parameter.nbytes for parameter in model.parameters() if not parameter.is_meta))
        return taken(model)

    return found


def main(folder: str, dtype: Any, rank: str, out: Path) -> None:
    adapters = config.LoRA(rank=int(rank)) if int(rank) else None
    chosen = config.Policy(model=folder, device="cpu", template="tags", dtype=dtype, lora=adapters)
    blocks._taken = watched(blocks._taken)
    policy = load_policy(chosen, trainable=True, seed=5, in_shards=True)
    policy.model.eval()
    with torch.no_grad(), policy.autocast():
        logits = policy.model(input_ids=torch.arange(9)[None], use_cache=False).logits
    state = policy.model.state_dict()
    assert all(isinstance(tensor, DTensor) for tensor in state.values() if tensor.ndim > 1)
    together = {name: tensor.contiguous().clone() for name, tensor in sharding.gathering(state)}
    save_policy(policy, out / "saved" if dist.is_main() else None)
    if adapters is None:
        with torch.no_grad():
            for parameter in policy.model.parameters():
                parameter.zero_()
        torch.distributed.barrier()
        blocks.load(policy.model, out / "saved")
        again = dict(sharding.gathering(policy.model.state_dict()))
        assert all(torch.equal(tensor, together[name]) for name, tensor in again.items())
    if dist.is_main():
        save_file({**together, "logits": logits}, out / "together.safetensors")
        io.write_json(out / "sizes.json", {"largest": max(sizes)})


if __name__ == "__main__":
    torch.manual_seed(0)
    with dist.joined():
        main(sys.argv[1], sys.argv[2], sys.argv[3], Path(sys.argv[4]))
