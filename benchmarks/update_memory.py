"""Peak memory of one GRPO update at a large vocabulary, against TRL's GRPOTrainer as it comes.

    python benchmarks/update_memory.py                                          151,936 words, 1,024 tokens
    python benchmarks/update_memory.py --vocabulary 2000 --tokens 32            a quick look

Policy: a Qwen2 of two narrow layers, so that what depends on the vocabulary is nearly all of it. Each trainer
runs in a process of its own and learns from one group of 8 random completions with given advantages: one
forward and backward pass and AdamW's step, float32, no reference policy. TRL's trainer is built by its
constructor with its defaults but for the dtype (micro-batches of 8 completions), and its own
``training_step`` is called; sampling has no part in either. Printed is how far the peak of the resident
memory rises above what it was before the update.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import tempfile
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

from harness.config import GRPO
from harness.models.policy import Policy
from harness.train.batching import Row
from harness.train.grpo.update import Updater
from harness.train.micro_batch import MicroBatch

GROUP, PROMPT, WIDTH = 8, 16, 64
MIB = 2**20

Found = Any
"""A queue between processes: typeshed knows its class by the context alone."""


def random_policy(vocabulary: int, tokens: int) -> Policy:
    core = Tokenizer(models.WordLevel({"<end>": 0, "<pad>": 1}, unk_token="<pad>"))
    shape = Qwen2Config(
        vocab_size=vocabulary,
        hidden_size=WIDTH,
        intermediate_size=2 * WIDTH,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=PROMPT + tokens,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=0,
        pad_token_id=1,
    )
    torch.manual_seed(0)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, eos_token="<end>", pad_token="<pad>")
    return Policy(Qwen2ForCausalLM(shape), tokenizer, "random")


def completions(vocabulary: int, tokens: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Prompts (G, PROMPT), completions (G, tokens) and advantages (G,)."""
    torch.manual_seed(1)
    prompt = torch.randint(2, vocabulary, (1, PROMPT)).repeat(GROUP, 1)
    advantages = torch.linspace(-1.5, 1.5, GROUP)
    return prompt, torch.randint(2, vocabulary, (GROUP, tokens)), advantages


def ours(vocabulary: int, tokens: int, found: Found) -> None:
    policy = random_policy(vocabulary, tokens)
    prompt, made, advantages = completions(vocabulary, tokens)
    stage = GRPO(completions_per_step=GROUP, group_size=GROUP, max_tokens=tokens)
    updater = Updater(policy, stage, None, MicroBatch(stage.micro_batch_tokens))
    ids = zip(prompt.tolist(), made.tolist(), advantages.tolist(), strict=True)
    rows = [Row(i, 0, tuple(p), tuple(c), a, sampler=(0.0,) * tokens) for i, (p, c, a) in enumerate(ids)]
    before = peak()
    with tempfile.TemporaryDirectory() as folder:
        updater.update(rows, 1, Path(folder) / "failed.json")
    found.put((peak() - before) / MIB)


def theirs(vocabulary: int, tokens: int, found: Found) -> None:
    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer

    policy = random_policy(vocabulary, tokens)
    prompt, made, advantages = completions(vocabulary, tokens)
    batch = {
        "prompt_ids": prompt,
        "prompt_mask": torch.ones_like(prompt),
        "completion_ids": made,
        "completion_mask": torch.ones_like(made),
        "advantages": advantages,
        "num_items_in_batch": torch.tensor(GROUP * tokens),
    }
    with tempfile.TemporaryDirectory() as folder:
        trainer: Any = GRPOTrainer(
            model=policy.model,
            processing_class=policy.tokenizer,
            reward_funcs=lambda completions, **_: [0.0] * len(completions),
            train_dataset=Dataset.from_list([{"prompt": "<pad>"}] * GROUP),
            args=GRPOConfig(
                output_dir=folder,
                num_generations=GROUP,
                max_completion_length=tokens,
                use_cpu=True,
                bf16=False,
                report_to="none",
            ),
        )
        trainer._prepare_inputs = lambda inputs: batch
        trainer.create_optimizer()
        trainer.current_gradient_accumulation_steps = 1
        policy.model.train()
        before = peak()
        trainer.training_step(policy.model, [], torch.tensor(GROUP * tokens))
        torch.nn.utils.clip_grad_norm_(policy.model.parameters(), 1.0)
        trainer.optimizer.step()
        found.put((peak() - before) / MIB)


def peak() -> int:
    """The most memory that this process had, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--vocabulary", type=int, default=151_936)
    parser.add_argument("--tokens", type=int, default=1024, help="a completion's length")
    chosen = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    rises = []
    for name, trainer in (("ours", ours), ("TRL", theirs)):
        found: Found = context.Queue()
        process = context.Process(target=trainer, args=(chosen.vocabulary, chosen.tokens, found))
        process.start()
        process.join()
        if process.exitcode:
            raise SystemExit(f"{name}: ended with exit code {process.exitcode}")
        rises.append(found.get())
        print(f"{name:>5}: {rises[-1]:,.0f} MiB more at its peak than before the update")
    print(f"ours / TRL: {rises[0] / rises[1]:.2f}")


if __name__ == "__main__":
    main()
