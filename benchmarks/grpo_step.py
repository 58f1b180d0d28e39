"""One GRPO step against TRL's GRPOTrainer: same policy folder, prompts, group size, lengths, optimiser.

    python benchmarks/grpo_step.py                  3.2M random Qwen2, 16 prompts x 8 x 64 tokens, beta 0.04
    python benchmarks/grpo_step.py --policy tiny    the tiny policy at its natural lengths, accuracy + format
    python benchmarks/grpo_step.py --model smollm2  or a folder: 4 sums x 8 x 24 tokens
    python benchmarks/grpo_step.py --threads 1 --rounds 3 --steps 4

The two take turns, round by round; each round's first step is warm-up and does not count. Printed are the
medians of wall-clock and CPU seconds per step over all rounds, and TRL's divided by ours. CPU seconds
(over all threads) are the figure to trust on a machine that others use too. Both run in float32 without
gradient checkpointing; TRL gets its fastest way without vLLM: one generation batch, one micro-batch.
"""

from __future__ import annotations

import argparse
import random
import resource
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    PreTrainedTokenizerFast,
    PrinterCallback,
    Qwen2Config,
    Qwen2ForCausalLM,
    TrainerCallback,
)
from transformers.utils import logging as transformers_logging
from trl import GRPOConfig, GRPOTrainer

from evals.engine import Completion, FinishReason
from evals.task import Question, Task
from evals.tasks.registry import get, load_spec
from evals.templates import render
from harness import config
from harness.config import GRPO, Data, Experiment
from harness.engines.hf import TransformersEngine
from harness.models.policy import Policy, load_policy, save_policy
from harness.models.tiny.build import tiny_folder
from harness.rewards import make_mix
from harness.train.learners import train_stage
from harness.train.loop import StageRun
from harness.train.rollouts import Graders, RolloutGroup
from harness.train.run_dir import Run
from harness.train.stream import Prompt

PROMPTS, GROUP = 16, 8
Pairs = list[tuple[Task, Question]]


class Clock:
    """Wall-clock and CPU seconds between calls."""

    def __init__(self) -> None:
        self.steps: list[tuple[float, float]] = []
        self._last = self._now()

    def tick(self) -> None:
        now = self._now()
        self.steps.append((now[0] - self._last[0], now[1] - self._last[1]))
        self._last = now

    @staticmethod
    def _now() -> tuple[float, float]:
        used = resource.getrusage(resource.RUSAGE_SELF)
        return time.perf_counter(), used.ru_utime + used.ru_stime


class StepEnd(TrainerCallback):
    """TRL's clock."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def on_step_end(self, *_args: Any, **_kwargs: Any) -> None:
        self._clock.tick()


def random_policy(folder: Path, hidden: int = 256) -> None:
    """3.2M parameters and 4,098 words, half Latin and half Cyrillic: its language reward varies."""
    spelt = [
        a + b + c
        for letters in ("abcdefghijklm", "абвгдежзиклмн")
        for a in letters
        for b in letters
        for c in letters
    ]
    words = {word: number for number, word in enumerate(spelt[:2048] + spelt[-2048:])}
    words |= {"<end>": 4096, "<pad>": 4097}
    core = Tokenizer(models.WordLevel(words, unk_token="<pad>"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, eos_token="<end>", pad_token="<pad>")
    torch.manual_seed(0)
    shape = Qwen2Config(
        vocab_size=len(words),
        hidden_size=hidden,
        intermediate_size=5 * hidden // 2,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=words["<end>"],
        pad_token_id=words["<pad>"],
    )
    save_policy(Policy(Qwen2ForCausalLM(shape), tokenizer, "random"), folder)


def random_questions() -> Pairs:
    rng = random.Random(0)
    texts = [" ".join("".join(rng.choices("abcdefghijklm", k=3)) for _ in range(40)) for _ in range(512)]
    questions = [Question(str(number), text) for number, text in enumerate(texts)]
    task = Task(
        "random", "Random words", "integer", ("train",), "train", lambda split: questions, "made here"
    )
    return [(task, question) for question in questions]


@dataclass(frozen=True)
class Job:
    """What both trainers do."""

    model: str
    template: str
    questions: Pairs
    stage: GRPO

    def experiment(self) -> Experiment:
        return Experiment(
            name="benchmark",
            policy=config.Policy(model=self.model, template=self.template),
            data=Data(train="given"),
            stages=[self.stage],
        )


def ours(job: Job, folder: Path) -> tuple[Clock, dict[str, float]]:
    """Our steps, and the means of what they logged."""
    experiment = job.experiment()
    policy = load_policy(experiment.policy, trainable=True)
    run = Run(folder, experiment)
    clock, rows = Clock(), []

    def on_step(row: dict[str, Any]) -> None:
        clock.tick()
        rows.append(row)

    given = StageRun(run, policy, TransformersEngine(policy), job.questions, on_step=on_step)
    train_stage(job.stage, given)
    run.close()
    names = (
        "reward",
        "length",
        "zero_variance",
        "seconds/rollout",
        "seconds/reward",
        "seconds/update",
    )
    return clock, {name: statistics.median(row[name] for row in rows[1:]) for name in names}


def theirs(job: Job, folder: Path) -> tuple[Clock, dict[str, float]]:
    """TRL's steps, and the means of what it logged."""
    stage = job.stage
    policy = load_policy(job.experiment().policy, trainable=True)
    mix = make_mix(stage.rewards)
    end = policy.tokenizer.eos_token_id
    prompts = [
        Prompt(task, question, render(question, task, job.template, policy.tokenizer))
        for task, question in job.questions
    ]

    def reward(
        completions: list[str], completion_ids: list[list[int]], number: list[int], **_: Any
    ) -> list[float]:
        made = []
        for text, ids in zip(completions, completion_ids, strict=True):
            finish: FinishReason = "stop" if ids[-1] == end else "length"
            made.append(Completion(text, tuple(ids), (), finish))
        asked = [prompts[place] for place in number]
        groups = [
            RolloutGroup.of(prompt, (), [completion], stage)
            for prompt, completion in zip(asked, made, strict=True)
        ]
        rollouts = [group.rollouts[0] for group in graders.grade(groups)]
        return [score.total for score in mix.score(rollouts)]

    clock = Clock()
    with Graders() as graders:
        trainer = GRPOTrainer(
            model=policy.model,
            processing_class=policy.tokenizer,
            reward_funcs=reward,
            train_dataset=Dataset.from_list(
                [{"prompt": prompt.text, "number": number} for number, prompt in enumerate(prompts)]
            ),
            callbacks=[StepEnd(clock)],
            args=GRPOConfig(
                output_dir=str(folder),
                max_steps=stage.steps,
                per_device_train_batch_size=stage.completions_per_step,
                num_generations=stage.group_size,
                max_completion_length=stage.max_tokens,
                beta=stage.beta,
                loss_type=stage.aggregation,
                epsilon=stage.epsilon.low,
                learning_rate=stage.learning_rate,
                lr_scheduler_type="constant",
                temperature=stage.temperature,
                use_cpu=True,
                bf16=False,
                gradient_checkpointing=False,
                report_to="none",
                save_strategy="no",
                logging_steps=1,
                disable_tqdm=True,
            ),
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    rows = [row for row in trainer.state.log_history if "reward" in row][1:]
    names = {"reward": "reward", "completions/mean_length": "length", "frac_reward_zero_std": "zero_variance"}
    return clock, {ours: statistics.median(row[name] for row in rows) for name, ours in names.items()}


def real_job(model: str, steps: int) -> Job:
    """Sums, as in experiments/smollm2-sums.toml."""
    stage = GRPO(
        steps=steps,
        completions_per_step=32,
        group_size=GROUP,
        learning_rate=5e-6,
        beta=0.0,
        rewards={"accuracy": 1.0, "format": 0.2},
        max_tokens=24,
        checkpoint_every=10**6,
    )
    task, questions = load_spec("small-sums:train")
    return Job(model, "tags", [(task, question) for question in questions], stage)


def make_job(policy: str, steps: int, scratch: Path, hidden: int = 256) -> Job:
    common = {
        "steps": steps,
        "completions_per_step": PROMPTS * GROUP,
        "group_size": GROUP,
        "learning_rate": 1e-5,
    }
    if policy == "tiny":
        _, questions = load_spec("tiny-aime:train[:512]")
        stage = GRPO(
            **common, rewards={"accuracy": 1.0, "format": 0.2}, max_tokens=96, checkpoint_every=10**6
        )
        return Job(
            str(tiny_folder()), "tags", [(get("tiny-aime"), question) for question in questions], stage
        )
    random_policy(scratch / "random", hidden)
    stage = GRPO(**common, rewards={"language": 1.0}, max_tokens=64, beta=0.04, checkpoint_every=10**6)
    return Job(str(scratch / "random"), "plain", random_questions(), stage)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--policy", choices=["random", "tiny"], default="random")
    parser.add_argument("--model", help="smollm2, or the folder of a real model, in place of --policy")
    parser.add_argument("--steps", type=int, default=5, help="steps a round, the first of which is warm-up")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    transformers_logging.disable_progress_bar()
    seconds: dict[str, list[tuple[float, float]]] = {"ours": [], "TRL": []}
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        model = chosen.model
        job = real_job(model, chosen.steps) if model else make_job(chosen.policy, chosen.steps, scratch)
        for number in range(chosen.rounds):
            for who, trainer in (("ours", ours), ("TRL", theirs)):
                clock, logged = trainer(job, scratch / f"{who}-{number}")
                seconds[who] += clock.steps[1:]
                print(f"round {number + 1}, {who}:", {key: round(value, 3) for key, value in logged.items()})
    medians = {
        who: [statistics.median(column) for column in zip(*steps, strict=True)]
        for who, steps in seconds.items()
    }
    for who, (wall, cpu) in medians.items():
        print(f"{who:>5}: {wall:.2f} s a step, {cpu:.2f} s of CPU ({chosen.threads} threads)")
    print(
        "TRL / ours: {:.2f} wall clock, {:.2f} CPU".format(
            *(t / o for t, o in zip(medians["TRL"], medians["ours"], strict=True))
        )
    )


if __name__ == "__main__":
    main()
