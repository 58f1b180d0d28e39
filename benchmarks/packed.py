"""Tokens a second of an update's forward and backward pass: padded, packed, and with shared prompts.

    python benchmarks/packed.py                    a random Qwen2 of 3.2M parameters
    python benchmarks/packed.py --model smollm2    or a folder
    python benchmarks/packed.py --prompt 60 --mean 120 --spread 0.8 --rows 64 --group 8

Completions have lengths as real ones have: log-normal, with the given median and spread of the logarithm,
cut at four times the median. Counted are prompt and completion tokens without padding, a prompt once for each
of its completions however it is run, so the ways compare. They take turns; printed are medians over the
rounds after the first. "today" is what the default does on a CPU: shared prompts where they pay, else padded
rows.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from pathlib import Path

import torch

from benchmarks.grpo_step import random_policy
from harness import config
from harness.models.policy import Policy, load_policy
from harness.train.batching import Block, Row, padded_tokens, plan
from harness.train.forward import Scorer, evaluation_mode


def make_rows(chosen: argparse.Namespace, vocabulary: int) -> list[Row]:
    rng = random.Random(0)
    rows = []
    for group in range(chosen.rows // chosen.group):
        prompt = tuple(
            rng.randrange(vocabulary) for _ in range(rng.randint(chosen.prompt // 2, chosen.prompt))
        )
        for _ in range(chosen.group):
            drawn = rng.lognormvariate(0.0, chosen.spread) * chosen.mean
            length = max(1, min(round(drawn), 4 * chosen.mean))
            completion = tuple(rng.randrange(vocabulary) for _ in range(length))
            rows.append(Row(len(rows), group, prompt, completion))
    return rows


def seconds(policy: Policy, scorer: Scorer, blocks: list[Block]) -> float:
    policy.model.zero_grad(set_to_none=True)
    started = time.perf_counter()
    with evaluation_mode(policy.model):
        for block in blocks:
            for scores in scorer.micro_batches(block):
                scores.logprobs.sum().backward()
    if policy.device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", help="smollm2, or a folder; by default a random one")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--prompt", type=int, default=60, help="the longest prompt")
    parser.add_argument("--mean", type=int, default=96, help="a completion's median length")
    parser.add_argument("--spread", type=float, default=0.8)
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--group", type=int, default=8)
    parser.add_argument("--budget", type=int, default=16384, help="micro_batch_tokens")
    parser.add_argument("--rounds", type=int, default=6)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        model = chosen.model or str(Path(name) / "random")
        if not chosen.model:
            random_policy(Path(model))
        policy = load_policy(config.Policy(model=model, dtype=chosen.dtype), trainable=True)
        rows = make_rows(chosen, min(2000, policy.model.config.vocab_size))
        scorer = Scorer(policy.model, policy, 1.0, "always")
        ways = {
            "padded": plan(rows, chosen.budget, False),
            "packed": plan(rows, chosen.budget, False, scorer.may_pack),
            "today": plan(rows, chosen.budget, scorer.may_share),
        }
        took: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(chosen.rounds):
            for way, blocks in ways.items():
                took[way].append(seconds(policy, scorer, blocks))
        tokens = sum(row.tokens for row in rows)
        print(f"{model}, {policy.device}, {chosen.dtype}: {len(rows)} rows, {tokens} tokens")
        for way, blocks in ways.items():
            median = statistics.median(took[way][1:])
            ran, kind = padded_tokens(blocks), "shared prompts" if blocks[0].shared else "whole rows"
            print(f"{way:>7}: {tokens / median:8,.0f} tokens/s, {ran:6d} tokens run, {kind}")


if __name__ == "__main__":
    main()
