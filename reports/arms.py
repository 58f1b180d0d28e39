"""arms.json: what a comparison of ways of training took and came to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from evals.base.versioned import Versioned

ARMS = "arms.json"


@dataclass(frozen=True)
class Row:
    """What one arm took and came to, a mean over its seeds; costs of training alone, tuning apart.

    ``flops`` are model FLOPs without the teacher's, which are ``teacher_flops``; ``tokens`` are those sampled
    and learned from, the teacher's included. ``tuning_flops`` are those of all its tuning runs together.
    """

    arm: str
    seeds: int
    pass_at_1: Mapping[str, float]
    tokens: float
    flops: float
    teacher_flops: float
    device_seconds: float
    tuning_flops: float
    tuned: Mapping[str, Any]


class Arms(Versioned):
    """The content of arms.json.

    ``comparisons`` are as ``harness compare --json`` prints them, ``controls`` as
    ``evals.comparison.controls.Explained`` does.
    """

    folder: str
    arms: tuple[Row, ...]
    comparisons: tuple[dict[str, Any], ...]
    controls: tuple[dict[str, Any], ...] = ()
