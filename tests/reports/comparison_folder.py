"""A folder of compared arms as the harness writes it, made up: a base and every arm with three seeds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w

from evals.asked import known_questions
from evals.task import Question
from tests.reports.conftest import MANIFEST, write_eval

BENCHMARKS = ("tiny-aime", "tiny-math", "tiny-code")
ARMS = ("rl", "distilled", "on-policy", "distilled-given", "distilled-rl", "random-reward", "format-reward")
SEEDS, STEPS, SAMPLES = 3, 150, 16
SERIES = {
    "reward": 0.6, "reward_std": 0.3, "reward/accuracy": 0.5, "reward/format": 0.9, "zero_variance": 0.4,
    "length": 60.0, "length/correct": 55.0, "length/wrong": 70.0, "truncated": 0.05, "reflection": 2.0,
    "steps_wrong": 0.1, "self_correction": 0.05, "one_language": 0.99, "entropy": 0.5, "clip_fraction": 0.01,
    "kl": 0.02, "drift": 1e-5, "ratio/max": 1.3, "loss": 0.01, "grad_norm": 0.8, "tokens": 4000.0,
    "seconds/rollout": 0.6, "seconds/reward": 0.05, "seconds/update": 0.7, "flops/rollout": 3e9,
    "flops/update": 6e9, "mfu": 0.03, "mfu/rollout": 0.02, "mfu/update": 0.05, "memory_gib": 0.9,
}  # fmt: skip
"""What a step logs, about."""


def write_comparison(
    folder: Path, arms: tuple[str, ...] = ARMS, steps: int = STEPS, samples: int = SAMPLES
) -> Path:
    """The folder with one base and ``SEEDS`` runs of each arm, evaluated on three benchmarks."""
    experiment = {
        "name": "distil-or-rl",
        "policy": {"model": "tiny", "template": "tags"},
        "stages": [],
        "eval": {"benchmarks": list(BENCHMARKS), "samples": samples},
        "compare": {"seeds": SEEDS, "arms": {arm: {"stages": [_stage(steps)]} for arm in arms}},
    }
    folder.mkdir(parents=True)
    (folder / "experiment.toml").write_text(tomli_w.dumps(experiment))
    manifest = MANIFEST | {"command": ["harness", "train", "experiments/distil-or-rl.toml"]}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (folder / "arms.json").write_text(json.dumps({"folder": folder.name, "arms": [], "comparisons": []}))
    _write_evals(folder / "evals" / "base", 0.35, 0, samples)
    for number, arm in enumerate(arms, start=1):
        for seed in range(SEEDS):
            run = folder / "arms" / arm / f"seed-{seed}"
            rng = np.random.default_rng([number, seed])
            _write_run(run, arm, steps, rng)
            rate, draw = 0.35 + 0.05 * (number % 8), number * SEEDS + seed
            _write_evals(run / "evals" / "final", rate, draw, samples)
    return folder


def _stage(steps: int) -> dict[str, Any]:
    return {"kind": "grpo", "steps": steps, "rewards": {"accuracy": 1.0, "format": 0.1}}


def _write_run(folder: Path, arm: str, steps: int, rng: np.random.Generator) -> None:
    folder.mkdir(parents=True)
    experiment = {
        "policy": {"model": "tiny"}, "stages": [_stage(steps)], "eval": {"benchmarks": list(BENCHMARKS)},
    }  # fmt: skip
    (folder / "experiment.toml").write_text(tomli_w.dumps(experiment))
    (folder / "status.json").write_text(json.dumps({"state": "done", "reason": "", "time": 1.77e9 + steps}))
    rows = [_metrics(step, steps, rng) for step in range(1, steps + 1)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    asked = list(known_questions("tiny-aime").values())
    kept = [_completion(step, asked[step % len(asked)], rng) for step in range(8, steps + 1, 8)]
    (folder / "samples.jsonl").write_text("".join(json.dumps(row) + "\n" for row in kept))


def _metrics(step: int, steps: int, rng: np.random.Generator) -> dict[str, Any]:
    noise = 1 + 0.2 * rng.standard_normal(len(SERIES))
    row: dict[str, Any] = {"step": step, "stage": "rl", "time": 1.77e9 + step, "learning_rate": 2e-4}
    row |= {name: abs(about * by) for (name, about), by in zip(SERIES.items(), noise.tolist(), strict=True)}
    if step % 10 == 0:
        value = 0.35 + 0.3 * step / steps + 0.02 * rng.standard_normal()
        row |= {"dev/pass@1": float(value), "dev/stderr": 0.03, "seconds/dev": 1.0}
    return row


def _written(question: Question, right: bool, rng: np.random.Generator) -> tuple[str, str]:
    """(response, answer) in the tiny policy's manner."""
    lines = [f"{a} + {b} = {a + b}" for a, b in rng.integers(1, 999, (3, 2)).tolist()]
    thought = "\n".join(["Start with the first number.", *lines, "Wait, let me check that again."])
    answer = question.gold or str(question.info.get("tests", ""))[:30]
    answer = answer if right else str(rng.integers(0, 999))
    return f"<think>\n{thought}\n</think>\n<answer>{answer}</answer>", answer


def _completion(step: int, question: Question, rng: np.random.Generator) -> dict[str, Any]:
    right = bool(rng.random() < 0.5)
    response, answer = _written(question, right, rng)
    return {
        "step": step, "id": question.id, "sample": 0, "response": response, "answer": answer,
        "correct": right, "status": "correct" if right else "wrong", "detail": "answer tag",
        "finish_reason": "stop", "tokens": 60, "prompt": f"User: {question.text}\nAssistant:",
        "rewards": {"accuracy": float(right), "format": 1.0}, "reward": right + 0.1, "advantage": 0.4,
    }  # fmt: skip


def _write_evals(folder: Path, rate: float, seed: int, samples: int) -> None:
    for place, benchmark in enumerate(BENCHMARKS):
        rng = np.random.default_rng([seed, place])
        hardness = np.random.default_rng(place).normal(0, 0.25, 1000)
        rows: list[Mapping[str, Any]] = []
        for number, question in enumerate(known_questions(benchmark).values()):
            share = float(np.clip(rate + hardness[number], 0.02, 0.98))
            rows += [_sample(question, index, share, rng) for index in range(samples)]
        write_eval(folder / benchmark, benchmark, rows)


def _sample(question: Question, index: int, share: float, rng: np.random.Generator) -> dict[str, Any]:
    right, unread = bool(rng.random() < share), bool(rng.random() < 0.1)
    response, answer = _written(question, right, rng)
    status = "correct" if right else "unparsed" if unread else "wrong"
    return {
        "id": question.id, "sample": index, "response": response,
        "answer": None if status == "unparsed" else answer, "correct": right, "status": status,
        "detail": "no answer" if status == "unparsed" else "answer tag",
        "finish_reason": "length" if status == "unparsed" else "stop", "tokens": int(rng.integers(40, 120)),
        "seconds": 0.1, "prompt": f"User: {question.text}\nAssistant:",
    }  # fmt: skip
