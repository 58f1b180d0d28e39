"""The tiny policy's folder: built once, cached by the hash of everything that shapes it."""

from __future__ import annotations

import hashlib
import inspect
import json
import os
import random
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path

import filelock
import torch

from evals.tasks import arithmetic, synthetic, tiny_code, tiny_math
from harness import files
from harness.tiny import pretrain, tokenizer, traces

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
SHAPING = (arithmetic, tiny_math, tiny_code, synthetic, traces, tokenizer, pretrain)


def prompt(question: str) -> str:
    """The "tags" template of evals/prompts.py, which the tiny policy is pretrained on."""
    return f"User: {question}\nAssistant:"


def recipe_hash(recipe: pretrain.Recipe) -> str:
    """Changes with any setting of the recipe and with any line of the code that makes the corpus."""
    digest = hashlib.blake2b(json.dumps(asdict(recipe), sort_keys=True).encode(), digest_size=8)
    for module in SHAPING:
        digest.update(inspect.getsource(module).encode())
    return digest.hexdigest()


def cache_folder() -> Path:
    """HARNESS_CACHE, or grpo-harness in the user's cache folder."""
    named = os.environ.get("HARNESS_CACHE")
    if named:
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "grpo-harness"


def tiny_folder(
    recipe: pretrain.Recipe | None = None, on_step: Callable[[int, int, float], None] | None = None
) -> Path:
    """The policy's Hugging Face folder, pretrained now unless an equal one is cached.

    ``on_step`` is told (step, steps, loss) while it trains. Safe to call from several processes at once:
    the second waits for the first.
    """
    recipe = recipe or pretrain.Recipe()
    folder = cache_folder() / f"tiny-{recipe_hash(recipe)}"
    if folder.exists():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(folder.with_suffix(".lock")):
        if not folder.exists():
            _build(recipe, folder, on_step)
    return folder


def _build(recipe: pretrain.Recipe, folder: Path, on_step: Callable[[int, int, float], None] | None) -> None:
    rng = random.Random(recipe.seed)
    pairs = (traces.trace(rng, recipe.mixture) for _ in range(TOKENIZER_TRACES))
    words = tokenizer.build_tokenizer((prompt(q.text) + text for q, text in pairs), recipe.vocabulary)
    torch_state = torch.get_rng_state()

    def report(step: int, loss: float) -> None:
        if on_step:
            on_step(step, recipe.steps, loss)

    model = pretrain.pretrain(recipe, words, prompt, report)
    torch.set_rng_state(torch_state)
    aside = folder.with_name(f".{folder.name}.{os.getpid()}")
    try:
        model.save_pretrained(aside)
        words.save_pretrained(aside)
        files.write_json(aside / "recipe.json", asdict(recipe))
        os.replace(aside, folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
