"""vLLM servers, started here: seconds of a sync, rollouts of one and of several, tokens a second as a client.

    python benchmarks/servers.py [--model smollm2] [--prompts 16 --group 4 --tokens 48 --count 2]
        [--core-each]

Rollouts are ``ServersEngine.generate`` with log-probabilities, as a "grpo" stage asks for them; the client is
``ServedEngine``, as ``harness eval --server`` is, beside vLLM's own ``bench serve`` with the same prompts,
greedy, as many at once, at the same server. Rounds alternate and the best counts. Servers share the machine's
cores: several are faster than one only where there are cores, or GPUs, for each. ``--core-each`` gives each
server one core of its own, also where there is only one, and so shows what a second machine would bring.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import psutil

from evals.engine import Request, Sampling
from harness import config
from harness.engines.served import ServedEngine
from harness.engines.servers.engine import ServersEngine
from harness.engines.vllm_settings import VllmSettings
from harness.models import sources
from harness.models.policy import Policy, load_policy


def texts(options: argparse.Namespace) -> list[str]:
    return [f"Question: what is {i} plus {7 * i}? Think step by step. " * 2 for i in range(options.prompts)]


def engine_of(policy: Policy, options: argparse.Namespace, count: int, place: Path) -> ServersEngine:
    settings = config.Policy.model_validate({"model": options.model, "servers": {"count": count}})
    engine = ServersEngine(policy, settings, VllmSettings(cache_gib=0.5), room=512, folder=place)
    if options.core_each:
        cores = sorted(os.sched_getaffinity(0))
        for core, server in zip(cores[:count], _servers_of(engine), strict=True):
            for process in (server, *server.children(recursive=True)):
                for thread in process.threads():
                    os.sched_setaffinity(thread.id, {core})
    return engine


def _servers_of(engine: ServersEngine) -> list[psutil.Process]:
    """The processes that lead the servers' groups, in the order of their addresses."""
    ports = [int(address.rsplit(":", 1)[1]) for address in engine.addresses]
    leaders = {
        word: child
        for child in psutil.Process().children()
        for word in child.cmdline()
        if word.startswith("--port=")
    }
    return [leaders[f"--port={port}"] for port in ports]


def best(work: Callable[[], float], rounds: int) -> float:
    """The most that ``work`` returns, after one round to warm up."""
    work()
    return max(work() for _ in range(rounds))


def rollouts(engine: ServersEngine, options: argparse.Namespace) -> Callable[[], float]:
    """Tokens a second."""
    requests = [Request(text, options.group, 100 * i) for i, text in enumerate(texts(options))]

    def sample() -> float:
        began = time.perf_counter()
        groups = engine.generate(requests, Sampling(max_tokens=options.tokens))
        tokens = sum(len(one.token_ids) for group in groups for one in group.completions)
        return tokens / (time.perf_counter() - began)

    return sample


def syncs(engine: ServersEngine, policy: Policy) -> Callable[[], float]:
    """Minus the seconds of a sync."""

    def sync() -> float:
        began = time.perf_counter()
        engine.sync(policy.model)
        return began - time.perf_counter()

    return sync


def client(address: str, options: argparse.Namespace) -> Callable[[], float]:
    """Tokens a second of the client that evaluations have."""
    server = config.Server(addresses=[f"{address}/v1"], api="completions", model="policy")
    engine = ServedEngine(config.Policy(model=options.model, server=server))
    requests = [Request(text, 1, 0) for text in texts(options) for _ in range(options.group)]

    def sample() -> float:
        began = time.perf_counter()
        groups = engine.generate(requests, Sampling(temperature=0.0, max_tokens=options.tokens))
        tokens = sum(group.completions[0].tokens or 0 for group in groups)
        return tokens / (time.perf_counter() - began)

    return sample


def bench(address: str, options: argparse.Namespace, place: Path) -> Callable[[], float]:
    """Tokens a second of ``vllm bench serve``, by its own count and clock."""
    from vllm.benchmarks import serve
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    data = place / "prompts.jsonl"
    rows = [{"prompt": text} for text in texts(options) for _ in range(options.group)]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    folder = sources.find(config.Policy(model=options.model)).folder
    words = [
        *("--base-url", address, "--endpoint", "/v1/completions", "--model", "policy"),
        *("--tokenizer", str(folder), "--dataset-name", "custom", "--dataset-path", str(data)),
        *("--custom-output-len", str(options.tokens), "--num-prompts", str(len(rows))),
        *("--temperature", "0", "--max-concurrency", "256", "--disable-tqdm", "--disable-shuffle"),
        "--skip-chat-template",
    ]
    parser = FlexibleArgumentParser()
    serve.add_cli_args(parser)

    def sample() -> float:
        return float(serve.main(parser.parse_args(words))["output_throughput"])

    return sample


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--prompts", type=int, default=16)
    parser.add_argument("--group", type=int, default=4)
    parser.add_argument("--tokens", type=int, default=48)
    parser.add_argument("--count", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--core-each", action="store_true", help="a core for each server, on a CPU")
    options = parser.parse_args()
    if options.core_each:
        os.environ["VLLM_CPU_OMP_THREADS_BIND"] = "0"  # one thread; where it runs is set when it does
    policy = load_policy(config.Policy(model=options.model, device="auto"), trainable=True)
    report: dict[str, object] = {"device": policy.device.type, **vars(options)}
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        with closing(engine_of(policy, options, 1, place / "one")) as engine:
            report["seconds of a sync"] = round(-best(syncs(engine, policy), options.rounds), 2)
            one = best(rollouts(engine, options), options.rounds)
            report["rollouts of one server, tokens/s"] = round(one)
            ours, theirs = client(engine.addresses[0], options), bench(engine.addresses[0], options, place)
            pairs = [(ours(), theirs()) for _ in range(options.rounds + 1)][1:]
            mine, its = (max(pair[side] for pair in pairs) for side in (0, 1))
            report |= {"client, tokens/s": round(mine), "vllm bench serve, tokens/s": round(its)}
            report["client / vllm bench serve"] = round(mine / its, 3)
        if options.count > 1:
            with closing(engine_of(policy, options, options.count, place / "several")) as engine:
                several = best(rollouts(engine, options), options.rounds)
                report[f"rollouts of {options.count} servers, tokens/s"] = round(several)
                report["several / one"] = round(several / one, 2)
    json.dump(report, sys.stdout, indent=2)
    print()


if __name__ == "__main__":
    main()
