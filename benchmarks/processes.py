"""What a process takes when several share a run: peak RSS and an update's seconds, with one and with two.

Both are the same run: how far their metrics differ, at most over its steps, is printed too.

    python benchmarks/processes.py                          SmolLM2-135M (smollm2), sampled by a vLLM server
    python benchmarks/processes.py --engine transformers    sampled in each process, from a whole copy
    python benchmarks/processes.py --lora 16                adapters of that rank, the base frozen

The engine "servers" starts one vLLM server, which is not counted: it holds what samples. "vllm" has its own
copy in each process. RSS counts libraries once a process, some 0.5 GiB that no sharding saves.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
import tomli_w

COMPARED = ("reward", "length", "loss", "grad_norm", "drift")
POLICIES: dict[str, dict[str, Any]] = {
    "servers": {"servers": {"count": 1}},
    "vllm": {"engine": {"kind": "vllm", "cache_gib": 0.25}},
    "transformers": {"engine": "transformers"},
}


def peaks(options: argparse.Namespace, processes: int, folder: Path) -> dict[str, Any]:
    """Peak RSS of each process that trains, in GiB, and the run's own figures of its last step."""
    policy = {"model": options.model, "template": "tags", "device": "cpu", **POLICIES[options.engine]}
    if options.lora:
        policy["lora"] = {"rank": options.lora}
    told = {
        "name": "processes",
        "policy": policy,
        "data": {"train": "small-sums:train[:8]"},
        "stages": [
            {
                "kind": "grpo",
                "steps": options.steps,
                "completions_per_step": 16,
                "group_size": 8,
                "learning_rate": 1e-4 if options.lora else 1e-5,
                # What an untrained model's samples differ in, so that there is something to learn.
                "rewards": {"accuracy": 1.0, "answered": 0.5, "cosine": 0.5},
                "max_tokens": options.tokens,
                "micro_batch_tokens": 512,
                "checkpoint_every": 1,
            }
        ],
        "tracking": {"wandb": "off"},
    }
    file, out = folder / f"{processes}.toml", folder / f"run-{processes}"
    file.write_text(tomli_w.dumps(told), encoding="utf-8")
    torchrun = ("-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}")
    launcher = torchrun if processes > 1 else ()
    words = (sys.executable, *launcher, "-m", "harness.cli", "train", str(file), "--out", str(out), "-q")
    run = psutil.Popen(words, env={**os.environ, "OMP_NUM_THREADS": "1"})
    found: dict[int, float] = {}
    while run.poll() is None:
        for process in (run, *_children(run)):
            try:
                command = process.cmdline()
                # What trains, and not the launcher, a server or a grader.
                if "train" in command and "torch.distributed.run" not in command:
                    rss = process.memory_info().rss / 2**30
                    found[process.pid] = max(found.get(process.pid, 0.0), rss)
            except psutil.Error:
                continue
        time.sleep(0.1)
    if run.returncode:
        raise SystemExit(run.returncode)
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return {"gib": sorted(found.values(), reverse=True)[:processes], "rows": rows}


def _children(run: psutil.Process) -> list[psutil.Process]:
    try:
        return run.children(recursive=True)
    except psutil.Error:
        return []


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--engine", choices=list(POLICIES), default="servers")
    parser.add_argument("--lora", type=int, default=0, help="rank of adapters (default: all weights learn)")
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--tokens", type=int, default=32, help="of a completion")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        alone, shared = (peaks(options, processes, Path(place)) for processes in (1, 2))
    for name, one in (("one process", alone), ("two processes", shared)):
        told = ", ".join(f"{gib:.2f}" for gib in one["gib"])
        print(f"{name}: {told} GiB at most; an update: {one['rows'][-1]['seconds/update']:.1f} s")
    print(f"ratio: {max(shared['gib']) / max(alone['gib']):.2f}")
    for name in COMPARED:
        rows = zip(alone["rows"], shared["rows"], strict=True)
        pairs = [(a[name], b[name]) for a, b in rows if name in a and name in b]  # no update, no drift
        if not pairs:
            continue
        print(
            f"{name}: {pairs[-1][0]:.6g} in the last step; differs by {max(abs(a - b) for a, b in pairs):.1g}"
        )


if __name__ == "__main__":
    main()
