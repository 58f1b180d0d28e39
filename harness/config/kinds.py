"""What an experiment can name, by kind; built-in things are a row each, imported when they are asked for.

Tasks, graders and prompt templates are named in rooms below: evals/tasks/registry.py,
evals/graders/registry.py, evals/templates.py. docs/extending.md has an example of every kind.
"""

from __future__ import annotations

from evals.base.registry import Registry

REWARDS = Registry(
    "reward",
    "harness.rewards",
    {
        "accuracy": "harness.rewards.accuracy:accuracy",
        "format": "harness.rewards.format:format",
        "answered": "harness.rewards.answered:answered",
        "length": "harness.rewards.length:length",
        "language": "harness.rewards.language:language",
        "overlong": "harness.rewards.overlong:overlong",
        "cosine": "harness.rewards.cosine:cosine",
        "repetition": "harness.rewards.repetition:repetition",
        "consistency": "harness.rewards.consistency:consistency",
        "random": "harness.rewards.random:random",
        "reward_model": "harness.rewards.reward_model:RewardModel",
        "judge": "harness.rewards.judge:JudgeReward",
    },
)
"""Contract: harness/rewards/registry.py."""

LOSSES = Registry(
    "loss",
    "harness.losses",
    {
        "clip": "harness.train.grpo.losses.clip:clip",
        "cispo": "harness.train.grpo.losses.cispo:cispo",
        "sapo": "harness.train.grpo.losses.sapo:sapo",
        "gmpo": "harness.train.grpo.losses.gmpo:gmpo",
        "vespo": "harness.train.grpo.losses.vespo:vespo",
        "luspo": "harness.train.grpo.losses.luspo:luspo",
        "gspo_token": "harness.train.grpo.losses.gspo_token:gspo_token",
        "dppo": "harness.train.grpo.losses.dppo:dppo",
        "clip_cov": "harness.train.grpo.losses.clip_cov:ClipCov",
        "kl_cov": "harness.train.grpo.losses.kl_cov:KlCov",
    },
)
"""Contract: harness/train/grpo/losses/base.py."""

ADVANTAGES = Registry(
    "advantage",
    "harness.advantages",
    {
        "group": "harness.train.grpo.advantages.group:group",
        "opo": "harness.train.grpo.advantages.opo:opo",
        "reinforce_plus_plus": "harness.train.grpo.advantages.reinforce_plus_plus:reinforce_plus_plus",
        "pass_at_k": "harness.train.grpo.advantages.pass_at_k:pass_at_k",
        "length_aware": "harness.train.grpo.advantages.length_aware:length_aware",
    },
)
"""Contract: harness/train/grpo/advantages/base.py."""

ENGINES = Registry(
    "engine",
    "harness.engines",
    {
        "transformers": "harness.engines.registry:transformers",
        "vllm": "harness.engines.registry:vllm",
    },
)
"""Contract: harness/engines/registry.py."""

EXECUTORS = Registry(
    "executor",
    "harness.executors",
    {
        "local": "harness.sweep.executors.built_in:local",
        "ray": "harness.sweep.executors.built_in:ray",
        "slurm": "harness.sweep.executors.built_in:slurm",
    },
)
"""Contract: harness/sweep/executors/registry.py."""

TRACKERS = Registry(
    "tracker",
    "harness.trackers",
    {
        "tensorboard": "harness.train.sinks.tensorboard:TensorboardSink",
        "trackio": "harness.train.sinks.trackio:TrackioSink",
    },
)
"""Contract: harness/train/sinks/base.py."""
