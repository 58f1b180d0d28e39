"""Pretrains the tiny policy on generated traces, from random weights, in a minute or two on two cores."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch
from torch.nn import functional
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

from harness.models.tiny.traces import FLAWLESS, Mixture, trace

IGNORED = -100
MEAN_RESPONSE = 32
"""Tokens of a response, about."""


@dataclass(frozen=True)
class Recipe:
    """Everything that decides what the tiny policy becomes; its hash names the cached folder."""

    seed: int = 0
    vocabulary: int = 512
    width: int = 192
    layers: int = 2
    heads: int = 6
    key_value_heads: int = 2
    feed_forward: int = 512
    positions: int = 4096
    skill_steps: int = 900
    """Steps on flawless traces: skills are learnt fastest without noise."""
    habit_steps: int = 300
    """Steps on the mixture after that: a base model's bad habits are learnt in no time."""
    batch: int = 16
    learning_rate: float = 2e-3
    warmup: int = 10
    mixture: Mixture = field(default_factory=Mixture)

    @property
    def steps(self) -> int:
        return self.skill_steps + self.habit_steps


def new_config(recipe: Recipe, tokenizer: PreTrainedTokenizerFast) -> Qwen3Config:
    """A Qwen3 of about a million parameters."""
    end = tokenizer.eos_token_id
    return Qwen3Config(
        vocab_size=recipe.vocabulary,
        hidden_size=recipe.width,
        intermediate_size=recipe.feed_forward,
        num_hidden_layers=recipe.layers,
        num_attention_heads=recipe.heads,
        num_key_value_heads=recipe.key_value_heads,
        max_position_embeddings=recipe.positions,
        tie_word_embeddings=True,
        eos_token_id=end,
        pad_token_id=end,
        bos_token_id=None,
        head_dim=recipe.width // recipe.heads,
        initializer_range=0.05,
    )


def new_model(recipe: Recipe, tokenizer: PreTrainedTokenizerFast) -> Qwen3ForCausalLM:
    """The model with random weights."""
    torch.manual_seed(recipe.seed)
    return Qwen3ForCausalLM(new_config(recipe, tokenizer))  # type: ignore[no-untyped-call]


def pretrain(
    recipe: Recipe,
    tokenizer: PreTrainedTokenizerFast,
    prompt: Callable[[str], str],
    on_step: Callable[[int, float], None] | None = None,
) -> Qwen3ForCausalLM:
    """Next-token training on the responses (the loss leaves the prompts out).

    ``prompt`` turns a question's text into the prompt; ``on_step`` is told the step and its loss.
    """
    model = new_model(recipe, tokenizer)
    optimizer = torch.optim.AdamW(
        model.parameters(), recipe.learning_rate, betas=(0.9, 0.98), weight_decay=0.0
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _pace(recipe, step))
    rng = random.Random(recipe.seed)
    skills = _batches(recipe, FLAWLESS, rng, tokenizer, prompt)
    habits = _batches(recipe, recipe.mixture, rng, tokenizer, prompt)
    model.train()
    for step in range(recipe.steps):
        tokens, labels = next(skills if step < recipe.skill_steps else habits)
        hidden = model.model(input_ids=tokens).last_hidden_state[:, :-1]
        wanted = labels[:, 1:] != IGNORED  # logits only where there is a loss
        # A sum over a constant: a mean would weigh the tokens of a batch of short traces more.
        total = functional.cross_entropy(
            model.lm_head(hidden[wanted]), labels[:, 1:][wanted], reduction="sum"
        )
        loss = total / (recipe.batch * MEAN_RESPONSE)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if on_step:
            on_step(step + 1, loss.item())
    model.eval()  # type: ignore[no-untyped-call]
    return model


def _pace(recipe: Recipe, step: int) -> float:
    """Two linear falls to zero, the second from a quarter: digits are learnt once the rate comes down."""
    if step < recipe.skill_steps:
        return min((step + 1) / recipe.warmup, 1.02 - step / recipe.skill_steps)
    return 0.25 * (recipe.steps - step) / recipe.habit_steps


def _batches(
    recipe: Recipe,
    mixture: Mixture,
    rng: random.Random,
    tokenizer: PreTrainedTokenizerFast,
    prompt: Callable[[str], str],
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Right-padded tokens and labels, shape (batch, length): traces of like length share a batch."""
    end = tokenizer.eos_token_id
    while True:
        pairs = [trace(rng, mixture) for _ in range(recipe.batch * 16)]
        prompts = tokenizer(
            [prompt(question.text) for question, _ in pairs], add_special_tokens=False
        ).input_ids
        responses = tokenizer([text for _, text in pairs], add_special_tokens=False).input_ids
        rows = sorted(zip(prompts, responses, strict=True), key=lambda row: len(row[0]) + len(row[1]))
        batches = [rows[i : i + recipe.batch] for i in range(0, len(rows), recipe.batch)]
        rng.shuffle(batches)
        for batch in batches:
            length = max(len(p) + len(r) + 1 for p, r in batch)
            tokens = torch.full((len(batch), length), end)
            labels = torch.full((len(batch), length), IGNORED)
            for i, (p, r) in enumerate(batch):
                row = torch.tensor([*p, *r, end])
                tokens[i, : len(row)] = row
                labels[i, len(p) : len(row)] = row[len(p) :]
            yield tokens, labels
