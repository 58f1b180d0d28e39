"""A policy that is trained here and sampled by vLLM servers: real ones, on the CPU, that the run starts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest
import tomli_w

from evals.base import io
from evals.base.progress import Progress
from harness import config
from harness.config import read_experiment
from harness.models.policy import Policy, load_policy, save_policy
from harness.train.pipeline import run_experiment
from harness.train.status import read_status
from tests.harness.train.grpo.drawn import check_tokens, learned

pytestmark = [pytest.mark.vllm, pytest.mark.slow, pytest.mark.timeout(900)]

GRPO: dict[str, Any] = {
    "kind": "grpo",
    "steps": 2,
    "completions_per_step": 8,
    "group_size": 4,
    "learning_rate": 1e-3,
    "temperature": 0.7,
    "rewards": {"language": 1.0, "overlong": 1.0},
    "overlong_buffer": 20,
    "max_tokens": 24,
    "checkpoint_every": 1,
    "eval_every": 1,
}
SAMPLED = {"reward", "length", "entropy", "loss", "grad_norm", "dev/pass@1", "tokens"}
"""Metrics that hang on what was sampled and learned."""


@pytest.fixture
def experiment(policy: Policy, tmp_path: Path) -> Callable[..., Path]:
    """``experiment(name, **policy settings)``: a file."""
    return written(policy, tmp_path)


def written(policy: Policy, tmp_path: Path) -> Callable[..., Path]:
    pytest.importorskip("vllm")
    save_policy(policy, tmp_path / "model")

    def write(name: str, steps: int = 2, stage: Mapping[str, Any] = {}, **settings: Any) -> Path:
        told = {
            "name": "shared",
            "policy": {"model": str(tmp_path / "model"), "template": "tags", "device": "cpu", **settings},
            "data": {"train": "tiny-math:train[:8]", "dev": "tiny-math:train[8:10]"},
            "stages": [{**GRPO, "steps": steps, **stage}],
            "tracking": {"wandb": "off"},
        }
        file = tmp_path / f"{name}.toml"
        file.write_text(tomli_w.dumps(told), encoding="utf-8")
        return file

    return write


def train(file: Path, folder: Path) -> list[dict[str, Any]]:
    assert run_experiment(read_experiment([file]), folder, Progress(quiet=True)) == "done"
    return list(io.read_lines(folder / "metrics.jsonl"))


def servers_of(folder: Path) -> list[psutil.Process]:
    """Processes of servers that a run in ``folder`` started, by the folder of their models beside it."""
    model = str(folder.parent / "model")
    found = []
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if any(model in word for word in words) and "vllm.entrypoints.openai.api_server" in words:
            found.append(process)
    return found


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Callable[[Path, Path], subprocess.Popen[bytes]]]:
    """``started(file, folder)``: ``harness train`` as a process of its own."""
    running: list[subprocess.Popen[bytes]] = []

    def start(file: Path, folder: Path) -> subprocess.Popen[bytes]:
        words = (sys.executable, "-m", "harness.cli", "train", str(file), "--out", str(folder), "--quiet")
        with (tmp_path / "said.txt").open("wb") as said:
            running.append(subprocess.Popen(words, stdout=said, stderr=said))
        return running[-1]

    yield start
    for process in running:
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()


def wait_for(happened: Callable[[], object], process: subprocess.Popen[bytes] | None = None) -> None:
    while not happened():
        assert process is None or process.poll() is None, "the run has ended"
        time.sleep(0.2)


def test_a_server_samples_what_the_engine_in_this_process_does(
    experiment: Callable[..., Path], tmp_path: Path
) -> None:
    here = train(experiment("here", engine="vllm"), tmp_path / "here")
    apart = train(experiment("apart", servers={"count": 1}), tmp_path / "apart")
    assert [row["step"] for row in apart] == [row["step"] for row in here]
    for mine, theirs in zip(apart, here, strict=True):
        for name in SAMPLED & theirs.keys():
            assert mine[name] == pytest.approx(theirs[name], rel=1e-3, abs=1e-4), (mine["step"], name)
        assert mine.get("drift", 0.0) < 1e-4
    assert servers_of(tmp_path / "apart") == []


def test_new_weights_come_while_completions_are_drawn(
    make_random_policy: Callable[..., Policy], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Whatever the moment at which they come: each token has the log-probability that the checkpoint with
    its number gives it."""
    shape = {"hidden_size": 64, "num_attention_heads": 2, "num_key_value_heads": 1}
    long = make_random_policy(**shape, max_position_embeddings=1024)
    stage = {"rollout_ahead": 2, "sampler_correction": 2.0, "max_tokens": 400, "eval_every": 0}
    stage |= {"temperature": 1.0, "keep_checkpoints": 9}
    write, steps = written(long, tmp_path), 6
    file = write("long", steps, stage, servers={"count": 1})
    batches = learned(monkeypatch)
    rows = train(file, tmp_path / "run")
    assert [row["step"] for row in rows] == list(range(1, steps + 1))

    def weights_after(step: int) -> Policy:
        saved = tmp_path / (f"run/checkpoints/step-{step}" if step else "model")
        return load_policy(config.Policy(model=str(saved), device="cpu"))

    check_tokens(batches, weights_after, within=1e-3)
    assert max(row["staleness/mixed"] for row in rows) > 0
    assert 1 <= max(row["staleness/max"] for row in rows) <= 2
    assert servers_of(tmp_path / "run") == []


def test_neither_a_killed_run_nor_a_killed_server_is_the_end(
    experiment: Callable[..., Path],
    started: Callable[[Path, Path], subprocess.Popen[bytes]],
    tmp_path: Path,
) -> None:
    file, run = experiment("long", steps=400, servers={"count": 2}), tmp_path / "run"
    metrics = run / "metrics.jsonl"
    process = started(file, run)
    wait_for(lambda: metrics.exists() and len(metrics.read_text().splitlines()) > 2, process)
    children = [child for server in servers_of(run) for child in (server, *server.children(recursive=True))]
    assert len(servers_of(run)) >= 2
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    wait_for(lambda: not any(child.is_running() and child.status() != "zombie" for child in children))

    reached = len(metrics.read_text().splitlines())
    process = started(file, run)
    wait_for(lambda: len(metrics.read_text().splitlines()) > reached + 1, process)
    victim = next(server for server in servers_of(run) if "watch" not in " ".join(server.cmdline()))
    victim.kill()
    assert process.wait(300) == 1
    status = read_status(run)
    assert status is not None
    assert status.state == "failed"
    assert status.reason.startswith("policy.servers: the server at http://127.0.0.1:")
    assert "exited" in status.reason
    said = (tmp_path / "said.txt").read_text()
    assert "Traceback" not in said
    assert servers_of(run) == []

    reached = len(metrics.read_text().splitlines())
    process = started(file, run)
    wait_for(lambda: len(metrics.read_text().splitlines()) > reached + 1, process)
