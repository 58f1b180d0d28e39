"""arms.json: what a comparison of ways of training took and came to; controls.json: a sweep's controls."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from evals.base.versioned import MaybeNumber, Part, Versioned
from evals.comparison.controls import Explained
from evals.stats.intervals import Estimate

ARMS = "arms.json"
CONTROLS = "controls.json"


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


class Gain(Part):
    """A difference or a share, as fractions of 1, with its 95% interval."""

    value: MaybeNumber
    ci95: tuple[MaybeNumber, MaybeNumber]
    stderr: MaybeNumber = math.nan

    @classmethod
    def of(cls, found: Estimate) -> Self:
        return cls(value=found.value, stderr=found.stderr, ci95=found.ci95)


class ExplainedRow(Part):
    """What a control explains of its arm's gain on one benchmark; no share where the arm has not gained."""

    arm: str
    control: str
    benchmark: str
    questions: int
    gain: Gain
    control_gain: Gain
    share: Gain | None = None
    sentence: str = ""

    @classmethod
    def of(cls, found: Explained) -> Self:
        share = None
        if found.share is not None and found.low is not None and found.high is not None:
            share = Gain(value=found.share, ci95=(found.low, found.high))
        return cls(
            arm=found.arm,
            control=found.control,
            benchmark=found.benchmark,
            questions=found.questions,
            gain=Gain.of(found.gain),
            control_gain=Gain.of(found.control_gain),
            share=share,
            sentence=found.sentence,
        )


class Arms(Versioned):
    """The content of arms.json; ``comparisons`` are as ``harness compare --json`` prints them."""

    folder: str
    arms: tuple[Row, ...]
    comparisons: tuple[dict[str, Any], ...]
    controls: tuple[ExplainedRow, ...] = ()


class WinnerControls(Versioned):
    """The content of controls.json: what the controls of a sweep's winner explain."""

    controls: tuple[ExplainedRow, ...]
