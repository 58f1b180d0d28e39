"""The stages of training, a table each, and what they have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal, Self

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from harness.config.choice import AdvantageChoice, Choice, LossChoice, Named
from harness.config.distil import OnPolicyDistill
from harness.config.model import Policy, check_teacher
from harness.config.sampling import Drawing, refuse_truncation
from harness.config.table import Table
from harness.config.terms import (
    Bounds,
    CorrectionEntry,
    EntropyBonus,
    EntropyEntry,
    Epsilon,
    EpsilonEntry,
    Reference,
    RewardEntry,
    RewardTerm,
    with_files,
)
from harness.config.training import StageName, Training

SURROGATES = ("clip", "cispo")
"""What ``surrogate`` accepted."""


class GRPO(Training):
    """Group relative policy optimisation (DeepSeek-R1, eq. 1-3) and its published variants."""

    kind: Literal["grpo"] = "grpo"
    """What the stage does."""
    name: StageName = "grpo"
    """The stage's name: how ``[sweep.space]`` and ``-s`` address it."""
    steps: int = Field(200, ge=1)
    """Training steps; each samples one batch of completions."""
    completions_per_step: int = Field(256, ge=2)
    """Completions sampled per step, held fixed when ``group_size`` varies."""
    group_size: int = Field(8, ge=2)
    """Completions per prompt (G)."""
    epsilon: EpsilonEntry = Epsilon()
    """The clip range; a number sets both sides."""
    beta: float = Field(0.0, ge=0.0)
    """The weight of the KL penalty; 0 needs no reference policy."""
    kl_estimator: Literal["k1", "k2", "k3"] = "k3"
    """Schulman's estimators of KL(policy || reference) per token."""
    kl_unbiased: bool = False
    """Multiply the KL estimate by the importance ratio, which makes its gradient unbiased (TRL's default)."""
    reference: Reference = Reference()
    """How the reference policy follows the policy."""
    learning_rate: float = Field(1e-6, gt=0.0)
    """AdamW's peak learning rate."""
    epochs: int = Field(1, ge=1)
    """Optimisation passes over each batch (mu)."""
    minibatches: int = Field(1, ge=1)
    """Optimiser steps per pass; groups are never split between minibatches."""
    aggregation: Literal["grpo", "bnpo", "dr_grpo", "dapo"] = "grpo"
    """How token losses become one number: TRL's loss types of the same names."""
    ratio: Literal["token", "sequence"] = "token"
    """The importance ratio's level ("sequence" is GSPO)."""
    loss: LossChoice = Choice(kind="clip")
    """How a token's loss follows from its ratio and advantage: "clip" is PPO's clipped ratio, "cispo" weighs
    log-probabilities by the ratio, cut at 1 + epsilon.high; "sapo", "gmpo", "vespo", "luspo", "gspo_token",
    "dppo", "clip_cov", "kl_cov", or one of your own. A name, or a table of ``kind`` and the loss's own
    settings. ``surrogate`` is an earlier name of this key."""
    delta: float | None = Field(None, gt=1.0)
    """The dual clip: a bound on the ratio where the advantage is negative; off by default."""
    sampler_correction: CorrectionEntry | None = None
    """Weigh losses by the ratio of trainer's to sampler's probabilities, within bounds. A number c is
    truncated importance sampling, min(ratio, c) by token; a table says level, bounds and what is outside."""
    sampler_mask: Bounds | None = None
    """Leave out completions whose geometric mean of trainer / sampler ratios lies outside of these bounds."""
    probe_limit: float | None = Field(None, gt=0.0)
    """The mean difference of trainer's and sampler's log-probabilities of a fixed text, in nats per token, at
    which the run stops after a sync. By default what rounding explains: 0.001 in float32, 0.2 in bfloat16."""
    rollout_ahead: int = Field(0, ge=0)
    """While a step is learned, the completions of so many later ones are sampled: no token is learned from
    more than so many updates after the weights that drew it. With ``policy.servers`` new weights reach
    completions half-way; elsewhere each is drawn by the policy from before the update, and 1 is the most."""
    entropy_bonus: EntropyEntry = EntropyBonus()
    """The weight of the policy's mean entropy per token, which the loss rewards: a number, or a table with a
    target entropy that the weight is to hold."""
    advantage: AdvantageChoice = Choice(kind="group")
    """How rewards become advantages: "group" by the four settings below, "opo" (a baseline weighed by
    length), "reinforce_plus_plus", "pass_at_k", "length_aware" (by those four too), or one of your own. A
    name, or a table of ``kind`` and its own settings."""
    baseline: Literal["mean", "leave_one_out"] = "mean"
    """What a reward is compared with: its group's mean, or the mean of the others in its group (RLOO)."""
    scale_rewards: Literal["group", "batch", "none"] = "group"
    """What the centred reward is divided by."""
    std_ddof: Literal[0, 1] = 1
    """Delta degrees of freedom of that standard deviation (TRL: 1)."""
    std_epsilon: float = Field(1e-4, ge=0.0)
    """Added to that standard deviation (TRL: 1e-4)."""
    mask_truncated: bool = False
    """Leave completions that the length limit cut out of the loss."""
    overlong_buffer: int = Field(0, ge=0)
    """The last tokens before ``max_tokens`` over which the reward "overlong" falls from 0 to -1 (DAPO)."""
    refill_rounds: int = Field(0, ge=0)
    """Dynamic sampling: groups with equal rewards are replaced, in at most so many extra rounds a step."""
    temperature: float = Field(1.0, gt=0.0)
    """The sampling temperature; the trainer divides logits by it too."""
    rewards: dict[str, RewardEntry] = {"accuracy": 1.0}
    """The reward mix: the names of reward functions and their weights, or tables of how they count. One of
    your own is named "file.py:function" or "module:function", or goes by any name with ``function``."""

    @model_validator(mode="before")
    @classmethod
    def _earlier_name_of_loss(cls, raw: object) -> object:
        """``surrogate``, "clip" or "cispo", is what ``loss`` was called before there were more."""
        if not isinstance(raw, dict) or "surrogate" not in raw:
            return raw
        rest = {key: value for key, value in raw.items() if key != "surrogate"}
        kind = raw["surrogate"]
        if kind not in SURROGATES:
            raise ValueError(f"surrogate: accepted: {', '.join(SURROGATES)}; for other losses set loss")
        if rest.get("loss", kind) not in SURROGATES:
            raise ValueError("surrogate has no effect with loss: leave it out")
        return rest | {"loss": kind}

    @field_validator("rewards")
    @classmethod
    def _whole_paths(cls, rewards: dict[str, RewardEntry]) -> dict[str, RewardEntry]:
        return with_files(rewards)

    _whole_distribution = model_validator(mode="before")(refuse_truncation)

    @model_validator(mode="after")
    def _runs(self) -> GRPO:
        if self.completions_per_step % self.group_size:
            raise ValueError(
                f"completions_per_step ({self.completions_per_step}) must be a multiple of "
                f"group_size ({self.group_size})"
            )
        groups = self.completions_per_step // self.group_size
        if groups % self.minibatches:
            raise ValueError(f"minibatches ({self.minibatches}) must divide the {groups} groups of a step")
        if not self.rewards:
            raise ValueError("rewards must name at least one reward function")
        if self.rollout_ahead and self.sampler_correction is None:
            raise ValueError(
                "rollout_ahead needs sampler_correction (for example 2.0), because its samples come from "
                "older weights"
            )
        if self.rollout_ahead > 1 and self.refill_rounds:
            raise ValueError(
                f"rollout_ahead ({self.rollout_ahead}) must be 0 or 1 with refill_rounds: otherwise the "
                "replacement prompts would depend on the order in which steps are sampled"
            )
        if self.delta is not None and self.delta <= 1 + self.epsilon.high:
            raise ValueError(f"delta ({self.delta}) must be above 1 + epsilon.high ({1 + self.epsilon.high})")
        if self.delta is not None and self.loss.kind == "cispo":
            raise ValueError("delta has no effect with loss = 'cispo': leave one of them out")
        if self.overlong_buffer >= self.max_tokens:
            raise ValueError(f"overlong_buffer must be below max_tokens ({self.max_tokens})")
        overlong = RewardTerm.of(self.rewards.get("overlong", 0.0))
        if overlong.counts and not self.overlong_buffer:
            raise ValueError("rewards.overlong needs overlong_buffer (tokens before max_tokens)")
        return self


class SFT(Training):
    """Supervised fine-tuning on responses: a cold start, or the second half of distillation."""

    kind: Literal["sft"] = "sft"
    """What the stage does."""
    name: StageName = "sft"
    """The stage's name: how ``[sweep.space]`` and ``-s`` address it."""
    data: str
    """What is learned: an earlier "reject" stage by name; a file (.jsonl, .parquet, .csv, .json) or
    "hf:OWNER/NAME@REVISION:split" of messages, ShareGPT conversations, prompts with completions or texts,
    or a part of it ("mine.jsonl[:800]"); or "tiny-traces" (flawless ones)."""
    skip_broken: bool = False
    """Leave out broken rows of the file, and say how many, instead of refusing it."""
    learn: Literal["all", "last"] = "all"
    """Of conversations: every turn of the assistant, or the last one alone."""
    max_length: int = Field(0, ge=0)
    """The longest example, in tokens; 0: the model's positions."""
    too_long: Literal["refuse", "cut", "leave_out"] = "refuse"
    """Of longer examples: refuse the data, cut off their ends, or leave them out; how many is told."""
    batch_size: int = Field(64, ge=1)
    """Responses per step."""
    schedule: Literal["constant", "linear", "cosine"] = "cosine"
    """The learning rate after warm-up: constant, or falling to 0 at the stage's last step."""
    max_tokens: int = Field(1024, ge=1)
    """The longest completion of a dev evaluation; longer responses in the data are trained on as they are."""
    temperature: float = Field(1.0, gt=0.0)
    """The sampling temperature of dev evaluations."""


class Pretrain(SFT):
    """Next-token training on text, every token of it: continued pretraining before anything else."""

    kind: Literal["pretrain"] = "pretrain"  # type: ignore[assignment]
    """What the stage does."""
    name: StageName = "pretrain"
    """The stage's name: how ``[sweep.space]`` and ``-s`` address it."""
    data: str
    """A JSONL file of texts, a line each: {"text"}; or "tiny-traces"."""
    sequence_length: int = Field(512, ge=2)
    """Texts are joined, an end-of-sequence token after each, and cut into pieces of so many tokens."""

    @model_validator(mode="after")
    def _joined(self) -> Pretrain:
        for key in ("learn", "max_length", "too_long"):
            if getattr(self, key) != type(self).model_fields[key].default:
                raise ValueError(f"{key} has no effect: texts are packed into sequences of sequence_length")
        return self


class Answers(Drawing):
    """How answers are sampled, and which of them are kept."""

    data: list[str] = []
    """Questions, as ``task:split[a:b]``; by default ``data.train``."""
    samples: int = Field(4, ge=1)
    """Answers per question."""
    temperature: float = Field(1.0, gt=0.0)
    """The sampling temperature."""
    top_p: float = Field(1.0, gt=0.0, le=1.0)
    """Nucleus sampling's probability mass."""
    max_tokens: int = Field(1024, ge=1)
    """The longest response, in tokens; what the limit cuts is never kept."""
    min_tokens: int = Field(1, ge=1)
    """The shortest response that is kept."""
    keep: dict[Named, float] = {
        "accuracy": 1.0,
        "format": 1.0,
        "language": 0.95,
        "repetition": -0.2,
    }
    """Reward functions and the least value of each with which a response is kept."""
    judge_rubric: str = ""
    """What "judge" among them scores by, in a sentence or two; it sees only what passes everything else."""
    per_question: int = Field(1, ge=1)
    """How many different responses to one question are kept at most."""

    @field_validator("data", mode="before", json_schema_input_type=str | list[str])
    @classmethod
    def _one_or_many(cls, value: object) -> object:
        return [value] if isinstance(value, str) else value

    @model_validator(mode="after")
    def _judged(self) -> Self:
        if self.judge_rubric and "judge" not in self.keep:
            raise ValueError('judge_rubric has no effect where keep does not name "judge"')
        return self


class Reject(Answers):
    """Rejection sampling: answers sampled from a policy, of which only the good ones become a data set."""

    kind: Literal["reject"] = "reject"
    """What the stage does."""
    name: StageName = "reject"
    """The stage's name: how a later "sft" stage asks for its data."""
    teacher: Policy | None = None
    """Who answers; by default the policy in training, as it is then. Another one makes this distillation."""

    @model_validator(mode="after")
    def _teacher_answers(self) -> Reject:
        if self.teacher is not None:
            check_teacher(self.teacher)
        return self

    @property
    def steps(self) -> int:
        """It trains nothing."""
        return 0


class Distill(SFT):
    """A teacher's good answers, and the policy fine-tuned on them: "reject" and "sft" in one.

    Answers pass as text, so teacher and student may have different tokenizers.
    """

    kind: Literal["distill"] = "distill"  # type: ignore[assignment]
    """What the stage does."""
    name: StageName = "distill"
    """The stage's name: how ``[sweep.space]`` and ``-s`` address it."""
    data: str = ""
    """A file of recorded answers, as "sft" stages take it, in place of a teacher."""
    teacher: Policy | None = None
    """Who answers."""
    answers: Answers = Answers()
    """What the teacher is asked, and which answers are learned from."""

    @model_validator(mode="after")
    def _one_source(self) -> Distill:
        if (self.teacher is None) == (not self.data):
            raise ValueError("set either teacher or data (a file of recorded answers)")
        if self.teacher is not None:
            check_teacher(self.teacher)
            if self.skip_broken:
                raise ValueError("skip_broken has no effect with a teacher: it applies to the rows of a file")
            if self.learn != "all":
                raise ValueError("learn has no effect with a teacher, whose answers have a single turn")
        elif self.answers != Answers():
            raise ValueError("answers has no effect with data: the answers are recorded")
        return self

    def parts(self) -> list[Reject | SFT]:
        """The stages that this one is."""
        tuning = self.model_dump(exclude={"kind", "teacher", "answers"})
        if self.teacher is None:
            return [SFT(**tuning)]
        answers = f"{self.name}-answers"
        asked = Reject(name=answers, teacher=self.teacher, **self.answers.model_dump())
        return [asked, SFT(**{**tuning, "data": answers})]


class Evaluate(Table):
    """The benchmarks of ``[eval]``, or others, between two stages: RUN/evals/NAME."""

    kind: Literal["evaluate"] = "evaluate"
    """What the stage does."""
    name: StageName = "evaluate"
    """The stage's name, and the evaluation's."""
    benchmarks: list[str] = []
    """Task names; by default those of ``[eval]``."""

    @property
    def steps(self) -> int:
        """It trains nothing."""
        return 0


def _kind_of_stage(value: object) -> str:
    kind = value.get("kind", "grpo") if isinstance(value, dict) else getattr(value, "kind", None)
    return f"#{kind}"


Stage = Annotated[
    Annotated[GRPO, Tag("#grpo")]
    | Annotated[SFT, Tag("#sft")]
    | Annotated[Pretrain, Tag("#pretrain")]
    | Annotated[Reject, Tag("#reject")]
    | Annotated[Distill, Tag("#distill")]
    | Annotated[OnPolicyDistill, Tag("#on_policy_distill")]
    | Annotated[Evaluate, Tag("#evaluate")],
    Discriminator(_kind_of_stage),
]


STAGES: dict[str, type[Table]] = {
    "#grpo": GRPO,
    "#sft": SFT,
    "#pretrain": Pretrain,
    "#reject": Reject,
    "#distill": Distill,
    "#on_policy_distill": OnPolicyDistill,
    "#evaluate": Evaluate,
}


def are_sampled(stages: Sequence[Stage], dev: bool) -> bool:
    """Whether the policy is sampled while it trains: by a stage, or on ``dev`` questions."""
    return any(
        isinstance(stage, GRPO | OnPolicyDistill)
        or (isinstance(stage, Reject) and stage.teacher is None)
        or (isinstance(stage, SFT) and dev)
        for stage in parts(stages)
    )


def parts(stages: Sequence[Stage]) -> list[GRPO | SFT | Reject | OnPolicyDistill | Evaluate]:
    """The stages with each "distill" stage taken apart: these are what runs and what costs."""
    return [part for stage in stages for part in (stage.parts() if isinstance(stage, Distill) else [stage])]
