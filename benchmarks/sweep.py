"""A sweep against what one would write instead: Optuna, TRL's GRPOTrainer, and lm-eval after each trial.

    python benchmarks/sweep.py [--trials 8 --steps 18 --dev 40 --samples 8]

Same embedded policy, training questions, space, startup trials, steps, completions a step, dev questions and
samples; both train their best settings again on two fresh seeds. Theirs is the straightforward loop: TPE, one
trial after another on all cores, GRPOTrainer set up as fast as it goes without vLLM, lm-eval's HFLM on the
trained weights with ``repeats`` and a batch of 64. Ours is `harness sweep` with two workers and its
default pruner, process starts, checkpoints and report included. What either winner is worth is measured
afterwards by one and the same evaluation, outside the clock. Printed: wall-clock seconds of each, where they
went, the ratio, and the winners' accuracy with intervals.
"""

from __future__ import annotations

import argparse
import json
import logging
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import datasets
import lm_eval
import optuna
import tomli_w
from datasets import Dataset
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager
from transformers import PrinterCallback
from transformers.utils import logging as transformers_logging
from trl import GRPOConfig, GRPOTrainer

from evals.base.progress import Progress
from evals.engine import Completion, Sampling
from evals.graders.base import Response
from evals.graders.registry import make_grader
from evals.protocols import Protocol
from evals.rollout import Rollout
from evals.task import Question
from evals.tasks import arithmetic
from evals.templates import render
from harness import config
from harness.models.policy import load_policy, save_policy
from harness.rewards.format import format as format_reward
from harness.sweep.selection import CONFIRM_SEED_OFFSET
from harness.train import checkpoint
from harness.train.benchmarks import evaluate

COMPLETIONS, TOKENS, SEEDS, STARTUP = 64, 96, 2, 3
SPACE: dict[str, Any] = {
    "grpo.group_size": [4, 8, 16],
    "grpo.learning_rate": {"low": 1e-5, "high": 3e-3, "log": True},
    "grpo.beta": {"low": 1e-4, "high": 0.1, "log": True},
    "grpo.rewards.format": {"low": 0.0, "high": 0.5},
}


@dataclass
class Side:
    """What one of the two took, in seconds by part, and the trained weights of its fresh seeds."""

    seconds: Counter[str] = field(default_factory=Counter)
    wall: float = 0.0
    policies: list[Path] = field(default_factory=list)
    note: str = ""

    @contextmanager
    def timed(self, part: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self.seconds[part] += time.perf_counter() - began


def ours(options: argparse.Namespace, folder: Path) -> Side:
    """`harness sweep`, as a user runs it."""
    experiment = {
        "name": "sweep-benchmark",
        "policy": {"model": "tiny", "template": "tags"},
        "data": {
            "train": "tiny-aime:train",
            "dev": f"tiny-aime:dev[:{options.dev}]",
            "dev_samples": options.samples,
        },
        "stages": [
            {
                "kind": "grpo",
                "steps": options.steps,
                "completions_per_step": COMPLETIONS,
                "group_size": 8,
                "beta": 0.01,
                "learning_rate": 2e-4,
                "max_tokens": TOKENS,
                "eval_every": max(1, options.steps // 3),
                "checkpoint_every": options.steps,
                "rewards": {"accuracy": 1.0, "format": 0.2},
            }
        ],
        "sweep": {
            "trials": options.trials,
            "workers": 2,
            "startup_trials": STARTUP,
            "confirm_seeds": SEEDS,
            "space": SPACE,
        },
        "tracking": {"wandb": "off"},
    }
    file, out = folder / "sweep.toml", folder / "sweep"
    file.write_text(tomli_w.dumps(experiment), encoding="utf-8")
    side = Side()
    began = time.perf_counter()
    command = [sys.executable, "-m", "harness.cli", "sweep", str(file), "--out", str(out), "--quiet"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    side.wall = time.perf_counter() - began
    summary = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    chosen = summary["selection"]["candidate"]
    for metrics in out.glob("*/**/metrics.jsonl"):
        for line in metrics.read_text(encoding="utf-8").splitlines():
            for name, value in json.loads(line).items():
                if name.startswith("seconds/"):
                    side.seconds["dev questions" if name == "seconds/dev" else "training"] += value
    for run in chosen["confirmation"]:
        newest = checkpoint.newest(out / run["run"] / "checkpoints")
        assert newest is not None
        side.policies.append(newest)
    steps = sum(trial["history"][-1]["step"] for trial in summary["trials"] if trial["history"])
    side.note = (
        f"{steps} of {options.trials * options.steps} steps of the search trained, the rest pruned; "
        "seconds of both workers together"
    )
    return side


def theirs(options: argparse.Namespace, folder: Path) -> Side:
    """The loop that one would write."""
    side = Side()
    began = time.perf_counter()
    sampler = optuna.samplers.TPESampler(n_startup_trials=STARTUP, seed=0)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    for _ in range(options.trials):
        trial = study.ask()
        settings = {
            "group_size": trial.suggest_categorical("group_size", SPACE["grpo.group_size"]),
            "learning_rate": trial.suggest_float("learning_rate", **SPACE["grpo.learning_rate"]),
            "beta": trial.suggest_float("beta", **SPACE["grpo.beta"]),
            "format": trial.suggest_float("format", **SPACE["grpo.rewards.format"]),
        }
        study.tell(trial, train_and_evaluate(settings, 0, options, folder / f"trial-{trial.number}", side))
    for seed in range(1, SEEDS + 1):
        where = folder / f"seed-{seed}"
        train_and_evaluate(study.best_params, CONFIRM_SEED_OFFSET + seed, options, where, side)
        side.policies.append(where)
    side.wall = time.perf_counter() - began
    side.note = f"all {options.trials * options.steps} steps of the search"
    return side


def train_and_evaluate(
    settings: dict[str, Any], seed: int, options: argparse.Namespace, folder: Path, side: Side
) -> float:
    """One run of GRPOTrainer, saved; the share of right answers to the dev questions that lm-eval draws."""
    policy = load_policy(config.Policy(model="tiny"), trainable=True)
    with side.timed("training"):
        train_by_trl(policy, settings, seed, options.steps, folder)
    save_policy(policy, folder)
    with side.timed("dev questions"):
        return evaluate_by_lm_eval(policy, arithmetic.TASK.load("dev")[: options.dev], options.samples)


def train_by_trl(policy: Any, settings: dict[str, Any], seed: int, steps: int, folder: Path) -> None:
    questions = arithmetic.TASK.load("train")
    texts = [render(question, arithmetic.TASK, "tags", policy.tokenizer) for question in questions]

    def accuracy(completions: list[str], number: list[int], **_: Any) -> list[float]:
        asked = [(questions[n], Response(text)) for n, text in zip(number, completions, strict=True)]
        return [float(verdict.status == "correct") for verdict in grader.grade(asked)]

    def in_format(completions: list[str], number: list[int], **_: Any) -> list[float]:
        return [
            format_reward(
                Rollout(questions[n], texts[n], Completion(text, (1,), (), "stop"), max_tokens=TOKENS)
            )
            for n, text in zip(number, completions, strict=True)
        ]

    with make_grader(arithmetic.TASK.grader) as grader:
        trainer = GRPOTrainer(
            model=policy.model,
            processing_class=policy.tokenizer,
            reward_funcs=[accuracy, in_format],
            train_dataset=Dataset.from_list([{"prompt": t, "number": n} for n, t in enumerate(texts)]),
            args=GRPOConfig(
                output_dir=str(folder),
                seed=seed,
                max_steps=steps,
                per_device_train_batch_size=COMPLETIONS,
                num_generations=settings["group_size"],
                max_completion_length=TOKENS,
                beta=settings["beta"],
                reward_weights=[1.0, settings["format"]],
                learning_rate=settings["learning_rate"],
                lr_scheduler_type="constant",
                temperature=1.0,
                use_cpu=True,
                bf16=False,
                gradient_checkpointing=False,
                report_to="none",
                save_strategy="no",
                disable_tqdm=True,
            ),
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()


def evaluate_by_lm_eval(policy: Any, questions: Sequence[Question], samples: int) -> float:
    """The mean over all samples: lm-eval draws ``repeats`` of them, and its filter keeps the first alone."""
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "questions.jsonl"
        rows = [
            {"prompt": render(q, arithmetic.TASK, "tags", policy.tokenizer), "gold": q.gold}
            for q in questions
        ]
        data.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        task = {
            "task": "dev",
            "dataset_path": "json",
            "dataset_kwargs": {"data_files": {"test": str(data)}},
            "test_split": "test",
            "output_type": "generate_until",
            "doc_to_text": "{{prompt}}",
            "doc_to_target": "{{gold}}",
            "generation_kwargs": {
                "do_sample": True, "temperature": 1.0, "max_gen_toks": TOKENS, "until": [],
            },
            "repeats": samples,
            "metric_list": [{"metric": "exact_match"}],
        }  # fmt: skip
        (Path(folder) / "dev.yaml").write_text(json.dumps(task), encoding="utf-8")
        found: Any = lm_eval.simple_evaluate(
            HFLM(pretrained=policy.model, tokenizer=policy.tokenizer, batch_size=64),
            tasks=["dev"],
            task_manager=TaskManager(include_path=folder, include_defaults=False),
            bootstrap_iters=0,
            log_samples=True,
        )
    drawn = [
        (questions[row["doc_id"]], Response(t)) for row in found["samples"]["dev"] for t in row["resps"][0]
    ]
    with make_grader(arithmetic.TASK.grader) as grader:
        verdicts = grader.grade(drawn)
    assert len(verdicts) == len(questions) * samples
    return sum(verdict.status == "correct" for verdict in verdicts) / len(verdicts)


def worth(policies: Sequence[Path], folder: Path) -> list[str]:
    """pass@1 of each with its 95% interval, on questions that neither sweep has seen."""
    protocol = Protocol("benchmark", Sampling(1.0, 1.0, max_tokens=128), template="tags", samples=64)
    told = []
    for number, policy in enumerate(policies):
        settings = config.Policy(model=str(policy), template="tags")
        (scores,) = evaluate(
            settings, [(arithmetic.TASK, protocol)], folder / str(number), Progress(quiet=True)
        ).scores
        found = scores.to_json()["pass@1"]
        told.append("{:.1f} [{:.1f}, {:.1f}]".format(*(100 * v for v in (found["value"], *found["ci95"]))))
    return told


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=8)
    parser.add_argument("--steps", type=int, default=18)
    parser.add_argument("--dev", type=int, default=40, help="dev questions")
    parser.add_argument("--samples", type=int, default=8, help="of each")
    options = parser.parse_args()
    transformers_logging.disable_progress_bar()
    datasets.disable_progress_bars()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    load_policy(config.Policy(model="tiny"))  # pretrained once, outside the clock
    with tempfile.TemporaryDirectory() as name:
        found = {}
        for who, sweep in (("harness", ours), ("Optuna + TRL + lm-eval", theirs)):
            folder = Path(name) / who.partition(" ")[0]
            folder.mkdir()
            found[who] = sweep(options, folder)
            side = found[who]
            parts = ", ".join(f"{part} {seconds:.0f} s" for part, seconds in side.seconds.items())
            print(f"{who}: {side.wall:.0f} s ({parts}); {side.note}")
            measured = " and ".join(worth(side.policies, folder / "worth"))
            print(f"  its winner on {SEEDS} fresh seeds, tiny-aime 30 x 64: {measured}")
    mine, other = found.values()
    print(f"wall clock, theirs / ours: {other.wall / mine.wall:.2f}")


if __name__ == "__main__":
    main()
