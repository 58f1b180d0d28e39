"""The experiment schema: one pydantic model per TOML table, a docstring under each field.

An experiment is read from one or more TOML files laid over each other, then ``-s key=value`` overrides.
Unknown keys fail, and so do combinations that cannot run: before any model is loaded.
"""

from harness.config.distil import OnPolicyDistill
from harness.config.experiment import Arm, Budget, Compare, Data, Eval, Experiment, Tracking
from harness.config.load import dump_toml, read_experiment, set_key, validate
from harness.config.model import LoRA, Policy
from harness.config.server import Server
from harness.config.stages import (
    GRPO,
    SFT,
    Answers,
    Distill,
    Evaluate,
    Pretrain,
    Reject,
    Stage,
    are_sampled,
    parts,
)
from harness.config.sweep import Sweep, confirmed_stage
from harness.config.task_file import read_tasks
from harness.config.tasks import OwnTask, tasks_of
from harness.config.terms import Bounds, EntropyBonus, Epsilon, Reference, RewardTerm, SamplerCorrection
from harness.config.training import Training

__all__ = [
    "GRPO",
    "SFT",
    "Answers",
    "Arm",
    "Bounds",
    "Budget",
    "Compare",
    "Data",
    "Distill",
    "EntropyBonus",
    "Epsilon",
    "Eval",
    "Evaluate",
    "Experiment",
    "LoRA",
    "OnPolicyDistill",
    "OwnTask",
    "Policy",
    "Pretrain",
    "Reference",
    "Reject",
    "RewardTerm",
    "SamplerCorrection",
    "Server",
    "Stage",
    "Sweep",
    "Tracking",
    "Training",
    "are_sampled",
    "confirmed_stage",
    "dump_toml",
    "parts",
    "read_experiment",
    "read_tasks",
    "set_key",
    "tasks_of",
    "validate",
]
