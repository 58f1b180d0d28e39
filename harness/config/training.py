"""What every stage that trains the policy has in common."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from harness.config.table import Table

StageName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$", max_length=80)]
"""A stage's name is a part of keys and the name of files: letters, digits, "_" and "-"."""


Packing = Literal["auto", "always", "never"]


class Training(Table):
    """What every stage that trains the policy has: its steps, AdamW, dev evaluations and checkpoints."""

    kind: Any
    """Each kind of stage accepts its own word."""
    name: StageName
    """The stage's name: how ``[sweep.space]`` and ``-s`` address it."""
    steps: int = Field(100, ge=1)
    """Optimiser steps."""
    learning_rate: float = Field(1e-5, gt=0.0)
    """AdamW's peak learning rate."""
    warmup_steps: int = Field(0, ge=0)
    """Steps of linear warm-up, then ``schedule``."""
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    """The learning rate after warm-up: constant, or falling to 0 at the stage's last step."""
    optimizer: Literal["adamw", "adamw8bit"] = "adamw"
    """AdamW with its moments in float32, or in eight bits by blocks (bitsandbytes)."""
    offload_optimizer: bool = False
    """Keep the optimiser's moments in the host's memory; they visit the device piece by piece."""
    weight_decay: float = Field(0.0, ge=0.0)
    """AdamW's decoupled weight decay."""
    max_grad_norm: float = Field(1.0, gt=0.0)
    """Gradients are clipped to this global norm."""
    packing: Packing = "auto"
    """Rows of a micro-batch one behind another, without padding: "auto" on GPUs, where the model allows it.
    Where prompts that a group shares are run once instead, which leaves out more, that goes first."""
    micro_batch_tokens: int = Field(16384, ge=1)
    """Tokens (prompt, completion and padding) per forward and backward pass."""
    max_tokens: int = Field(1024, ge=1)
    """The longest completion, in tokens."""
    temperature: float = Field(1.0, gt=0.0)
    """The sampling temperature."""
    eval_every: int = Field(0, ge=0)
    """Evaluate on the dev questions every so many steps and at the end; 0: at the end only."""
    checkpoint_every: int = Field(50, ge=1)
    """Write a checkpoint every so many steps and at the end."""
    keep_checkpoints: int = Field(2, ge=1)
    """How many of the newest checkpoints stay on disk."""
    keep_best: bool = False
    """Also keep the checkpoint of the best dev evaluation; checkpoints/best leads to it."""
