"""The stage that distils on the student's own samples."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from harness.config.model import Policy, check_teacher
from harness.config.sampling import refuse_truncation
from harness.config.terms import RewardEntry, RewardTerm, with_files
from harness.config.training import StageName, Training


class OnPolicyDistill(Training):
    """On-policy distillation: the policy samples, and a teacher says how likely each of its tokens was.

    The teacher must have the policy's own tokenizer.
    """

    kind: Literal["on_policy_distill"] = "on_policy_distill"
    """What the stage does."""
    name: StageName = "on_policy_distill"
    """The stage's name: how ``[sweep.space]`` and ``-s`` address it."""
    teacher: Policy
    """Who scores the policy's tokens: a model that is loaded here, or a vLLM server that tells the
    log-probabilities of a prompt."""
    steps: int = Field(200, ge=1)
    """Training steps; each samples one batch of completions and makes one update of it."""
    completions_per_step: int = Field(256, ge=2)
    """Completions per step, those of ``data`` included."""
    group_size: int = Field(4, ge=2)
    """Completions per prompt."""
    divergence: Literal["sampled", "jsd"] = "sampled"
    """What of the teacher is learned. "sampled": the reverse KL by the tokens that were sampled, the
    advantage of one being log(teacher / policy). "jsd": the generalised Jensen-Shannon divergence of the two
    distributions over the vocabulary (GKD)."""
    jsd_beta: float = Field(0.5, ge=0.0, le=1.0)
    """For "jsd": 0 is KL(teacher || policy), 1 is KL(policy || teacher), as TRL has it."""
    teacher_top_k: int = Field(0, ge=0)
    """For "jsd": the teacher's likeliest tokens, and all others as one; 0: the whole vocabulary, for which
    the teacher must be loaded here."""
    weight: float = Field(1.0, gt=0.0)
    """What the distillation is multiplied by where it is added to the rewards' advantage."""
    rewards: dict[str, RewardEntry] = {"accuracy": 0.0}
    """Rewards that are learned besides, as in a "grpo" stage; with a weight of 0 one is only measured."""
    scale_rewards: Literal["group", "batch", "none"] = "group"
    """What a reward, less its group's mean, is divided by."""
    student_share: float = Field(1.0, gt=0.0, le=1.0)
    """For "jsd": the share of completions that the policy samples; the others come from ``data`` (GKD's
    lambda)."""
    data: str = ""
    """For a ``student_share`` below 1: examples, as an "sft" stage takes them."""
    mask_truncated: bool = False
    """Leave completions that the length limit cut out of the loss."""
    learning_rate: float = Field(1e-6, gt=0.0)
    """AdamW's peak learning rate."""
    temperature: float = Field(1.0, gt=0.0)
    """The sampling temperature; both models' logits are divided by it too."""

    _whole_distribution = model_validator(mode="before")(refuse_truncation)

    @field_validator("rewards")
    @classmethod
    def _whole_paths(cls, rewards: dict[str, RewardEntry]) -> dict[str, RewardEntry]:
        return with_files(rewards)

    @model_validator(mode="after")
    def _runs(self) -> OnPolicyDistill:
        check_teacher(self.teacher)
        for key in ("template", "engine", "vllm_memory"):
            if getattr(self.teacher, key) != Policy.model_fields[key].default:
                raise ValueError(
                    f"teacher.{key} has no effect: the teacher scores the policy's prompts and tokens"
                )
        if not self.sampled or self.sampled % self.group_size:
            raise ValueError(
                f"the number of completions sampled per step, {self.sampled} (completions_per_step x "
                f"student_share), must be a multiple of group_size ({self.group_size})"
            )
        if not self.rewards:
            raise ValueError(
                "rewards must name at least one reward function; with weight 0 it is only logged"
            )
        if RewardTerm.of(self.rewards.get("overlong", 0.0)).counts:
            raise ValueError(
                'rewards.overlong is only available in "grpo" stages, which have overlong_buffer'
            )
        if self.teacher.server is not None:
            self._check_server()
        if self.divergence == "sampled":
            for key in ("jsd_beta", "teacher_top_k", "student_share", "data"):
                if getattr(self, key) != type(self).model_fields[key].default:
                    raise ValueError(f'{key} has no effect with divergence = "sampled": leave it out')
        if (self.student_share < 1) != bool(self.data):
            raise ValueError(
                "student_share below 1 and data go together: data provides the other completions"
            )
        return self

    def _check_server(self) -> None:
        assert self.teacher.server is not None
        if self.teacher.server.api == "chat":
            raise ValueError('teacher.server.api: scoring tokens needs "completions"')
        if self.divergence == "jsd" and not self.teacher_top_k:
            raise ValueError("teacher_top_k: a server returns only the likeliest tokens; set how many")
        if self.temperature != 1:
            raise ValueError(
                "temperature: a server returns log-probabilities at temperature 1; accepted: 1.0"
            )

    @property
    def sampled(self) -> int:
        """Completions of a step that the policy samples."""
        return round(self.completions_per_step * self.student_share)

    @property
    def recorded(self) -> int:
        """Completions of a step that come from ``data``."""
        return self.completions_per_step - self.sampled
