"""Tokens per second of sampling: this project's engines beside what one would call without them.

    python benchmarks/rollout.py [--prompts 16 --group 8 --tokens 64] [--model smollm2] [--rounds 5]

Contenders: ``TransformersEngine``; transformers' ``model.generate(num_return_sequences=group)``; where vLLM
is installed (scripts/vllm_cpu_venv.sh) also ``VllmEngine`` and a bare ``vllm.LLM.generate``. The same random
policy (853k parameters, Qwen3, 4 layers x 128; or --model), prompts, sampling and process; the rounds of the
contenders alternate so that a machine that slows down slows all of them, and the best round counts. Two
workloads: every completion at full length, and natural lengths, where completions end at random after a
third of it on average. Training needs the log-probability of each token and evaluations do not, so vLLM is
asked both ways; every completion of ours has a seed of its own. The bare LLM runs as it comes, with seeds,
and "alike", with seeds and log-probabilities. Also printed: what a weight sync takes.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import GenerationConfig, PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

from evals.engine import Request, Sampling
from harness import config
from harness.engines.hf import TransformersEngine
from harness.models.policy import Policy, load_policy

VOCABULARY = 512
PLAIN = "VllmEngine, no log-probabilities"
BARE = {
    "LLM.generate": (False, False),
    "LLM.generate, seeds": (True, False),
    "LLM.generate, alike": (True, True),
}
"""The bare LLM's contenders: whether each prompt has a seed, and whether log-probabilities are asked for."""
Contender = Callable[[], int]  # samples once and returns the number of sampled tokens


@dataclass(frozen=True)
class Work:
    """``prompts`` prompts of 30 to 60 tokens, ``group`` completions each, of at most ``tokens``."""

    prompts: int
    group: int
    tokens: int

    def texts(self) -> list[str]:
        return ["x" * (30 + 31 * i // self.prompts) for i in range(self.prompts)]


def random_policy() -> Policy:
    """The tiny policy's shape with random weights and a byte-level tokenizer."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    core = Tokenizer(models.BPE(vocab={letter: i for i, letter in enumerate(alphabet)}, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    core.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, eos_token="<end>", pad_token="<end>")
    torch.manual_seed(0)
    model = Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=VOCABULARY,
            hidden_size=128,
            intermediate_size=384,
            num_hidden_layers=4,
            num_attention_heads=4,
            num_key_value_heads=2,
            head_dim=32,
            max_position_embeddings=4096,
            tie_word_embeddings=True,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    return Policy(model.eval(), tokenizer, "random, the tiny policy's shape")


def set_ends(policy: Policy, work: Work, natural: bool) -> list[int]:
    """The tokens that end a completion: of a random policy, k of them end it after about V / k tokens."""
    end = policy.tokenizer.eos_token_id
    few = 3 * policy.model.config.vocab_size // work.tokens if natural else 0
    ends = sorted({end, *range(10, 10 + few)})
    policy.model.generation_config = GenerationConfig(
        eos_token_id=ends, pad_token_id=policy.tokenizer.pad_token_id
    )
    return ends


def engine_contender(engine: object, work: Work, logprobs: bool = True) -> Contender:
    sampling = Sampling(max_tokens=work.tokens)
    requests = [Request(text, work.group, 1000 * i, logprobs) for i, text in enumerate(work.texts())]

    def sample() -> int:
        groups = engine.generate(requests, sampling)  # type: ignore[attr-defined]
        return sum(len(c.token_ids) for group in groups for c in group.completions)

    return sample


def generate_contender(policy: Policy, work: Work, ends: list[int]) -> Contender:
    """transformers' own loop: prompts padded on the left, the group by ``num_return_sequences``."""
    policy.tokenizer.padding_side = "left"
    inputs = policy.tokenizer(work.texts(), return_tensors="pt", padding=True).to(policy.device)
    width = inputs.input_ids.shape[1]

    def sample() -> int:
        with torch.inference_mode():
            output = policy.model.generate(
                **inputs,
                do_sample=True,
                temperature=1.0,
                top_k=0,
                top_p=1.0,
                max_new_tokens=work.tokens,
                num_return_sequences=work.group,
            )
        ended = torch.isin(output[:, width:], torch.tensor(ends, device=output.device))
        first = torch.where(ended.any(1), ended.int().argmax(1) + 1, output.shape[1] - width)
        return int(first.sum())

    return sample


def bare_vllm_contender(
    engine: object, policy: Policy, work: Work, ends: list[int], seeded: bool, logprobs: bool
) -> Contender:
    """``LLM.generate`` of the engine's LLM: as it comes, or with what ours asks for."""
    from vllm import SamplingParams

    prompts = [{"prompt_token_ids": ids} for ids in policy.tokenizer(work.texts()).input_ids]
    parameters = [
        SamplingParams(
            n=work.group,
            max_tokens=work.tokens,
            stop_token_ids=ends,
            seed=1000 * i if seeded else None,
            logprobs=0 if logprobs else None,
            detokenize=not seeded,
        )
        for i in range(len(prompts))
    ]

    def sample() -> int:
        outputs = engine._llm.generate(prompts, parameters, use_tqdm=False)  # type: ignore[attr-defined]
        return sum(len(c.token_ids) for output in outputs for c in output.outputs)

    return sample


def race(contenders: dict[str, Contender], rounds: int) -> dict[str, dict[str, float]]:
    """Best wall-clock and processor time of each contender over alternating rounds, after one to warm up."""
    results: dict[str, dict[str, float]] = {}
    for turn in range(rounds + 1):
        for name, sample in contenders.items():
            wall, busy = time.perf_counter(), time.process_time()
            tokens = sample()
            wall, busy = time.perf_counter() - wall, time.process_time() - busy
            if turn:
                best = results.setdefault(name, {"tokens/s": 0.0, "tokens/cpu-s": 0.0})
                best["tokens/s"] = max(best["tokens/s"], round(tokens / wall))
                best["tokens/cpu-s"] = max(best["tokens/cpu-s"], round(tokens / busy))
    return results


def sync_seconds(engine: object, policy: Policy, rounds: int) -> float:
    """The best time that giving the engine the policy's weights and emptying its cache takes."""
    seconds = []
    for _ in range(rounds):
        began = time.perf_counter()
        engine.sync(policy.model)  # type: ignore[attr-defined]
        seconds.append(time.perf_counter() - began)
    return min(seconds)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--prompts", type=int, default=16)
    parser.add_argument("--group", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--model", help="smollm2, or a policy's folder, in place of random weights")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    work = Work(arguments.prompts, arguments.group, arguments.tokens)
    policy = load_policy(config.Policy(model=arguments.model)) if arguments.model else random_policy()
    report: dict[str, object] = {"policy": policy.name, "device": policy.device.type, **vars(work)}
    report["threads"] = torch.get_num_threads()
    for natural in (False, True):
        ends = set_ends(policy, work, natural)
        contenders = {
            "TransformersEngine": engine_contender(TransformersEngine(policy), work),
            "model.generate": generate_contender(policy, work, ends),
        }
        if importlib.util.find_spec("vllm") is not None:
            from harness.engines.vllm_engine import VllmEngine

            engine = VllmEngine(policy)
            contenders["VllmEngine"] = engine_contender(engine, work)
            contenders[PLAIN] = engine_contender(engine, work, logprobs=False)
            for name, (seeded, logprobs) in BARE.items():
                contenders[name] = bare_vllm_contender(engine, policy, work, ends, seeded, logprobs)
        raced = race(contenders, arguments.rounds)
        report["natural lengths" if natural else "full length"] = raced
        if "VllmEngine" in contenders:
            rates = {name: figures["tokens/s"] for name, figures in raced.items()}
            for ours, bare in (
                ("VllmEngine", "LLM.generate"),
                ("VllmEngine", "LLM.generate, alike"),
                (PLAIN, "LLM.generate"),
                (PLAIN, "LLM.generate, seeds"),
            ):
                raced[f"{ours} / {bare}"] = {"tokens/s": round(rates[ours] / rates[bare], 3)}
            report["seconds of a weight sync"] = sync_seconds(engine, policy, arguments.rounds)
    json.dump(report, sys.stdout, indent=2)
    print()


if __name__ == "__main__":
    main()
