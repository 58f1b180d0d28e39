"""The experiment schema: one pydantic model per TOML table, a docstring under each field.

An experiment is read from one or more TOML files laid over each other, then ``-s key=value`` overrides.
Unknown keys fail, and so do combinations that cannot run: before any model is loaded.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import tomli_w
from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    field_validator,
    model_validator,
)

from harness.errors import UsageError


class Table(BaseModel):
    """A TOML table: unknown keys are errors, values do not change after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class LoRA(Table):
    """Low-rank adapters: the policy's matrices stay as they are, and small ones beside them are trained."""

    rank: int = Field(16, ge=1)
    """The inner dimension of an adapter."""
    alpha: int = Field(32, ge=1)
    """An adapter's product is multiplied by alpha / rank."""
    targets: Literal["all-linear"] | list[str] = "all-linear"
    """Which matrices are adapted, by the ends of their names ("q_proj"); or all but embeddings and output."""

    @model_validator(mode="after")
    def _some_target(self) -> LoRA:
        if not self.targets:
            raise ValueError("targets must name at least one matrix")
        return self


class Policy(Table):
    """Which model is trained or sampled."""

    model: str
    """A hub id, a folder in Hugging Face format, or "tiny", "tiny-small", "tiny-teacher": pretrained here."""
    revision: str | None = None
    """The hub revision (a commit), when ``model`` is a hub id."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """The dtype of the forward pass; master weights stay float32."""
    engine: Literal["transformers", "vllm"] = "transformers"
    """What samples it in training; vLLM gets the new weights in place after every update."""
    server: str = ""
    """A teacher's: the address, up to /v1, of an OpenAI-compatible server that samples it (`vllm serve`)."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where it runs; "auto" takes a GPU where there is one."""
    template: str = "r1-zero"
    """The prompt template, a name from evals/prompts.py. The tiny policy was pretrained on "tags"."""
    gradient_checkpointing: bool = False
    """Compute activations again in the backward pass: less memory for about a third more time."""
    lora: LoRA | None = None
    """Train adapters instead of the whole model; by default all of it is trained."""


class Data(Table):
    """Which questions train the policy and which ones steer the sweep, as ``task:split[a:b]``."""

    train: list[str]
    """Prompts for training; one specification or a list that is mixed."""
    dev: list[str] = []
    """Questions for pruning and selection: never the benchmarks."""
    dev_samples: int = Field(4, ge=1)
    """Samples per dev question."""

    @field_validator("train", "dev", mode="before")
    @classmethod
    def _one_or_many(cls, value: object) -> object:
        return [value] if isinstance(value, str) else value


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
    """For "judge": what it scores by, in a sentence or two."""
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


class Arm(Table):
    """One way of training the policy, compared with others (see ``Compare``)."""

    stages: list[Stage]
    """What happens to the policy, in order."""
    budget: Budget | None = None
    """What training may cost; by default the experiment's budget."""
    policy: Policy | None = None
    """Another policy than the experiment's: a student of another size, say. It is measured untrained too."""
    space: dict[str, Any] = {}
    """What is tuned, as in ``[sweep.space]``, with the ``tuning_trials`` that every arm has."""


class Compare(Table):
    """Arms of one policy, trained from several seeds and compared: distilled against reinforced, say."""

    seeds: int = Field(3, ge=1)
    """Training seeds of each arm, from the experiment's own seed on."""
    tuning_trials: int = Field(0, ge=0)
    """Settings tried for each arm on the dev questions before its seeds are trained: as many for each."""
    workers: int = Field(1, ge=1)
    """Runs that are trained side by side."""
    arms: dict[Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")], Arm] = Field(min_length=1)
    """The arms by name; the untrained policy, "base", is measured beside those that start from it."""

    @model_validator(mode="after")
    def _arms_are_alike(self) -> Compare:
        for name in self.arms:
            if name == "base" or (name.removesuffix("-base") in self.arms and name.endswith("-base")):
                raise ValueError(f'arms.{name}: "base" is an untrained policy; name the arm otherwise')
        for name, arm in self.arms.items():
            if bool(arm.space) != bool(self.tuning_trials):
                raise ValueError(
                    f"arms.{name}.space: with tuning_trials every arm is tuned, and without it none; "
                    "another arm with more tuning would not be a fair comparison"
                )
        return self


class Eval(Table):
    """What is measured at the end."""

    benchmarks: list[str] = []
    """Task names (``harness eval --help`` lists them)."""
    samples: int | dict[str, int] = 1
    """Samples per question, or per benchmark by name."""
    temperature: float = Field(0.6, ge=0.0)
    """The sampling temperature; 0 is greedy."""
    top_p: float = Field(0.95, gt=0.0, le=1.0)
    """Nucleus sampling's probability mass."""
    max_tokens: int = Field(32768, ge=1)
    """The longest response, in tokens."""
    engine: Literal["transformers", "vllm"] = "transformers"
    """What samples the policy."""
    protocol: str = "experiment"
    """The name that these settings go by in scores.json."""


class Budget(Table):
    """What training may cost: it ends with the first step that reaches ``limit``, whatever ``steps`` say.

    Evaluations never count. Falling learning rates follow the budget where it is the first to end.
    """

    measure: Literal["flops", "tokens", "device_seconds"] = "flops"
    """Model FLOPs; tokens sampled or learned from; or seconds of a device, which no two launches repeat."""
    limit: float = Field(gt=0.0)
    """How much of it, all stages together."""
    teacher: bool = True
    """Whether what a teacher generated counts, or is taken as given."""


Direction = Literal["maximize", "minimize"]


class Sweep(Table):
    """An Optuna study over the experiment's settings."""

    objective: str | Annotated[list[str], Field(min_length=1)] = "dev/pass@1"
    """The metric, as trials report it in metrics.jsonl; or several: the winner is chosen by the first."""
    direction: Direction | list[Direction] = "maximize"
    """Whether more of it is better; for several objectives a list."""
    constraints: dict[str, float] = {}
    """Metric -> the most that it may be. A trial that exceeds one is not chosen; samplers avoid such."""
    trials: int = Field(16, ge=1)
    """The total number of trials of the study, those of earlier launches included."""
    workers: int = Field(1, ge=1)
    """Trials that run side by side."""
    max_device_hours: float | None = Field(None, gt=0.0)
    """When the trials have taken so many hours of a device, those at work end and the winner is confirmed."""
    max_cost: float | None = Field(None, gt=0.0)
    """The same, as a price: it needs ``device_hour_price``."""
    device_hour_price: float | None = Field(None, gt=0.0)
    """What an hour of a device costs, in any currency."""
    executor: Literal["local", "ray"] = "local"
    """What launches trials: processes of this machine, or a Ray cluster (RAY_ADDRESS)."""
    cpus_per_trial: float = Field(1.0, gt=0.0)
    """CPU cores that Ray reserves for a trial; processes of this machine split its cores evenly."""
    gpus_per_trial: float = Field(0.0, ge=0.0)
    """GPUs that Ray reserves for a trial; processes of this machine split its devices evenly."""
    deterministic: bool | None = None
    """Whether the same seed gives the same trials, however fast each is; by default up to two workers."""
    sampler: Literal["tpe", "random", "gp", "nsga2", "cmaes", "qmc", "grid"] = "tpe"
    """Optuna's sampler; "grid" walks every point of a space of choices and steps, in shuffled order."""
    startup_trials: int = Field(4, ge=0)
    """Random trials before TPE, GP and CMA-ES begin to model."""
    pruner: Literal["curve", "median", "halving", "hyperband", "none"] = "curve"
    """What ends hopeless trials early, on dev evaluations only; "curve" judges by its forecast."""
    pruner_warmup: int = Field(0, ge=0)
    """No trial is pruned at or before this step."""
    pruner_startup: int = Field(1, ge=1)
    """No trial is pruned at a step that fewer other trials have reached."""
    pruner_margin: float = Field(0.9, ge=0.0)
    """The margin for noise, in standard errors of what is compared: forecasts ("curve") or evaluations."""
    pruner_reduction: int = Field(3, ge=2)
    """Halving and Hyperband keep the best 1/N at each rung; rungs are that factor of evaluations apart."""
    confirm_seeds: int = Field(2, ge=0)
    """Fresh training seeds on which the winner is trained again before it is believed."""
    confirm_steps: int | None = Field(None, ge=1)
    """Training steps of those runs; by default as in the trials."""
    max_attempts: int = Field(3, ge=1)
    """Launches in a row without a newer checkpoint before a trial counts as failed."""
    hang_minutes: float = Field(30.0, gt=0.0)
    """A run that writes nothing for so long is killed and goes on from its last checkpoint."""
    space: dict[str, Any] = {}
    """Setting (``stage.key``) -> a list of choices, or { low, high, log, step }."""

    @model_validator(mode="after")
    def _objectives(self) -> Sweep:
        if len(set(self.objectives)) < len(self.objectives):
            raise ValueError(f"objective names a metric twice: {', '.join(self.objectives)}")
        if len(self.objectives) != len(self.directions):
            raise ValueError(
                f"direction must be a list of {len(self.objectives)}, one for each objective: "
                f"{', '.join(self.objectives)}"
            )
        if self.sampler == "cmaes" and len(self.objectives) > 1:
            raise ValueError('sampler = "cmaes" knows one objective; for several take tpe, gp or nsga2')
        return self

    @model_validator(mode="after")
    def _priced(self) -> Sweep:
        if self.max_cost is not None and self.device_hour_price is None:
            raise ValueError("max_cost needs device_hour_price, what an hour of a device costs")
        return self

    @property
    def objectives(self) -> tuple[str, ...]:
        """All objectives; the first is the one that a winner is chosen by."""
        return (self.objective,) if isinstance(self.objective, str) else tuple(self.objective)

    @property
    def directions(self) -> tuple[Direction, ...]:
        """A direction for each objective."""
        return (self.direction,) if isinstance(self.direction, str) else tuple(self.direction)

    @property
    def maximize(self) -> bool:
        """Whether more of the first objective is better."""
        return self.directions[0] == "maximize"

    @property
    def watched(self) -> tuple[str, ...]:
        """The metrics that count besides the first objective: the others, and what is constrained."""
        return tuple(dict.fromkeys((*self.objectives[1:], *self.constraints)))

    @property
    def device_hours(self) -> float | None:
        """The cap on the trials' device-hours, the tighter of the two; None without one."""
        caps = [] if self.max_device_hours is None else [self.max_device_hours]
        if self.max_cost is not None and self.device_hour_price is not None:
            caps.append(self.max_cost / self.device_hour_price)
        return min(caps, default=None)


class Tracking(Table):
    """W&B; metrics.jsonl is written in any case."""

    wandb: Literal["auto", "online", "offline", "off"] = "auto"
    """"auto" is online when the user is logged in, else offline."""
    project: str = "grpo-harness"
    """The W&B project."""


class Experiment(Table):
    """One TOML file: what to train, on what, how, and how it is measured."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    """Names the run's folder and the W&B group."""
    seed: int = Field(0, ge=0)
    """Everything random derives from it."""
    policy: Policy
    """The model."""
    data: Data
    """The questions."""
    stages: list[Stage] = []
    """What happens to the policy, in order."""
    budget: Budget | None = None
    """What training may cost, in compute; by default its steps are the limit."""
    eval: Eval = Eval()
    """The measurement at the end."""
    compare: Compare | None = None
    """Several ways of training the policy, in place of ``stages``."""
    sweep: Sweep | None = None
    """The study, for ``harness sweep``."""
    sweep_of: str | None = None
    """In a trial's own experiment: the name of the sweep that it belongs to."""
    tracking: Tracking = Tracking()
    """Where figures go besides the run's folder."""

    @model_validator(mode="after")
    def _stage_names(self) -> Experiment:
        names = [stage.name for stage in self.stages]
        if len(set(names)) != len(names):
            raise ValueError(f"stages must have different names, got {names}")
        if self.policy.lora is not None:
            for stage in parts(self.stages):
                if isinstance(stage, GRPO) and stage.reference.refresh == "ema":
                    raise ValueError(
                        f"{stage.name}.reference.refresh: an average of adapters is none of policies; with "
                        "policy.lora, accepted: never, every"
                    )
        if self.compare is not None and (self.stages or self.sweep is not None):
            raise ValueError("compare: its arms have the stages, so leave out [[stages]] and [sweep]")
        return self


def read_experiment(files: Sequence[Path], overrides: Sequence[str] = ()) -> Experiment:
    """Reads experiment files, left to right, then ``key=value`` overrides.

    Raises:
        UsageError: a file that is missing or no TOML, an unknown key, a value outside what is accepted.
    """
    raw: dict[str, Any] = {}
    for file in files:
        raw = _overlay(raw, _read_toml(file))
    for override in overrides:
        key, value = _parse_override(override)
        set_key(raw, key, value)
    return validate(raw, where=", ".join(str(file) for file in files) or "experiment")


def validate(raw: Mapping[str, Any], where: str) -> Experiment:
    """The experiment in ``raw``, or a ``UsageError`` naming the first bad key of ``where``."""
    try:
        return Experiment.model_validate(raw)
    except ValidationError as error:
        raise UsageError(f"{where}: {_explain(error, raw)}") from None


def dump_toml(experiment: Experiment) -> str:
    """The whole resolved experiment as TOML; reading it back gives the same experiment."""
    return tomli_w.dumps(experiment.model_dump(mode="json", exclude_none=True))


def set_key(raw: dict[str, Any], key: str, value: object) -> None:
    """Sets a dotted key in a raw experiment; a stage is addressed by its name: ``grpo.beta``.

    Raises:
        UsageError: the first part names neither a table of the experiment nor a stage.
    """
    head, *rest = key.split(".")
    stages = raw.get("stages", [])
    stage_names = [stage.get("name", stage.get("kind")) for stage in stages]
    if head in stage_names and rest:
        _set_path(stages[stage_names.index(head)], rest, value, key)
    elif head in Experiment.model_fields and head != "stages":
        _set_path(raw, [head, *rest], value, key)
    else:
        tables = [field for field in Experiment.model_fields if field != "stages"]
        raise UsageError(f"unknown key {key!r}: it must start with one of {', '.join(stage_names + tables)}")


def _set_path(table: dict[str, Any], path: Sequence[str], value: object, key: str) -> None:
    for part in path[:-1]:
        inner = table.setdefault(part, {})
        if not isinstance(inner, dict):
            # `epsilon = 0.2` and then `epsilon.high`: the one number stood for both sides.
            if part == "epsilon":
                inner = table[part] = {"low": inner, "high": inner}
            else:
                raise UsageError(f"{key}: {part} is not a table")
        table = inner
    table[path[-1]] = value


def _read_toml(file: Path) -> dict[str, Any]:
    try:
        with file.open("rb") as handle:
            return tomllib.load(handle)
    except FileNotFoundError:
        raise UsageError(f"{file}: no such file") from None
    except IsADirectoryError:
        raise UsageError(f"{file}: is a folder, an experiment file (TOML) is needed") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{file}: not valid TOML: {error}") from None


def _overlay(base: dict[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Tables merge; everything else (lists of stages too) is replaced."""
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        merged[key] = _overlay(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged


def _parse_override(override: str) -> tuple[str, Any]:
    key, separator, text = override.partition("=")
    if not separator or not key.strip():
        raise UsageError(f"-s {override}: must be key=value, for example -s grpo.beta=0.01")
    try:
        return key.strip(), tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return key.strip(), text.strip()  # a bare word is a string


def _explain(error: ValidationError, raw: Mapping[str, Any]) -> str:
    """The first problem as one sentence that names the key and what is accepted."""
    first = error.errors()[0]
    where = _dotted(first["loc"], raw)
    if first["type"] == "extra_forbidden":
        accepted = _accepted_keys(first["loc"])
        return f"unknown key {where}" + (f"; accepted: {', '.join(accepted)}" if accepted else "")
    if first["type"] == "union_tag_invalid":
        accepted_kinds = ", ".join(tag.removeprefix("#") for tag in STAGES)
        return f"{where}: kind must be one of {accepted_kinds}"
    message = first["msg"].removeprefix("Value error, ")
    shown = first["type"] != "missing" and not isinstance(first["input"], dict | list)
    got = f", got {first['input']!r}" if shown else ""
    return f"{where}: {message}{got}" if where else f"{message}{got}"


def _dotted(location: tuple[int | str, ...], raw: Mapping[str, Any]) -> str:
    """The key as ``-s`` takes it: a stage goes by its name."""
    if location[:1] == ("stages",) and len(location) > 1 and isinstance(location[1], int):
        stage = raw["stages"][location[1]]
        name = stage.get("name", stage.get("kind")) if isinstance(stage, dict) else None
        location = (str(name or location[1]), *location[2:])
    return ".".join(str(part) for part in location if not str(part).startswith("#"))


def _accepted_keys(location: tuple[int | str, ...]) -> list[str]:
    """The keys that the table holding ``location`` accepts."""
    table: type[Table] = Experiment
    for part in location[:-1]:
        if isinstance(part, int) or part == "stages":
            continue
        if part in STAGES:
            table = STAGES[part]
            continue
        field = table.model_fields.get(part)
        inner = _table_in(field.annotation if field else None)
        if inner is None:
            return []
        table = inner
    return list(table.model_fields)


def _table_in(annotation: Any) -> type[Table] | None:
    """The table that a field's type is, or is a list or an option of."""
    candidates = [annotation, *getattr(annotation, "__args__", ())]
    return next((c for c in candidates if isinstance(c, type) and issubclass(c, Table)), None)
