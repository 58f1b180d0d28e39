"""A checkpoint that people use, SmolLM2-135M, through everything that is done with a policy here."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from evals.base import io
from evals.base.progress import Progress
from evals.engine import Request, Sampling
from harness import config
from harness.config import GRPO, SFT, Data, Eval, Experiment, Tracking
from harness.engines.registry import make_engine
from harness.models import gguf_file
from harness.models.policy import Policy, load_policy
from harness.train import checkpoint
from harness.train.batching import Row
from harness.train.grpo.update import Updater
from harness.train.micro_batch import MicroBatch
from harness.train.pipeline import run_experiment
from tests.harness.train.grpo.test_resume import assert_same, reproducible

pytestmark = pytest.mark.slow

LORA = config.LoRA(rank=4, alpha=8, targets=["q_proj", "v_proj"])


def experiment(folder: Path, stages: list[Any], **policy: Any) -> Experiment:
    return Experiment(
        name="real",
        policy=config.Policy(model=str(folder), template="tags", device="cpu", **policy),
        data=Data(train="small-sums:train[:8]"),
        stages=stages,
        tracking=Tracking(wandb="off"),
    )


def test_the_conversion_is_what_transformers_reads(smollm2: Path) -> None:
    """The same numbers as from the GGUF file itself, and a tokenizer with its chat template."""
    package = gguf_file.importlib.util.find_spec(gguf_file.MODULE)
    assert package is not None
    assert package.submodule_search_locations is not None
    [file] = Path(package.submodule_search_locations[0]).glob("*.gguf")
    theirs = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32)
    ours = load_policy(config.Policy(model="smollm2", device="cpu"))
    assert "quantization_config" not in json.loads((smollm2 / "config.json").read_text(encoding="utf-8"))
    for name, tensor in theirs.state_dict().items():
        assert torch.equal(ours.model.state_dict()[name], tensor)
    text = "<|im_start|>user\nWhat is 12 + 7? Straße, 漢字<|im_end|>\n"
    tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    assert ours.tokenizer(text).input_ids == tokenizer(text).input_ids
    assert ours.tokenizer.apply_chat_template(
        [{"role": "user", "content": "hi"}], tokenize=False, add_generation_prompt=True
    ).endswith("<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n")


def test_two_steps_and_a_resume_to_the_same_bits(smollm2: Path, tmp_path: Path) -> None:
    stage = GRPO(
        steps=2,
        completions_per_step=8,
        group_size=4,
        max_tokens=8,
        learning_rate=1e-5,
        checkpoint_every=1,
        rewards={"language": 1.0, "accuracy": 1.0, "repetition": 0.5},
    )
    asked = experiment(smollm2, [stage])
    whole, again = tmp_path / "whole", tmp_path / "again"
    assert run_experiment(asked, whole, Progress(quiet=True)) == "done"
    shutil.copytree(whole, again, ignore=shutil.ignore_patterns("step-2", ".lock", "status.json"))
    kept = [row for row in io.read_lines(whole / "metrics.jsonl") if row["step"] < 2]
    io.write_lines(again / "metrics.jsonl", kept)
    assert run_experiment(asked, again, Progress(quiet=True)) == "done"
    assert reproducible(again / "metrics.jsonl") == reproducible(whole / "metrics.jsonl")
    first, second = (run / "checkpoints" / "step-2" for run in (whole, again))
    assert checkpoint.damage(second) is None
    assert (first / "model.safetensors").read_bytes() == (second / "model.safetensors").read_bytes()
    assert_same(torch.load(first / "trainer.pt"), torch.load(second / "trainer.pt"))
    before = load_policy(config.Policy(model=str(smollm2), device="cpu")).model.state_dict()
    after = load_policy(config.Policy(model=str(whole), device="cpu")).model.state_dict()
    assert any(not torch.equal(before[name], after[name]) for name in before)


def test_fine_tuning_then_adapters_then_an_evaluation(smollm2: Path, tmp_path: Path) -> None:
    rows = [{"prompt": f"User: What is {i} + 1?\nAssistant:", "response": f" {i + 1}"} for i in range(8)]
    io.write_lines(tmp_path / "sums.jsonl", rows)
    stages = [
        SFT(data=str(tmp_path / "sums.jsonl"), steps=4, batch_size=8, learning_rate=1e-3, max_tokens=8),
        GRPO(steps=1, completions_per_step=8, group_size=4, max_tokens=8, learning_rate=1e-4),
    ]
    asked = experiment(smollm2, stages, lora=LORA)
    asked = asked.model_copy(update={"eval": Eval(benchmarks=["small-sums"], samples=1, max_tokens=4)})
    run = tmp_path / "run"
    assert run_experiment(asked, run, Progress(quiet=True)) == "done"
    losses = [row["loss"] for row in io.read_lines(run / "metrics.jsonl") if row["stage"] == "sft"]
    assert losses[-1] < 0.8 * losses[0]
    scores = io.read_json(run / "evals" / "final" / "small-sums" / "scores.json")
    assert scores["questions"] == 100
    ids = torch.arange(40, 60)[None]
    last = run / "checkpoints" / "step-5"
    merged, added = (
        load_policy(config.Policy(model=str(place), device="cpu")).model(ids).logits
        for place in (run, last / "adapter")
    )
    torch.testing.assert_close(added, merged, rtol=1e-4, atol=1e-4)


def test_sampled_at_temperature_0_it_says_what_generate_says(smollm2: Path) -> None:
    policy = load_policy(config.Policy(model=str(smollm2), device="cpu"))
    prompts = ["User: What is 12 + 7?\nAssistant:", "The capital of France is"]
    groups = make_engine("transformers", policy).generate(
        [Request(prompt, 1, 0) for prompt in prompts], Sampling(temperature=0, max_tokens=8)
    )
    for prompt, group in zip(prompts, groups, strict=True):
        ids = policy.tokenizer(prompt, return_tensors="pt")
        theirs: Any = policy.model.generate(**ids, max_new_tokens=8, do_sample=False)
        assert list(group.completions[0].token_ids) == theirs[0, ids.input_ids.shape[1] :].tolist()


def test_the_loss_and_its_gradient_are_trls(smollm2: Path, tmp_path: Path) -> None:
    """One batch of sampled completions, by TRL's own trainer and forward pass."""
    pytest.importorskip("trl", reason="TRL is a development dependency")
    policy = load_policy(config.Policy(model=str(smollm2), device="cpu"), trainable=True)
    batch = _batch(policy)
    stage = GRPO(
        aggregation="dapo", max_tokens=8, completions_per_step=8, group_size=4, max_grad_norm=1e9, beta=0.0
    )
    loss, norm = _trl(smollm2, batch, tmp_path)
    metrics = Updater(policy, stage, None, MicroBatch(4096)).update(batch, 0, tmp_path / "failed.json")
    assert abs(norm) > 0.1
    assert math.isclose(metrics["loss"], loss, rel_tol=1e-4, abs_tol=1e-5)
    assert math.isclose(metrics["grad_norm"], norm, rel_tol=1e-3)


def _batch(policy: Policy) -> list[Row]:
    prompts = ["User: What is 12 + 7?\nAssistant:", "User: And what is 3 + 3, please?\nAssistant:"]
    groups = make_engine("transformers", policy).generate(
        [Request(prompt, 4, 10 * number) for number, prompt in enumerate(prompts)], Sampling(max_tokens=8)
    )
    drawn = [(number, group, c) for number, group in enumerate(groups) for c in group.completions]
    advantages = [1.0, -0.5, 0.25, -1.0, 2.0, -0.75, 0.5, -0.25]
    return [
        Row(i, number, group.prompt_ids, c.token_ids, advantages[i], c.logprobs)
        for i, (number, group, c) in enumerate(drawn)
    ]


def _trl(folder: Path, batch: list[Row], place: Path) -> tuple[float, float]:
    """TRL's loss on the batch, and the norm of its gradient."""
    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    trainer = GRPOTrainer(
        model=AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32),
        processing_class=tokenizer,
        reward_funcs=lambda completions, **_: [0.0] * len(completions),
        train_dataset=Dataset.from_list([{"prompt": "a"}]),
        args=GRPOConfig(
            output_dir=str(place),
            use_cpu=True,
            bf16=False,
            gradient_checkpointing=False,
            report_to="none",
            loss_type="dapo",
            beta=0.0,
            temperature=1.0,
            per_device_train_batch_size=len(batch),
            num_generations=4,
            max_completion_length=8,
        ),
    )
    trainer.current_gradient_accumulation_steps = 1

    def padded(sequences: list[tuple[int, ...]], left: bool) -> tuple[torch.Tensor, torch.Tensor]:
        width = max(map(len, sequences))
        ids = torch.full((len(sequences), width), tokenizer.pad_token_id)
        mask = torch.zeros((len(sequences), width), dtype=torch.long)
        for i, sequence in enumerate(sequences):
            where = slice(width - len(sequence), width) if left else slice(0, len(sequence))
            ids[i, where], mask[i, where] = torch.tensor(sequence), 1
        return ids, mask

    prompt_ids, prompt_mask = padded([row.prompt_ids for row in batch], left=True)
    completion_ids, completion_mask = padded([row.completion_ids for row in batch], left=False)
    model: Any = trainer.model
    model.eval()
    loss = trainer._compute_loss(
        model,
        {
            "prompt_ids": prompt_ids,
            "prompt_mask": prompt_mask,
            "completion_ids": completion_ids,
            "completion_mask": completion_mask,
            "advantages": torch.tensor([row.advantage for row in batch]),
            "num_items_in_batch": completion_mask.sum(),
        },
    )
    loss.backward()
    gradients = [p.grad.norm() for p in model.parameters() if p.grad is not None]
    return float(loss.detach()), float(torch.stack(gradients).norm())
