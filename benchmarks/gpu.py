"""What a GPU gives: tokens a second of sampling and of learning, FLOPs utilisation, memory, largest batch.

    python benchmarks/gpu.py                                            Qwen2.5-1.5B's shape in bfloat16
    python benchmarks/gpu.py --size tiny --device cpu --tokens 64       a look at whether it runs

Also the seconds that new weights take to the sampler, tokens a second of whole steps, and what vLLM samples
by itself (``LLM.generate`` on the same prompts, same engine). What is not there to measure is "not measured".
The update is forward, backward and optimiser alone; whole steps have sync, probe and rewards too.

Weights are random, the trainer is the real one: 32 completions of 4,096 tokens a step, of which the first is
warm-up. Completions run to the length limit, for random weights hardly ever end. The micro-batch begins far
too large and is halved by the trainer until a step fits: what it ends with is the largest batch. vLLM samples
where it is installed.
"""

from __future__ import annotations

import argparse
import importlib.util
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, product
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM
from transformers.utils import logging as transformers_logging

from evals.base.errors import UsageError
from evals.task import Question, Task
from harness import config
from harness.config import GRPO, Data, Experiment
from harness.engines.registry import make_engine
from harness.models.devices import peak_flops
from harness.models.policy import Policy, load_policy, save_policy
from harness.train import checkpoint
from harness.train.learners import train_stage
from harness.train.loop import StageRun
from harness.train.run_dir import Run

SHAPES: dict[str, dict[str, int]] = {
    "1.5b": {
        "vocab_size": 151_936,
        "hidden_size": 1536,
        "intermediate_size": 8960,
        "num_hidden_layers": 28,
        "num_attention_heads": 12,
        "num_key_value_heads": 2,
    },
    "tiny": {
        "vocab_size": 2048,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
    },
}
LATIN, CYRILLIC = "abcdefghijklmnopqrstuvwxyz", "абвгдежзиклмнопрстуфхцчшщ"
PROMPT = 128
STEP = ("seconds/rollout", "seconds/reward", "seconds/update")
"""What a whole step takes; the sync and the probe are in the last."""


def random_policy(size: str, positions: int, folder: Path) -> None:
    """Half of its words are Latin and half Cyrillic: the language reward varies within a group."""
    shape = SHAPES[size]
    half = shape["vocab_size"] // 2 - 1
    spelt = [
        "".join(word) for letters in (LATIN, CYRILLIC) for word in islice(product(letters, repeat=4), half)
    ]
    words = {word: number for number, word in enumerate(spelt)}
    words |= {"<end>": len(spelt), "<pad>": len(spelt) + 1}
    core = Tokenizer(models.WordLevel(words, unk_token="<pad>"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, eos_token="<end>", pad_token="<pad>")
    torch.manual_seed(0)
    model = Qwen2ForCausalLM(
        Qwen2Config(
            **shape,
            max_position_embeddings=positions,
            tie_word_embeddings=True,
            bos_token_id=None,
            eos_token_id=words["<end>"],
            pad_token_id=words["<pad>"],
        )
    )
    save_policy(Policy(model, tokenizer, size), folder)


def questions() -> list[tuple[Task, Question]]:
    rng = random.Random(0)
    texts = [" ".join("".join(rng.choices("abc", k=4)) for _ in range(PROMPT)) for _ in range(64)]
    asked = [Question(str(number), text) for number, text in enumerate(texts)]
    task = Task("random", "Random words", "integer", ("train",), "train", lambda split: asked, "made here")
    return [(task, question) for question in asked]


@dataclass
class Measured:
    """Metrics of each step, its seconds of the sync among them (``seconds/sync``), the micro-batch in tokens
    that fitted, who sampled, and tokens a second that vLLM samples by itself, where it is there."""

    rows: list[dict[str, Any]]
    budget: int
    engine: str
    bare: float | None


def bare_speed(engine: Any, options: argparse.Namespace) -> float | None:
    """Tokens a second of ``LLM.generate`` alone, on a step's prompts; None where the engine is not vLLM."""
    if engine.name != "vllm":
        return None
    from vllm import SamplingParams

    prompts = [question.text for _, question in questions()[: options.completions // 8]]
    asked = [
        SamplingParams(n=8, seed=place, max_tokens=options.tokens, logprobs=0, detokenize=False)
        for place in range(len(prompts))
    ]
    ids = [{"prompt_token_ids": engine.tokenizer(text).input_ids} for text in prompts]
    began = time.perf_counter()
    outputs = engine._llm.generate(ids, asked, use_tqdm=False)
    tokens = sum(len(one.token_ids) for output in outputs for one in output.outputs)
    return tokens / (time.perf_counter() - began)


def measure(options: argparse.Namespace, folder: Path) -> Measured:
    random_policy(options.size, PROMPT + options.tokens + 8, folder / "policy")
    engine = "vllm" if importlib.util.find_spec("vllm") else "transformers"
    experiment = Experiment(
        name="gpu",
        policy=config.Policy(
            model=str(folder / "policy"),
            template="plain",
            device=options.device,
            dtype=options.dtype,
            engine=engine,
            gradient_checkpointing=options.gradient_checkpointing,
        ),
        data=Data(train="given"),
        stages=[
            GRPO(
                steps=options.steps,
                completions_per_step=options.completions,
                group_size=8,
                max_tokens=options.tokens,
                micro_batch_tokens=(PROMPT + options.tokens) * options.completions,
                learning_rate=1e-6,
                rewards={"language": 1.0},
                checkpoint_every=10**6,
            )
        ],
    )
    policy = load_policy(experiment.policy, trainable=True)
    run = Run(folder / "run", experiment)
    rows: list[dict[str, Any]] = []
    syncs: list[float] = []
    (stage,) = experiment.stages
    assert isinstance(stage, GRPO)
    sampler = make_engine(engine, policy)
    sync = sampler.sync

    def timed(model: Any) -> None:
        began = time.perf_counter()
        sync(model)
        syncs.append(time.perf_counter() - began)

    sampler.sync = timed  # type: ignore[method-assign]

    def kept(row: Mapping[str, Any]) -> None:
        rows.append({**row, "seconds/sync": syncs[-1]})

    train_stage(stage, StageRun(run, policy, sampler, questions(), on_step=kept))
    run.close()
    bare = bare_speed(sampler, options)
    newest = checkpoint.newest(run.checkpoints)
    assert newest is not None
    budget = torch.load(newest / "trainer.pt", map_location="cpu", weights_only=True)["budget"]
    return Measured(rows, int(budget), engine, bare)


def told(found: Measured) -> list[str]:
    """What was measured, a line each: medians over all steps but the first, which is warm-up."""
    rows = found.rows[1:] or found.rows

    def median(of: Callable[[dict[str, Any]], float]) -> float:
        return statistics.median(map(of, rows))

    def learning(row: Mapping[str, Any]) -> float:
        return float(row["seconds/update"] - row["seconds/sync"] - row.get("seconds/probe", 0.0))

    sampled = median(lambda row: row["tokens"] / row["seconds/rollout"])
    learned = median(lambda row: row["tokens"] / learning(row))
    whole = median(lambda row: row["tokens"] / sum(row[phase] for phase in STEP))
    mfu = {"rollout": "", "update": ""}
    if all("mfu/update" in row and "mfu/rollout" in row for row in rows):
        shares = {
            "rollout": median(lambda row: row["mfu/rollout"]),
            "update": median(lambda row: row["mfu/update"] * row["seconds/update"] / learning(row)),
        }
        mfu = {phase: f", MFU {100 * share:.1f}%" for phase, share in shares.items()}
    bare = f"{sampled / found.bare:.2f} of {found.bare:,.0f} tokens/s" if found.bare else "not measured"
    return [
        f" rollout: {sampled:10,.0f} tokens/s{mfu['rollout']}",
        f"  update: {learned:10,.0f} tokens/s{mfu['update']}",
        f"  of bare vLLM: {bare}",
        f"end to end: {whole:10,.0f} tokens/s on one device",
        f"    sync: {median(lambda row: row['seconds/sync']):.2f} s",
        f"  memory: {max(row['memory_gib'] for row in found.rows):.1f} GiB at most",
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures and prints; ``arguments`` in place of the command line's."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", choices=list(SHAPES), default="1.5b")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--dtype", choices=["bfloat16", "float32"], default="bfloat16")
    parser.add_argument("--completions", type=int, default=32)
    parser.add_argument("--tokens", type=int, default=4096, help="of a completion")
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--gradient-checkpointing", action="store_true")
    options = parser.parse_args(arguments)
    transformers_logging.disable_progress_bar()
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("PyTorch sees no GPU here; --device cpu --size tiny shows that the benchmark runs")
    name = torch.cuda.get_device_name() if options.device == "cuda" else "CPU"
    with tempfile.TemporaryDirectory() as folder:
        try:
            found = measure(options, Path(folder))
        except UsageError as error:
            raise SystemExit(f"error: {error}") from None
    peak = peak_flops(torch.device(options.device), getattr(torch, options.dtype))
    reached = "unknown" if peak is None else f"{peak / 1e12:.3g} TFLOP/s"
    print(f"{name}, {options.size}, {options.dtype}, peak {reached}, sampled by {found.engine}")
    print(*told(found), sep="\n")
    fitted = found.budget // (PROMPT + options.tokens)
    print(f"   batch: {found.budget:,} tokens a micro-batch, {fitted} completions")


if __name__ == "__main__":
    main()
