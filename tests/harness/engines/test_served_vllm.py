"""Two real vLLM servers that share the questions of an evaluation, against the engine in this process."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Literal

import pytest

from evals.base import io
from evals.engine import Engine, Sampling
from evals.graders.registry import make_grader
from evals.protocols import Protocol
from evals.runner import sample_benchmark
from evals.task import Question, Task
from harness import config
from harness.engines.registry import make_engine
from harness.engines.served import ServedEngine
from harness.models.policy import load_policy

pytestmark = [pytest.mark.vllm, pytest.mark.slow]

STARTS_WITHIN = 400.0
QUESTIONS = [
    Question(f"q{i}", f"What is {i} + {i + 2}? Answer with a number.", str(2 * i + 2)) for i in range(10)
]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def vllm_server(folder: Path, log: Path) -> Iterator[str]:
    """The address of a server of the model in ``folder``, once it answers; it listens on loopback alone."""
    port = _free_port()
    settings = ("--dtype", "float32", "--enforce-eager", "--max-model-len", "512", "--served-model-name", "m")
    command = [
        *(sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(folder)),
        *("--host", "127.0.0.1", "--port", str(port), *settings),
    ]
    environment = {**os.environ, "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_ENABLE_V1_MULTIPROCESSING": "1"}
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=output, env=environment, start_new_session=True
        )
        try:
            _wait(process, f"http://127.0.0.1:{port}/health", log)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _wait(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    ends = time.monotonic() + STARTS_WITHIN
    while time.monotonic() < ends:
        assert process.poll() is None, log.read_text(errors="replace")[-3000:]
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                if answer.status == 200:
                    return
        except (urllib.error.URLError, OSError):
            time.sleep(1)
    pytest.fail(f"no server within {STARTS_WITHIN:g} s: {log.read_text(errors='replace')[-3000:]}")


@pytest.fixture(scope="module")
def addresses(smollm2: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    pytest.importorskip("vllm")
    logs = tmp_path_factory.mktemp("logs")
    with ExitStack() as stack:
        yield [stack.enter_context(vllm_server(smollm2, logs / f"{i}.log")) for i in range(2)]


def measured(engine: Engine, folder: Path) -> dict[str, tuple[str, str, int | None]]:
    task = Task("sums-here", "Sums", "integer", ("test",), "test", lambda _: QUESTIONS, "made up")
    protocol = Protocol("greedy", Sampling(temperature=0.0, max_tokens=48), "chat-boxed", 1)
    with make_grader("integer") as grader:
        sample_benchmark(engine, task, QUESTIONS, protocol, folder, grader)
    rows = io.read_lines(folder / "samples.jsonl")
    return {row["id"]: (row["response"], row["status"], row["tokens"]) for row in rows}


def answered(address: str) -> float:
    """Requests that the server itself has counted as finished."""
    with urllib.request.urlopen(address.removesuffix("/v1") + "/metrics", timeout=30) as answer:
        lines = answer.read().decode().splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith("vllm:request_success_total"))


@pytest.fixture(scope="module")
def in_process(
    smollm2: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, tuple[str, str, int | None]]:
    pytest.importorskip("vllm")
    policy = load_policy(config.Policy(model=str(smollm2), device="cpu"))
    return measured(make_engine("vllm", policy, room=512), tmp_path_factory.mktemp("here"))


@pytest.mark.parametrize("api", ["chat", "completions"])
def test_two_servers_give_the_verdicts_of_the_engine_in_this_process(
    addresses: list[str],
    in_process: dict[str, tuple[str, str, int | None]],
    smollm2: Path,
    tmp_path: Path,
    api: Literal["chat", "completions"],
) -> None:
    before = [answered(address) for address in addresses]
    server = config.Server(addresses=addresses, api=api, model="m")
    engine = ServedEngine(config.Policy(model=str(smollm2), server=server))
    assert measured(engine, tmp_path) == in_process
    took = [answered(address) - count for address, count in zip(addresses, before, strict=True)]
    assert sum(took) == len(QUESTIONS)
    assert min(took) >= 2
