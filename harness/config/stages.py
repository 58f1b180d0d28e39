"""The stages of training, a table each, and what they have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from harness.config.policy import Policy
from harness.config.table import Table


class Epsilon(Table):
    """The clip range of the ratio: [1 - low, 1 + high]."""

    low: float = Field(0.2, ge=0.0, lt=1.0)
    """How far the ratio may fall."""
    high: float = Field(0.2, ge=0.0)
    """How far the ratio may rise (DAPO's clip-higher sets 0.28)."""


class Reference(Table):
    """The reference policy that the KL penalty pulls towards."""

    refresh: Literal["never", "every", "ema"] = "never"
    """Never; a copy of the policy, or a step of its moving average, every ``steps`` steps."""
    steps: int = Field(64, ge=1)
    """The interval, in training steps, of "every" and "ema"."""
    decay: float = Field(0.6, gt=0.0, lt=1.0)
    """For "ema": reference <- decay * reference + (1 - decay) * policy."""


class RewardTerm(Table):
    """How one reward function counts in the mix; a bare number is its weight."""

    weight: float
    """What its value is multiplied by; 0 still measures it."""
    when: str = ""
    """Counts only for completions to which this other function of the mix gives more than 0."""
    normalize: bool = False
    """Its values are standardised within their group before they are weighed, whatever their range (GDPO)."""
    final: float | None = None
    """The weight moves linearly from ``weight`` at the first step to this one at step ``steps``."""
    steps: int = Field(100, ge=2)
    """See ``final``."""
    model: str = ""
    """For "reward_model": a folder or hub id of a sequence classifier with one output."""
    rubric: str = ""
    """For "judge": what it judges by, in a sentence or two."""
    pairwise: bool = False
    """For "judge": it says which of two responses of a group is better, in place of scoring each."""
    requests: int = Field(0, ge=0)
    """For "judge": how many times it is asked at most in one launch; 0: as often as needed."""

    @classmethod
    def of(cls, entry: float | RewardTerm) -> RewardTerm:
        return entry if isinstance(entry, RewardTerm) else cls(weight=entry)

    @property
    def counts(self) -> bool:
        return self.weight != 0 or bool(self.final)

    def weight_at(self, step: int) -> float:
        """The weight at training step ``step``, counted from 1."""
        if self.final is None:
            return self.weight
        return self.weight + (self.final - self.weight) * min(1.0, (step - 1) / (self.steps - 1))


def _kind_of_entry(value: object) -> str:
    return "#table" if isinstance(value, dict | RewardTerm) else "#number"


# The tags keep an error to the kind that was meant; ``_dotted`` drops them from its key.


RewardEntry = Annotated[
    Annotated[float, Tag("#number")] | Annotated[RewardTerm, Tag("#table")], Discriminator(_kind_of_entry)
]


class GRPO(Table):
    """Group relative policy optimisation (DeepSeek-R1, eq. 1-3) and its published variants."""

    kind: Literal["grpo"] = "grpo"
    name: str = "grpo"
    """The stage's name: how ``[sweep.space]`` and ``-s`` address it."""
    steps: int = Field(200, ge=1)
    """Training steps; each samples one batch of completions."""
    completions_per_step: int = Field(256, ge=2)
    """Completions sampled per step, held fixed when ``group_size`` varies."""
    group_size: int = Field(8, ge=2)
    """Completions per prompt (G)."""
    epsilon: Epsilon = Epsilon()
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
    warmup_steps: int = Field(0, ge=0)
    """Steps of linear warm-up, then ``schedule``."""
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    """The learning rate after warm-up: constant, or falling to 0 at the stage's last step."""
    weight_decay: float = Field(0.0, ge=0.0)
    """AdamW's decoupled weight decay."""
    max_grad_norm: float = Field(1.0, gt=0.0)
    """Gradients are clipped to this global norm."""
    epochs: int = Field(1, ge=1)
    """Optimisation passes over each batch (mu)."""
    minibatches: int = Field(1, ge=1)
    """Optimiser steps per pass; groups are never split between minibatches."""
    aggregation: Literal["grpo", "bnpo", "dr_grpo", "dapo"] = "grpo"
    """How token losses become one number: TRL's loss types of the same names."""
    ratio: Literal["token", "sequence"] = "token"
    """The importance ratio's level ("sequence" is GSPO)."""
    surrogate: Literal["clip", "cispo"] = "clip"
    """PPO's clipped ratio, or CISPO: log-probabilities weighted by the ratio, cut at 1 + epsilon.high."""
    delta: float | None = Field(None, gt=1.0)
    """The dual clip: a bound on the ratio where the advantage is negative; off by default."""
    sampler_correction: float | None = Field(None, gt=0.0)
    """Truncated importance sampling: token losses are weighted by min(trainer / sampler ratio, this)."""
    rollout_ahead: Literal[0, 1] = 0
    """1: while a step is learned, the next one's completions are sampled, by the policy from before it."""
    entropy_bonus: float = Field(0.0, ge=0.0)
    """The weight of the policy's mean entropy per token, which the loss rewards."""
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
    max_tokens: int = Field(1024, ge=1)
    """The longest completion, in tokens."""
    temperature: float = Field(1.0, gt=0.0)
    """The sampling temperature; the trainer divides logits by it too."""
    micro_batch_tokens: int = Field(16384, ge=1)
    """Tokens (prompt, completion and padding) per forward and backward pass."""
    rewards: dict[str, RewardEntry] = {"accuracy": 1.0}
    """The reward mix: the names of reward functions and their weights, or tables of how they count."""
    eval_every: int = Field(0, ge=0)
    """Evaluate on the dev questions every so many steps and at the end; 0: at the end only."""
    checkpoint_every: int = Field(50, ge=1)
    """Write a checkpoint every so many steps and at the end."""
    keep_checkpoints: int = Field(2, ge=1)
    """How many of the newest checkpoints stay on disk."""
    keep_best: bool = False
    """Also keep the checkpoint of the best dev evaluation; checkpoints/best leads to it."""

    @field_validator("epsilon", mode="before")
    @classmethod
    def _one_epsilon(cls, value: object) -> object:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return {"low": value, "high": value}
        return value

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
            raise ValueError("rollout_ahead needs sampler_correction (2.0, say): its samples are a step old")
        if self.delta is not None and self.delta <= 1 + self.epsilon.high:
            raise ValueError(f"delta ({self.delta}) must be above 1 + epsilon.high ({1 + self.epsilon.high})")
        if self.delta is not None and self.surrogate == "cispo":
            raise ValueError("delta has no effect with surrogate = 'cispo': leave one of them out")
        if self.overlong_buffer >= self.max_tokens:
            raise ValueError(f"overlong_buffer must be below max_tokens ({self.max_tokens})")
        overlong = RewardTerm.of(self.rewards.get("overlong", 0.0))
        if overlong.counts and not self.overlong_buffer:
            raise ValueError("rewards.overlong needs overlong_buffer (tokens before max_tokens)")
        return self


class SFT(Table):
    """Supervised fine-tuning on responses: a cold start, or the second half of distillation."""

    kind: Literal["sft"] = "sft"
    name: str = "sft"
    """The stage's name: how ``[sweep.space]`` and ``-s`` address it."""
    data: str
    """The responses: an earlier "reject" stage by name, a JSONL file, or "tiny-traces" (flawless ones)."""
    skip_broken: bool = False
    """Leave out broken lines of the file, and say how many, instead of refusing it."""
    steps: int = Field(100, ge=1)
    """Optimiser steps."""
    batch_size: int = Field(64, ge=1)
    """Responses per step."""
    learning_rate: float = Field(1e-5, gt=0.0)
    """AdamW's peak learning rate."""
    warmup_steps: int = Field(0, ge=0)
    """Steps of linear warm-up, then ``schedule``."""
    schedule: Literal["constant", "linear", "cosine"] = "cosine"
    """The learning rate after warm-up: constant, or falling to 0 at the stage's last step."""
    weight_decay: float = Field(0.0, ge=0.0)
    """AdamW's decoupled weight decay."""
    max_grad_norm: float = Field(1.0, gt=0.0)
    """Gradients are clipped to this global norm."""
    micro_batch_tokens: int = Field(16384, ge=1)
    """Tokens (prompt, response and padding) per forward and backward pass."""
    max_tokens: int = Field(1024, ge=1)
    """The longest completion of a dev evaluation; longer responses in the data are trained on as they are."""
    temperature: float = Field(1.0, gt=0.0)
    """The sampling temperature of dev evaluations."""
    eval_every: int = Field(0, ge=0)
    """Evaluate on the dev questions every so many steps and at the end; 0: at the end only."""
    checkpoint_every: int = Field(50, ge=1)
    """Write a checkpoint every so many steps and at the end."""
    keep_checkpoints: int = Field(2, ge=1)
    """How many of the newest checkpoints stay on disk."""
    keep_best: bool = False
    """Also keep the checkpoint of the best dev evaluation; checkpoints/best leads to it."""


class Pretrain(SFT):
    """Next-token training on text, every token of it: continued pretraining before anything else."""

    kind: Literal["pretrain"] = "pretrain"  # type: ignore[assignment]
    name: str = "pretrain"
    """The stage's name: how ``[sweep.space]`` and ``-s`` address it."""
    data: str
    """A JSONL file of texts, a line each: {"text"}; or "tiny-traces"."""
    sequence_length: int = Field(512, ge=2)
    """Texts are joined, an end-of-sequence token after each, and cut into pieces of so many tokens."""


class Answers(Table):
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
    keep: dict[str, float] = {"accuracy": 1.0, "format": 1.0, "language": 0.95, "repetition": -0.2}
    """Reward functions and the least value of each with which a response is kept."""
    judge_rubric: str = ""
    """What "judge" among them scores by, in a sentence or two; it sees only what passes everything else."""
    per_question: int = Field(1, ge=1)
    """How many different responses to one question are kept at most."""

    @field_validator("data", mode="before")
    @classmethod
    def _one_or_many(cls, value: object) -> object:
        return [value] if isinstance(value, str) else value


class Reject(Answers):
    """Rejection sampling: answers sampled from a policy, of which only the good ones become a data set."""

    kind: Literal["reject"] = "reject"
    name: str = "reject"
    """The stage's name: how a later "sft" stage asks for its data."""
    teacher: Policy | None = None
    """Who answers; by default the policy in training, as it is then. Another one makes this distillation."""

    @property
    def steps(self) -> int:
        """It trains nothing."""
        return 0


class Distill(SFT):
    """A teacher's good answers, and the policy fine-tuned on them: "reject" and "sft" in one.

    Answers pass as text, so teacher and student may have different tokenizers.
    """

    kind: Literal["distill"] = "distill"  # type: ignore[assignment]
    name: str = "distill"
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
            raise ValueError("name either a teacher or data, a file of recorded answers")
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
    name: str = "evaluate"
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
    | Annotated[Evaluate, Tag("#evaluate")],
    Discriminator(_kind_of_stage),
]


STAGES: dict[str, type[Table]] = {
    "#grpo": GRPO,
    "#sft": SFT,
    "#pretrain": Pretrain,
    "#reject": Reject,
    "#distill": Distill,
    "#evaluate": Evaluate,
}


def parts(stages: Sequence[Stage]) -> list[GRPO | SFT | Reject | Evaluate]:
    """The stages with each "distill" stage taken apart: these are what runs and what costs."""
    return [part for stage in stages for part in (stage.parts() if isinstance(stage, Distill) else [stage])]
