"""The experiment schema: one pydantic model per TOML table, a docstring under each field.

An experiment is read from one or more TOML files laid over each other, then ``-s key=value`` overrides.
Unknown keys fail, and so do combinations that cannot run: before any model is loaded.
"""

from harness.config.experiment import Arm, Budget, Compare, Data, Eval, Experiment, Tracking
from harness.config.policy import LoRA, Policy
from harness.config.reading import dump_toml, read_experiment, set_key, validate
from harness.config.stages import (
    GRPO,
    SFT,
    Answers,
    Distill,
    Epsilon,
    Evaluate,
    Pretrain,
    Reference,
    Reject,
    RewardTerm,
    Stage,
    parts,
)
from harness.config.sweep import Sweep

__all__ = [
    "GRPO",
    "SFT",
    "Answers",
    "Arm",
    "Budget",
    "Compare",
    "Data",
    "Distill",
    "Epsilon",
    "Eval",
    "Evaluate",
    "Experiment",
    "LoRA",
    "Policy",
    "Pretrain",
    "Reference",
    "Reject",
    "RewardTerm",
    "Stage",
    "Sweep",
    "Tracking",
    "dump_toml",
    "parts",
    "read_experiment",
    "set_key",
    "validate",
]
