"""AdamW, where its moments lie, and its learning rate."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch

from evals.base.errors import UsageError
from harness.config import Training
from harness.models import dist, quantized

PIECE = 2**26
"""Parameters whose moments visit the device together (half a GiB in float32)."""


def make_optimizer(model: torch.nn.Module, stage: Training) -> torch.optim.Optimizer:
    """AdamW with PyTorch's betas and epsilon; weight decay on matrices only, as transformers' trainers do.

    The biases of a mixture's experts are stacked and so have two dimensions: they go by their name. With
    "adamw8bit" tensors of less than 4,096 numbers keep float32 moments (Dettmers et al. 2022).

    Raises:
        UsageError: bitsandbytes is not installed, or there are several processes.
    """
    trained = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
    matrices = [p for name, p in trained if p.ndim >= 2 and "bias" not in name.rpartition(".")[2]]
    decayed = {id(parameter) for parameter in matrices}
    groups = [
        {"params": matrices, "weight_decay": stage.weight_decay},
        {"params": [p for _, p in trained if id(p) not in decayed], "weight_decay": 0.0},
    ]
    if stage.optimizer == "adamw8bit":
        quantized.check_installed(f"{stage.name}.optimizer")
        if dist.world() > 1:
            raise UsageError(
                f'{stage.name}.optimizer: "adamw8bit" trains in one process; with several, accepted: "adamw"'
            )
        from bitsandbytes.optim import AdamW8bit

        eight_bits: torch.optim.Optimizer = AdamW8bit(groups, lr=stage.learning_rate)
        return eight_bits
    return torch.optim.AdamW(groups, lr=stage.learning_rate, fused=True)


def take_step(optimizer: torch.optim.Optimizer, stage: Training) -> None:
    """One step; with ``offload_optimizer`` the moments come to the device piece by piece, and go back.

    The numbers are the same: a parameter's step looks at nothing but its own.
    """
    if not stage.offload_optimizer:
        optimizer.step()
        return
    whole = [group["params"] for group in optimizer.param_groups]
    try:
        for group, parameters in zip(optimizer.param_groups, whole, strict=True):
            for piece in _pieces(parameters):
                for other in optimizer.param_groups:
                    other["params"] = piece if other is group else []
                _move(optimizer, piece, piece[0].device)
                optimizer.step()
                _move(optimizer, piece, torch.device("cpu"))
    finally:
        for group, parameters in zip(optimizer.param_groups, whole, strict=True):
            group["params"] = parameters


def _pieces(parameters: Sequence[torch.nn.Parameter]) -> Iterator[list[torch.nn.Parameter]]:
    piece: list[torch.nn.Parameter] = []
    for parameter in parameters:
        if piece and sum(p.numel() for p in piece) + parameter.numel() > PIECE:
            yield piece
            piece = []
        piece.append(parameter)
    if piece:
        yield piece


def _move(
    optimizer: torch.optim.Optimizer, parameters: Sequence[torch.nn.Parameter], device: torch.device
) -> None:
    for parameter in parameters:
        state = optimizer.state.get(parameter, {})
        for name, value in state.items():
            if isinstance(value, torch.Tensor):
                state[name] = value.to(device)


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
