"""Each of a run's processes has its own vLLM: two come to what one does."""

from __future__ import annotations

import os
import subprocess
import sys
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


def test_two_processes_come_to_what_one_does(policy: Policy, tmp_path: Path) -> None:
    pytest.importorskip("vllm")
    save_policy(policy, tmp_path / "model")
    told = {
        "name": "colocated",
        "policy": {
            "model": str(tmp_path / "model"),
            "template": "tags",
            "device": "cpu",
            "engine": {"kind": "vllm", "cache_gib": 0.25},
        },
        "data": {"train": "tiny-math:train[:8]", "dev": "tiny-math:train[8:11]"},
        "stages": [GRPO],
        "tracking": {"wandb": "off"},
    }
    file = tmp_path / "x.toml"
    file.write_text(tomli_w.dumps(told), encoding="utf-8")
    alone, together = (train(file, tmp_path / str(count), count) for count in (1, 2))
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
