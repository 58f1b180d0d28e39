"""Supervised fine-tuning against TRL's SFTTrainer: same policy folder, examples and optimiser.

    python benchmarks/sft.py                 512 examples of 40 to 400 tokens, a 3.2M random Qwen2
    python benchmarks/sft.py --examples 128 --rounds 1
    python benchmarks/sft.py --model smollm2 --examples 64 --rows 4    a real model, or a folder: worked sums

The loss is on responses. TRL runs twice: with packing (without FlashAttention a packed example attends to
those before it, ours does not) and without; with --rows it computes so many rows at a time and adds up their
gradients: 32 examples at once need more than 24 GiB on SmolLM2. The three take turns, round by round, after a
short round that does not count. Printed are medians over rounds: tokens a second, prompts and responses
without padding, and our rate over TRL's.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from datasets import Dataset
from grpo_step import random_policy
from transformers import PrinterCallback
from transformers.utils import logging as transformers_logging
from trl import SFTConfig, SFTTrainer

from harness import config
from harness.config import SFT
from harness.models.policy import load_policy
from harness.train.micro_batch import MicroBatch
from harness.train.sft.encoding import encode
from harness.train.sft.formats import Example
from harness.train.sft.stage import SftUpdater

PACKED, BATCH = 512, 32


def examples(count: int) -> list[Example]:
    """Words of the random policy: 20 to 60 of a prompt, 20 to 340 of a response, short ones more often."""
    rng = random.Random(0)

    def words(length: int) -> str:
        return " ".join("".join(rng.choices("abcdefghijklm", k=3)) for _ in range(length))

    lengths = [(rng.randint(20, 60), int(20 + 320 * rng.random() ** 2)) for _ in range(count)]
    return [Example(words(prompt), words(response)) for prompt, response in lengths]


def sums(count: int) -> list[Example]:
    """Sums of 3 to 24 numbers below 100, worked out one addition a line."""
    rng = random.Random(0)
    found = []
    for _ in range(count):
        numbers = [rng.randint(1, 99) for _ in range(rng.randint(3, 24))]
        totals = [sum(numbers[:place]) for place in range(1, len(numbers) + 1)]
        lines = [f"{a} + {b} = {a + b}." for a, b in zip(totals, numbers[1:], strict=False)]
        asked = f"What is {' + '.join(map(str, numbers))}?"
        found.append(Example(asked, " " + "\n".join(lines)))
    return found


def ours(model: str, data: list[Example]) -> float:
    """Seconds for all examples, ``BATCH`` a step."""
    policy = load_policy(config.Policy(model=model), trainable=True)
    stage = SFT(data="given", learning_rate=1e-5, schedule="constant")
    updater = SftUpdater(policy, stage, MicroBatch(stage.micro_batch_tokens))
    encoded = encode(data, policy)
    began = time.perf_counter()
    for number, start in enumerate(range(0, len(encoded), BATCH), start=1):
        updater.update(encoded[start : start + BATCH], number)
    return time.perf_counter() - began


def theirs(model: str, data: list[Example], packing: bool, rows_at_once: int) -> float:
    """Seconds of TRL's training over all examples; packed, about as many tokens a step as unpacked."""
    policy = load_policy(config.Policy(model=model), trainable=True)
    end = policy.tokenizer.eos_token
    rows = Dataset.from_list([{"prompt": e.prompt + " ", "completion": e.response + f" {end}"} for e in data])
    tokens = sum(map(len, encode(data, policy)))
    per_step = max(1, round(tokens / len(data) * BATCH / PACKED)) if packing else BATCH
    with tempfile.TemporaryDirectory() as out:
        settings = SFTConfig(
            output_dir=out,
            per_device_train_batch_size=min(rows_at_once, per_step),
            gradient_accumulation_steps=max(1, per_step // rows_at_once),
            num_train_epochs=1,
            learning_rate=1e-5,
            lr_scheduler_type="constant",
            packing=packing,
            max_length=PACKED,
            completion_only_loss=True,
            gradient_checkpointing=False,
            bf16=False,
            use_cpu=True,
            report_to=[],
            save_strategy="no",
            logging_strategy="no",
            disable_tqdm=True,
        )
        trainer = SFTTrainer(
            policy.model, args=settings, train_dataset=rows, processing_class=policy.tokenizer
        )
        trainer.remove_callback(PrinterCallback)
        began = time.perf_counter()
        trainer.train()
        return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--examples", type=int, default=512)
    parser.add_argument("--model", help="smollm2, or the folder of a real model, in place of the random one")
    parser.add_argument("--rows", type=int, default=BATCH, help="rows that TRL computes at a time")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    data = sums(options.examples) if options.model else examples(options.examples)
    with tempfile.TemporaryDirectory() as folder:
        if not options.model:
            random_policy(Path(folder))
        model = options.model or folder
        tokens = sum(map(len, encode(data, load_policy(config.Policy(model=model)))))
        ways: dict[str, Callable[[list[Example]], float]] = {
            "ours": lambda given: ours(model, given),
            "TRL, packed": lambda given: theirs(model, given, True, options.rows),
            "TRL, padded": lambda given: theirs(model, given, False, options.rows),
        }
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        for way in ways.values():
            way(data[:BATCH])
        for _ in range(options.rounds):
            for name, way in ways.items():
                seconds[name].append(way(data))
    rates = {name: tokens / statistics.median(each) for name, each in seconds.items()}
    print(f"{options.examples} examples, {tokens:,} tokens, {options.threads} threads, float32")
    for name, rate in rates.items():
        print(f"{name:12} {rate:9,.0f} tokens/s   ours / this: {rates['ours'] / rate:.2f}")


if __name__ == "__main__":
    main()
