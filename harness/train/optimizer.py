"""AdamW and its learning rate."""

from __future__ import annotations

import math

import torch

from harness.config import Training


def make_optimizer(model: torch.nn.Module, stage: Training) -> torch.optim.Optimizer:
    """AdamW with PyTorch's betas and epsilon; weight decay on matrices only, as transformers' trainers do.

    The biases of a mixture's experts are stacked and so have two dimensions: they go by their name.
    """
    trained = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
    matrices = [p for name, p in trained if p.ndim >= 2 and "bias" not in name.rpartition(".")[2]]
    decayed = {id(parameter) for parameter in matrices}
    groups = [
        {"params": matrices, "weight_decay": stage.weight_decay},
        {"params": [p for _, p in trained if id(p) not in decayed], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=stage.learning_rate, fused=True)


def learning_rate_at(stage: Training, step: int, spent: float = 0.0) -> float:
    """The learning rate of the stage's step 1, 2, …: a function of the step, so that there is no state.

    Warm-up reaches the peak at step ``warmup_steps``; the schedules would reach 0 one step after the last.
    ``spent`` is the part of the run's budget that is gone: where it is ahead of the steps, it leads.
    """
    if step < stage.warmup_steps:
        return stage.learning_rate * step / stage.warmup_steps
    done = max(0, step - 1 - stage.warmup_steps) / max(1, stage.steps - stage.warmup_steps)
    done = max(done, min(spent, 1.0))
    match stage.schedule:
        case "constant":
            return stage.learning_rate
        case "linear":
            return stage.learning_rate * (1 - done)
        case "cosine":
            return stage.learning_rate * (1 + math.cos(math.pi * done)) / 2
