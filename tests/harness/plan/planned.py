"""A small experiment with a stage of every kind that samples, for plans of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def raw(policy: Path, **changes: Any) -> dict[str, Any]:
    """Its tables, those of ``changes`` in place of its own."""
    short = {"max_tokens": 12, "checkpoint_every": 50, "learning_rate": 1e-3}
    return {
        "name": "planned",
        "policy": {"model": str(policy), "template": "tags"},
        "data": {"train": "tiny-aime:train[:6]", "dev": "tiny-aime:dev[:3]", "dev_samples": 2},
        "stages": [
            {"kind": "reject", "samples": 4, "keep": {}, "per_question": 4, "max_tokens": 60},
            {"kind": "sft", "data": "reject", "steps": 7, "batch_size": 2, **short},
            {"kind": "grpo", "steps": 6, "completions_per_step": 8, "group_size": 4, "beta": 0.01, **short},
        ],
        "eval": {"benchmarks": ["tiny-aime"], "samples": 2, "max_tokens": 12},
        "tracking": {"wandb": "off"},
    } | changes
