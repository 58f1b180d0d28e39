"""benchmarks/gpu.py, on a CPU: it needs a GPU for its figures, and none to be known to run."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

FILE = Path(__file__).parents[2] / "benchmarks" / "gpu.py"


@pytest.fixture(scope="module")
def gpu() -> ModuleType:
    spec = importlib.util.spec_from_file_location("gpu_benchmark", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_one_command_prints_all_that_is_asked_of_a_gpu(
    gpu: ModuleType, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu.importlib.util, "find_spec", lambda _name: None)  # vLLM takes minutes to start
    size = ["--size", "tiny", "--completions", "16", "--tokens", "8", "--steps", "2"]
    gpu.main([*size, "--device", "cpu", "--dtype", "float32"])
    told = capsys.readouterr().out
    assert told.startswith("CPU, tiny, float32, peak ")
    for line in (
        r" rollout: +[\d,]+ tokens/s, MFU [\d.]+%",
        r"  update: +[\d,]+ tokens/s, MFU [\d.]+%",
        r"  of bare vLLM: not measured",
        r"end to end: +[\d,]+ tokens/s on one device",
        r"    sync: [\d.]+ s",
        r"  memory: [\d.]+ GiB at most",
        r"   batch: [\d,]+ tokens a micro-batch, \d+ completions",
    ):
        assert re.search(f"^{line}$", told, re.MULTILINE), (line, told)


def test_the_update_is_counted_without_the_sync_and_the_step_with_it(gpu: ModuleType) -> None:
    row = {
        "tokens": 1200,
        "seconds/rollout": 3.0,
        "seconds/reward": 1.0,
        "seconds/update": 8.0,
        "seconds/sync": 1.5,
        "seconds/probe": 0.5,
        "mfu/rollout": 0.01,
        "mfu/update": 0.3,
        "memory_gib": 2.0,
    }
    lines = gpu.told(gpu.Measured([row | {"tokens": 1}, row], 4096, "vllm", 500.0))
    told = " ".join(" ".join(lines).split())
    assert "rollout: 400 tokens/s, MFU 1.0%" in told
    assert "update: 200 tokens/s, MFU 40.0%" in told  # 1,200 tokens in 6 s, a rate 8/6 as high
    assert "of bare vLLM: 0.80 of 500 tokens/s" in told
    assert "end to end: 100 tokens/s" in told
    assert "sync: 1.50 s" in told
    assert "memory: 2.0 GiB" in told
