"""What bfloat16 and torch.compile gain, and how far they drift: our own GRPO step in each way.

    python benchmarks/precision.py                  3.2M random Qwen2, 16 prompts x 8 x 64 tokens, beta 0.04
    python benchmarks/precision.py --hidden 768     25M parameters, of which the matrices matter more
    python benchmarks/precision.py --compile        float32 against float32 with every block compiled

The two take turns, round by round, from the same float32 weights; each round's first step is warm-up and does
not count (its seconds are printed: compiling takes place there). Printed are medians of seconds a step and
their ratio; what training logs of the drift between its sampler and its own forward pass; and how far the two
dtypes put the log-probability of the same token apart.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path
from typing import Any, Literal

import torch
from grpo_step import Job, make_job
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.utils import logging as transformers_logging

from harness import config
from harness.engines.hf import TransformersEngine
from harness.models.devices import peak_flops
from harness.models.policy import load_policy
from harness.train.learners import train_stage
from harness.train.loop import StageRun
from harness.train.run_dir import Run

Dtype = Literal["float32", "bfloat16"]
NAMES = ("seconds/rollout", "seconds/update", "drift", "drift/max")


def settings(job: Job, dtype: Dtype) -> config.Policy:
    return config.Policy(model=str(job.folder), template=job.template, dtype=dtype)


def steps(job: Job, dtype: Dtype, compiled: bool, folder: Path) -> list[dict[str, Any]]:
    """What each step of a run logged, the warm-up first."""
    policy = load_policy(settings(job, dtype), trainable=True)
    for module in policy.model.modules():
        if compiled and isinstance(module, GradientCheckpointingLayer):
            module.compile(dynamic=True)  # type: ignore[no-untyped-call]
    run = Run(folder, job.experiment().model_copy(update={"policy": settings(job, dtype)}))
    rows: list[dict[str, Any]] = []
    given = StageRun(run, policy, TransformersEngine(policy), job.questions, on_step=rows.append)
    train_stage(job.stage, given)
    run.close()
    return rows


@torch.no_grad()
def logprobs(job: Job, dtype: Dtype) -> torch.Tensor:
    """ln p of tokens drawn at random, each after those before it: (sequences, length - 1), float32."""
    policy = load_policy(settings(job, dtype), trainable=True)
    torch.manual_seed(0)
    ids = torch.randint(0, policy.model.config.vocab_size, (32, 128))
    with policy.autocast():
        logits = policy.model(input_ids=ids).logits[:, :-1].float()
    return logits.log_softmax(-1).gather(-1, ids[:, 1:, None])[..., 0]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--hidden", type=int, default=256, help="the policy's width, a multiple of 8")
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--compile", action="store_true")
    chosen = parser.parse_args()
    transformers_logging.disable_progress_bar()
    other: tuple[str, Dtype] = ("compiled", "float32") if chosen.compile else ("bfloat16", "bfloat16")
    ways: dict[str, Dtype] = dict([("float32", "float32"), other])
    rows: dict[str, list[dict[str, Any]]] = {way: [] for way in ways}
    with tempfile.TemporaryDirectory() as name:
        job = make_job("random", chosen.steps, Path(name), chosen.hidden)
        for number in range(chosen.rounds):
            for way, dtype in ways.items():
                first, *others = steps(job, dtype, way == "compiled", Path(name) / f"{way}-{number}")
                rows[way] += others
                print(f"round {number + 1}, {way}: first step {first['seconds/update']:.0f} s of update")
        apart = (logprobs(job, "float32") - logprobs(job, "bfloat16")).abs()
    seconds = {}
    for way in ways:
        rollout, update, drift, most = (statistics.median(row[n] for row in rows[way]) for n in NAMES)
        seconds[way] = rollout, update
        took = f"sampling {rollout:.2f} s, update {update:.2f} s a step"
        print(f"{way:>8}: {took}; drift {drift:.1e}, most {most:.1e}")
    gains = [a / b for a, b in zip(*seconds.values(), strict=True)]
    whole = sum(seconds["float32"]) / sum(seconds[other[0]])
    print(f"float32 / {other[0]}: sampling {gains[0]:.2f}, update {gains[1]:.2f}, both {whole:.2f}")
    if not chosen.compile:
        peaks = [(peak_flops(torch.device("cpu"), getattr(torch, way)) or 0.0) / 1e9 for way in ways]
        print(f"matrix products here: float32 {peaks[0]:.0f} GFLOP/s, bfloat16 {peaks[1]:.0f}")
        print(f"log-probability of a token: {apart.mean():.1e} apart in the mean, {apart.max():.1e} at most")


if __name__ == "__main__":
    main()
