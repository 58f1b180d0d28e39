"""Trains one experiment whole, then again under kill -9 at random moments; a script, run by test_resume.

    python killed_runs.py POLICY FOLDER KILLS WRITE_KILLS SEED

KILLS fall at random times, WRITE_KILLS at random file operations while a checkpoint is written. Each
training process is a fork of this one, which has imported everything and run nothing: it starts at
once, and kills fall anywhere from loading the policy to the last checkpoint.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from pathlib import Path

import torch

from evals.task import Question, Task
from harness.config import GRPO, Data, EntropyBonus, Experiment, Policy, Reference
from harness.engines.hf import TransformersEngine
from harness.models.policy import load_policy
from harness.train.learners import train_stage
from harness.train.loop import StageRun
from harness.train.run_dir import Run

STAGES = [
    GRPO(
        name="first",
        steps=3,
        completions_per_step=8,
        group_size=4,
        learning_rate=1e-3,
        beta=0.05,
        reference=Reference(refresh="ema", steps=2),
        epochs=2,
        loss={"kind": "clip_cov", "share": 0.05, "low": 0.0},  # type: ignore[arg-type]
        entropy_bonus=EntropyBonus(target=10.0, step=0.003),
        rewards={"language": 1.0, "overlong": 1.0},
        overlong_buffer=14,
        refill_rounds=1,
        max_tokens=16,
        checkpoint_every=2,
        eval_every=2,
    ),
    GRPO(
        name="second",
        steps=3,
        completions_per_step=12,
        group_size=4,
        learning_rate=1e-3,
        rewards={"language": 1.0, "overlong": 1.0},
        overlong_buffer=14,
        max_tokens=16,
        warmup_steps=2,
        schedule="cosine",
        checkpoint_every=1,
    ),
]
OPERATIONS = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "shutil.rmtree", "os.scandir"}
QUESTIONS = [Question(str(i), f"{i} plus {i}?", str(2 * i)) for i in range(5)]
TASK = Task("sums", "Sums", "integer", ("train",), "train", lambda split: QUESTIONS, "made here")


def train(model: Path, folder: Path) -> None:
    """Both stages, from wherever the folder stands."""
    torch.set_num_threads(1)
    settings = Policy(model=str(model), template="tags", device="cpu")
    policy = load_policy(settings, trainable=True)
    experiment = Experiment(
        name="killed", policy=settings, data=Data(train="sums", dev="sums", dev_samples=2), stages=STAGES
    )
    run = Run(folder, experiment)
    engine = TransformersEngine(policy)
    pairs = [(TASK, question) for question in QUESTIONS]
    first_step = 0
    for stage in STAGES:
        train_stage(stage, StageRun(run, policy, engine, pairs, pairs[:2], first_step))
        first_step += stage.steps
    run.close()


def die_writing(operations: int) -> None:
    """Kills this process at the given operation on a checkpoint's files."""
    left = operations

    def watch(event: str, details: tuple[object, ...]) -> None:
        nonlocal left
        if event in OPERATIONS and any(".step-" in str(detail) for detail in details[:2]):
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)


def survives(model: Path, folder: Path, seconds: float, operations: int = 0) -> bool:
    """Trains in a fork and kills it after ``seconds``, or at an operation; whether it had finished before."""
    child = os.fork()
    if child == 0:
        if operations:
            die_writing(operations)
        train(model, folder)
        os._exit(0)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            if operations and os.WIFSIGNALED(status):
                return False
            assert status == 0, "the training process failed"
            return True
        time.sleep(0.002)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False


def main(model: Path, folder: Path, kills: int, write_kills: int, seed: int) -> None:
    started = time.monotonic()
    assert survives(model, folder / "whole", 1e9)
    duration = time.monotonic() - started
    rng = random.Random(seed)
    number = 0
    while kills > 0:
        while not survives(
            model, folder / f"killed-{number}", rng.uniform(0, duration / 2) if kills else 1e9
        ):
            kills -= 1
        number += 1
    while write_kills > 0:
        while not survives(model, folder / f"killed-{number}", 1e9, rng.randint(1, 40) if write_kills else 0):
            write_kills -= 1
        number += 1


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), *(int(word) for word in sys.argv[3:]))
