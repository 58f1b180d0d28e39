"""Each of a run's processes has its own vLLM, or both one together: two come to what one does."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tomli_w

from evals.base import io
from harness.models import shards
from harness.models.policy import Policy, save_policy

pytestmark = [pytest.mark.vllm, pytest.mark.slow, pytest.mark.timeout(900)]

GRPO: dict[str, Any] = {
    "kind": "grpo",
    "steps": 3,
    "completions_per_step": 16,
    "group_size": 4,
    "learning_rate": 1e-3,
    "beta": 0.05,
    "reference": {"refresh": "every", "steps": 2},
    "rewards": {"language": 1.0, "overlong": 1.0},
    "overlong_buffer": 20,
    "max_tokens": 24,
    "checkpoint_every": 1,
    "keep_checkpoints": 9,
    "eval_every": 2,
}


def train(file: Path, folder: Path, processes: int) -> list[dict[str, Any]]:
    launcher = ("-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}")
    words = (sys.executable, *launcher, "-m", "harness.cli", "train", str(file), "--out", str(folder), "-q")
    done = subprocess.run(
        words,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return list(io.read_lines(folder / "metrics.jsonl"))


@pytest.mark.parametrize("tensor_parallel", [1, 2])
def test_two_processes_come_to_what_one_does(
    make_random_policy: Callable[..., Policy], tmp_path: Path, tensor_parallel: int
) -> None:
    pytest.importorskip("vllm")
    policy = make_random_policy(hidden_size=64, num_attention_heads=2, num_key_value_heads=tensor_parallel)
    policy.model.generation_config.eos_token_id = [
        256,
        *range(40, 56),
    ]  # some end early
    save_policy(policy, tmp_path / "model")
    told: dict[str, Any] = {
        "name": "colocated",
        "policy": {"model": str(tmp_path / "model"), "template": "tags", "device": "cpu"},
        "data": {"train": "tiny-math:train[:8]", "dev": "tiny-math:train[8:11]"},
        "stages": [GRPO],
        "tracking": {"wandb": "off"},
    }
    runs = []
    for processes, width in ((1, 1), (2, tensor_parallel)):
        engine = {"kind": "vllm", "cache_gib": 0.25, "tensor_parallel": width}
        file = tmp_path / f"{processes}.toml"
        file.write_text(
            tomli_w.dumps({**told, "policy": {**told["policy"], "engine": engine}}), encoding="utf-8"
        )
        runs.append(train(file, tmp_path / str(processes), processes))
    alone, together = runs
    assert [row["step"] for row in together] == [row["step"] for row in alone]
    for mine, theirs in zip(together, alone, strict=True):
        for name, value in theirs.items():
            if name in ("time", "memory_gib", "stage", "devices") or name.startswith(("seconds/", "mfu")):
                continue
            assert mine[name] == pytest.approx(value, rel=1e-3, abs=1e-4), (mine["step"], name)
        assert mine.get("drift", 0.0) < 1e-4
    weights, expected = (shards.Stored(tmp_path / name / "checkpoints" / "step-3") for name in ("2", "1"))
    for name, tensor in expected.items():
        assert float((weights[name] - tensor).abs().max()) < 1e-4
