"""Two processes by torchrun (gloo, CPU) come to what one does, and go on with each other's checkpoints."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tomli_w
import torch

from evals.base import io
from harness.models import dist, shards
from harness.models.policy import Policy, save_policy
from harness.train import checkpoint
from harness.train.status import read_status

SFT: dict[str, Any] = {
    "kind": "sft",
    "data": "tiny-traces",
    "steps": 1,
    "batch_size": 6,
    "learning_rate": 1e-4,
    "max_tokens": 24,
}
GRPO: dict[str, Any] = {
    "kind": "grpo",
    "steps": 3,
    "completions_per_step": 12,
    "group_size": 4,
    "learning_rate": 1e-3,
    "beta": 0.05,
    "reference": {"refresh": "every", "steps": 2},
    "epochs": 2,
    "minibatches": 3,
    "loss": {"kind": "kl_cov", "share": 0.02},
    "entropy_bonus": {"weight": 0.01, "target": 10.0},
    "rewards": {"language": 1.0, "overlong": 1.0},
    "overlong_buffer": 20,
    "max_tokens": 24,
    "micro_batch_tokens": 200,
    "checkpoint_every": 1,
    "keep_checkpoints": 9,
    "eval_every": 2,
}
LAST = SFT["steps"] + GRPO["steps"]

Train = Callable[..., str]


def torchrun(*words: str) -> subprocess.CompletedProcess[str]:
    return python("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", *words)


def python(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *words],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


@pytest.fixture
def train(tiny_random_policy: Policy, tmp_path: Path) -> Train:
    """``train(folder, processes, *stages, dev=, **policy settings)``; two processes: what they said."""
    model = tmp_path / "model"
    save_policy(tiny_random_policy, model)

    def run(
        folder: Path,
        processes: int,
        *stages: dict[str, Any],
        dev: str = "tiny-math:train[8:11]",
        **policy: Any,
    ) -> str:
        experiment = {
            "name": "shared",
            "policy": {"model": str(model), "template": "tags", "device": "cpu", **policy},
            "data": {"train": "tiny-math:train[:8]", "dev": dev or [], "dev_samples": 2},
            "stages": stages,
            "eval": {"max_tokens": 4},
            "tracking": {"wandb": "off"},
        }
        file = tmp_path / "x.toml"
        file.write_text(tomli_w.dumps(experiment), encoding="utf-8")
        words = ("-m", "harness.cli", "train", str(file), "--out", str(folder), "--quiet")
        # Alone in a fresh process, too: what tests before this one left in theirs can move a rounding.
        return (torchrun(*words) if processes == 2 else python(*words)).stderr

    return run


def assert_close(mine: Path, theirs: Path) -> None:
    """Metrics and the weights of every step differ by rounding and nothing else."""
    for run in (mine, theirs):
        status = read_status(run)
        assert status is not None
        assert status.state == "done", status.reason
    ours, others = (list(io.read_lines(run / "metrics.jsonl")) for run in (mine, theirs))
    assert [row["step"] for row in ours] == [row["step"] for row in others] == list(range(1, LAST + 1))
    for row, other in zip(ours, others, strict=True):
        names = {name for name in row if not name.startswith(("seconds/", "mfu", "probe/"))} - {
            "time",
            "memory_gib",
            "devices",
        }
        assert names <= other.keys()
        for name in names - {"stage"}:
            assert row[name] == pytest.approx(other[name], rel=1e-5, abs=1e-5), (row["step"], name)
    for step in range(1, LAST + 1):
        weights, expected = (
            dict(shards.Stored(run / "checkpoints" / f"step-{step}")) for run in (mine, theirs)
        )
        assert checkpoint.damage(mine / "checkpoints" / f"step-{step}") is None
        assert weights.keys() == expected.keys()
        for name, tensor in weights.items():
            # A step moves a weight by up to 1e-3; Adam makes more of rounding where a gradient is near 0.
            torch.testing.assert_close(tensor, expected[name], rtol=0, atol=3e-5)


def as_if_killed(run: Path, step: int, copy: Path) -> Path:
    """``run`` as it was when it had written the checkpoint of ``step``."""
    shutil.copytree(run, copy)
    for later in range(step + 1, LAST + 1):
        shutil.rmtree(copy / "checkpoints" / f"step-{later}")
    (copy / "status.json").unlink()
    return copy


@pytest.mark.timeout(900)
def test_two_processes_come_to_what_one_does_and_resume_each_other(train: Train, tmp_path: Path) -> None:
    alone, together = tmp_path / "alone", tmp_path / "together"
    train(alone, 1, SFT, GRPO)
    train(together, 2, SFT, GRPO)
    assert_close(together, alone)

    from_one = as_if_killed(alone, 2, tmp_path / "from-one")
    train(from_one, 2, SFT, GRPO)
    assert_close(from_one, alone)

    from_two = as_if_killed(together, 3, tmp_path / "from-two")
    train(from_two, 1, SFT, GRPO)
    assert_close(from_two, alone)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_adapters_and_checkpointing_are_shared_too(train: Train, tmp_path: Path) -> None:
    policy = {"lora": {"rank": 4}, "gradient_checkpointing": True}
    train(tmp_path / "alone", 1, SFT, GRPO, **policy)
    train(tmp_path / "together", 2, SFT, GRPO, **policy)
    assert_close(tmp_path / "together", tmp_path / "alone")


def test_what_samples_nothing_reads_its_part_of_the_files(train: Train, tmp_path: Path) -> None:
    tuning = {**SFT, "steps": LAST, "checkpoint_every": 1, "keep_checkpoints": LAST}
    for folder, processes in ((tmp_path / "alone", 1), (tmp_path / "together", 2)):
        train(folder, processes, tuning, dev="")
    assert_close(tmp_path / "together", tmp_path / "alone")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_stages_that_one_process_does_alone(train: Train, tmp_path: Path) -> None:
    stages = (
        {"kind": "pretrain", "data": "tiny-traces", "steps": 1, "max_tokens": 24, "sequence_length": 64},
        {"kind": "reject", "name": "own", "samples": 2, "max_tokens": 8, "keep": {"language": 0.0}},
        {**SFT, "data": "own"},
        {"kind": "evaluate", "benchmarks": ["tiny-math"]},
    )
    for folder, processes in ((tmp_path / "alone", 1), (tmp_path / "together", 2)):
        train(folder, processes, *stages)
    mine, theirs = (
        [(row["id"], row["response"]) for row in io.read_lines(tmp_path / name / "data" / "own.jsonl")]
        for name in ("together", "alone")
    )
    assert mine == theirs
    assert list(tmp_path.glob("together/evals/*/tiny-math")) != []


def test_an_error_of_all_is_told_once(train: Train, tmp_path: Path) -> None:
    said = train(tmp_path / "run", 2, {**GRPO, "rewards": {"spelling": 1.0}})
    assert said.count("error: ") == said.count("rewards.spelling") == 1


def test_an_error_of_one_ends_all_and_is_told_once(tmp_path: Path) -> None:
    script = tmp_path / "one_fails.py"
    script.write_text(
        "from harness.models import dist as distributed\n"
        "with distributed.joined():\n"
        "    distributed.spread(lambda items: [1 // item for item in items], [1, 0])\n"
    )
    done = torchrun(str(script))
    assert done.returncode == 1
    assert done.stderr.count("ZeroDivisionError") == 1, done.stderr


def test_with_one_process_nothing_is_different() -> None:
    assert (dist.rank(), dist.world(), dist.is_main()) == (0, 1, True)
    with dist.joined():
        assert not torch.distributed.is_initialized()
        assert dist.spread(lambda items: [2 * item for item in items], [1, 2]) == [2, 4]
        assert dist.gather(5) == [5]
        assert dist.decided(lambda: 5) == 5


def test_shares_are_about_equal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dist, "world", lambda: 3)
    sizes = [9, 1, 8, 2, 7, 3]
    places = dist.shares(sizes)
    sums = [sum(size for size, place in zip(sizes, places, strict=True) if place == p) for p in range(3)]
    assert sums == [10, 10, 10]


HOLES = """
import sys, psutil, torch
from harness.models import dist
if sys.argv[1] == "returned":
    dist._return_freed_memory()
del_me = torch.ones(2**23 - 2**10)  # just below 32 MiB: as glibc sees it freed, it keeps what is smaller
del del_me
blocks = [torch.ones(2**20) for _ in range(64)]  # 4 MiB each
full = psutil.Process().memory_info().rss
del blocks[::2]
print((full - psutil.Process().memory_info().rss) / 2**20)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have another allocator")
@pytest.mark.parametrize(("freed", "expected"), [("kept", 0), ("returned", 128)])
def test_freed_blocks_between_others_are_given_back(freed: str, expected: float) -> None:
    command = [sys.executable, "-c", HOLES, freed]
    found = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert float(found) == pytest.approx(expected, abs=30)
