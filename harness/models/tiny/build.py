"""The tiny policy's folder: built once, cached by the hash of everything that shapes it."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path

import torch
from transformers import PreTrainedTokenizerFast

from evals.base import io
from harness.models.cache import built_once, cache_folder
from harness.models.tiny import pretrain, tokenizer, traces

TOKENIZER_TRACES = 4000
CAREFUL = traces.Mixture(
    sloppy=0.05, step_error=0.0, mended=0.08, mixed_language=0.02, bad_format=0.02, rambling=0.005
)
SIZES: Mapping[str, pretrain.Recipe] = {
    "tiny": pretrain.Recipe(),
    "tiny-small": pretrain.Recipe(width=128, heads=4, feed_forward=352),
    "tiny-teacher": pretrain.Recipe(
        width=256,
        layers=3,
        heads=8,
        feed_forward=704,
        skill_steps=1500,
        habit_steps=150,
        learning_rate=1e-3,
        warmup=100,
        mixture=CAREFUL,
    ),
}
"""The embedded policies by name: a base model, a smaller one, and a larger one with fewer bad habits."""
VERSION = 3
"""Raised by hand with every change of code that makes another policy of the same recipe: of what the traces,
the questions, the tokenizer or the pretraining are. It is part of the cached folder's name."""


def prompt(question: str) -> str:
    """The "tags" template of evals/templates.py, which the tiny policy is pretrained on."""
    return f"User: {question}\nAssistant:"


def recipe_hash(recipe: pretrain.Recipe) -> str:
    """Changes with any setting of the recipe and with ``VERSION``; not with a comment in the code."""
    told = json.dumps({"version": VERSION, **asdict(recipe)}, sort_keys=True)
    return hashlib.blake2b(told.encode(), digest_size=8).hexdigest()


def tiny_folder(
    recipe: pretrain.Recipe | None = None, on_step: Callable[[int, int, float], None] | None = None
) -> Path:
    """The policy's Hugging Face folder, pretrained now unless an equal one is cached.

    ``on_step`` is told (step, steps, loss) while it trains. Safe to call from several processes at once:
    the second waits for the first.
    """
    recipe = recipe or pretrain.Recipe()
    return built_once(f"tiny-{recipe_hash(recipe)}", lambda folder: _build(recipe, folder, on_step))


def config_folder(recipe: pretrain.Recipe) -> Path:
    """A folder with its configuration and tokenizer: made in seconds where the policy is not there yet."""
    name = f"tiny-{recipe_hash(recipe)}"
    whole = cache_folder() / name
    return (
        whole
        if whole.exists()
        else built_once(f"{name}-config", lambda folder: _build_config(recipe, folder))
    )


def _build_config(recipe: pretrain.Recipe, folder: Path) -> None:
    words = _tokenizer(recipe)
    pretrain.new_config(recipe, words).save_pretrained(folder)
    words.save_pretrained(folder)


def _tokenizer(recipe: pretrain.Recipe) -> PreTrainedTokenizerFast:
    """One for all recipes, whatever their habits, so that each of the policies can score another's tokens."""
    rng = random.Random(0)
    pairs = (traces.trace(rng, traces.Mixture()) for _ in range(TOKENIZER_TRACES))
    return tokenizer.build_tokenizer((prompt(q.text) + text for q, text in pairs), recipe.vocabulary)


def _build(recipe: pretrain.Recipe, folder: Path, on_step: Callable[[int, int, float], None] | None) -> None:
    words = _tokenizer(recipe)
    torch_state = torch.get_rng_state()

    def report(step: int, loss: float) -> None:
        if on_step:
            on_step(step, recipe.steps, loss)

    model = pretrain.pretrain(recipe, words, prompt, report)
    torch.set_rng_state(torch_state)
    model.save_pretrained(folder)
    words.save_pretrained(folder)
    io.write_json(folder / "recipe.json", asdict(recipe))
