"""Micro-batches that are halved when memory runs out, and what the next launch is told."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from evals.base.errors import JobError
from harness.models import dist
from harness.train.micro_batch import SMALLEST, MicroBatch


def test_one_process_tries_again_with_half(tmp_path: Path) -> None:
    micro = MicroBatch(400, tmp_path / "fits.json")
    tried = []

    def work() -> str:
        tried.append(micro.tokens)
        if micro.tokens > 100:
            raise torch.OutOfMemoryError("no memory")
        return "done"

    assert micro.fitting(work) == "done"
    assert tried == [400, 200, 100]
    assert not (tmp_path / "fits.json").exists()  # a checkpoint says it


def test_another_error_is_not_ours() -> None:
    def work() -> None:
        raise RuntimeError("shapes differ")

    micro = MicroBatch(400)
    with pytest.raises(RuntimeError, match="shapes differ"):
        micro.fitting(work)
    assert micro.tokens == 400


def out_of_memory() -> None:
    raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")


def test_below_the_smallest_it_gives_up() -> None:
    with pytest.raises(JobError, match=f"out of memory with {SMALLEST} tokens .* lower max_tokens"):
        MicroBatch(4 * SMALLEST).fitting(out_of_memory)


def test_several_processes_leave_the_half_to_their_next_launch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dist, "world", lambda: 2)
    file = tmp_path / "data" / "rl.micro-batch.json"
    with pytest.raises(JobError, match=r"with 400 tokens .* resumes with 200"):
        MicroBatch(400, file).fitting(out_of_memory)
    again = MicroBatch(400, file)
    assert again.tokens == 200
    again.restore(400)  # a checkpoint of before
    assert again.tokens == 200
    again.restore(100)
    assert again.tokens == 100
