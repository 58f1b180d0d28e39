"""The experiment: everything that one TOML file says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import BaseModel, Field, field_validator, model_validator

from evals import protocols
from evals.templates import Template
from harness.config.choice import Choice, EngineChoice, TrackerChoice
from harness.config.controls import Controls, with_controls
from harness.config.curriculum import Curriculum
from harness.config.distil import OnPolicyDistill
from harness.config.effects import check_effects
from harness.config.model import Policy
from harness.config.names import check_stage_names
from harness.config.sampling import Drawing
from harness.config.stages import GRPO, Stage, parts
from harness.config.sweep import SpaceTable, Sweep
from harness.config.table import Table
from harness.config.tasks import OwnTask, check_names, tasks_of


class Data(Table):
    """Which questions train the policy and which ones steer the sweep, as ``task:split[a:b]``."""

    train: list[str]
    """Prompts for training; one specification or a list that is mixed."""
    dev: list[str] = []
    """Questions for pruning and selection: never the benchmarks."""
    dev_samples: int = Field(4, ge=1)
    """Samples per dev question."""
    curriculum: Curriculum | None = None
    """Which of the training questions are drawn, and when: by difficulty and source."""
    overlap: Literal["refuse", "allow"] = "refuse"
    """Whether questions, compared by their text, may be in two of training, dev set and benchmarks."""

    @field_validator("train", "dev", mode="before", json_schema_input_type=str | list[str])
    @classmethod
    def _one_or_many(cls, value: object) -> object:
        return [value] if isinstance(value, str) else value

    @model_validator(mode="after")
    def _weighs_what_is_there(self) -> Data:
        for spec in self.curriculum.weights if self.curriculum else ():
            if spec not in self.train:
                raise ValueError(
                    f"curriculum.weights: {spec!r} is not in train; accepted: {', '.join(self.train)}"
                )
        return self


class Arm(Table):
    """One way of training the policy, compared with others (see ``Compare``)."""

    stages: list[Stage]
    """What happens to the policy, in order."""
    budget: Budget | None = None
    """What training may cost; by default the experiment's budget."""
    policy: Policy | None = None
    """Another policy than the experiment's: a student of another size, say. It is measured untrained too."""
    space: SpaceTable = {}
    """What is tuned, as in ``[sweep.space]``, with the ``tuning_trials`` that every arm has."""
    control_of: str = ""
    """Another arm, whose tuned settings this one takes: how much of that one's gain it explains is told.
    ``[controls]`` makes such arms."""


class Compare(Table):
    """Arms of one policy, trained from several seeds and compared: distilled against reinforced, say."""

    seeds: int = Field(3, ge=1)
    """Training seeds of each arm, from the experiment's own seed on."""
    tuning_trials: int = Field(0, ge=0)
    """Settings tried for each arm on the dev questions before its seeds are trained: as many for each."""
    workers: int = Field(1, ge=1)
    """Runs that are trained side by side."""
    max_attempts: int = Field(3, ge=1)
    """Launches in a row without a newer checkpoint before a run counts as failed, and the comparison ends."""
    hang_minutes: float = Field(30.0, gt=0.0)
    """A run that gives no sign of life for this long is killed and resumes from its last checkpoint."""
    arms: dict[Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")], Arm] = Field(min_length=1)
    """The arms by name; the untrained policy, "base", is measured beside those that start from it."""

    @model_validator(mode="after")
    def _arms_are_alike(self) -> Compare:
        for name in self.arms:
            if name == "base" or (name.removesuffix("-base") in self.arms and name.endswith("-base")):
                raise ValueError(f'arms.{name}: "base" is the name of the untrained policy; rename the arm')
        for name, arm in self.arms.items():
            if arm.control_of:
                of = self.arms.get(arm.control_of)
                if of is None or of.control_of or of.policy != arm.policy:
                    raise ValueError(
                        f"arms.{name}.control_of: {arm.control_of!r} must be an arm with the same "
                        "starting policy that is not itself a control"
                    )
                continue
            if bool(arm.space) != bool(self.tuning_trials):
                raise ValueError(
                    f"arms.{name}.space: either all arms are tuned (with tuning_trials) or none; "
                    "otherwise the comparison would not be fair"
                )
        return self


class Eval(Drawing):
    """What is measured at the end."""

    benchmarks: list[str] = []
    """Task names (`harness tasks`), with a part where not all is meant: "gsm8k", "gsm8k:test[:100]"."""
    samples: int | dict[str, int] = 1
    """Samples per question, or per benchmark by name."""
    limit: int | None = Field(None, ge=1)
    """Measure only the first so many questions of each benchmark: a part, which is named as one."""
    protocol: str = "r1"
    """A preset, "r1" or "greedy": what temperature, top_p and max_tokens are where they are not given.
    "model": whatever is not set here is as the model's generation_config.json says."""
    temperature: float | None = Field(None, ge=0.0)
    """The sampling temperature; 0 is greedy. By default the protocol's."""
    top_p: float | None = Field(None, gt=0.0, le=1.0)
    """Nucleus sampling's probability mass. By default the protocol's."""
    max_tokens: int = Field(32768, ge=1)
    """The longest response, in tokens. By default the protocol's; the model's positions may end it sooner."""
    engine: EngineChoice = Choice(kind="transformers")
    """What samples the policy, as ``policy.engine`` says it for training."""
    unclosed_answers: bool = True
    """Whether a complete <answer> counts that ends a response whose <think> was never closed."""

    @field_validator("samples")
    @classmethod
    def _some_samples(cls, value: int | dict[str, int]) -> int | dict[str, int]:
        for name, count in value.items() if isinstance(value, dict) else [("", value)]:
            if count < 1:
                raise ValueError(f"at least 1 sample per question{f' of {name}' if name else ''} is needed")
        return value

    @model_validator(mode="before")
    @classmethod
    def _as_the_protocol_says(cls, raw: object) -> object:
        """Fills in the protocol's own settings: its name alone must not stand for others."""
        if not isinstance(raw, dict):
            return raw
        name = raw.get("protocol", "r1")
        if name == "experiment":  # a label that earlier files carry, of settings that they all spell out
            name = "r1"
        if name == protocols.MODEL:
            return raw
        if name not in protocols.PRESETS:
            accepted = ", ".join([*protocols.PRESETS, protocols.MODEL])
            raise ValueError(
                f"protocol: {name!r} is not a preset; accepted: {accepted}; override single values with "
                "temperature, top_p and max_tokens"
            )
        preset = protocols.PRESETS[name].sampling
        usual = {key: getattr(preset, key) for key in ("temperature", "top_p", "max_tokens")}
        return {**usual, **raw, "protocol": name}


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


class Tracking(Table):
    """W&B, TensorBoard and others; metrics.jsonl is written in any case."""

    wandb: Literal["auto", "online", "offline", "off"] = "auto"
    """"auto" is online when the user is logged in, else offline."""
    also: list[TrackerChoice] = []
    """Where figures go besides: "tensorboard", "trackio", or one of your own."""
    project: str = "grpo-harness"
    """The project of W&B and Trackio."""
    tags: list[str] = []
    """Tags of the run."""
    notes: str = ""
    """A note on the run."""


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
    tasks: dict[str, OwnTask] = {}
    """Data sets of your own, by the names that ``data``, ``eval`` and stages call them."""
    stages: list[Stage] = []
    """What happens to the policy, in order."""
    budget: Budget | None = None
    """What training may cost, in compute; by default its steps are the limit."""
    eval: Eval = Eval()
    """The measurement at the end."""
    controls: Controls | None = None
    """Arms that learn from rewards without meaning, beside those of ``compare``: is the gain real?"""
    compare: Compare | None = None
    """Several ways of training the policy, in place of ``stages``."""
    sweep: Sweep | None = None
    """The study, for ``harness sweep``."""
    sweep_of: str | None = None
    """In a trial's own experiment: the name of the sweep that it belongs to."""
    tracking: Tracking = Tracking()
    """Where figures go besides the run's folder."""

    @model_validator(mode="before")
    @classmethod
    def _with_controls(cls, raw: object) -> object:
        return with_controls(raw) if isinstance(raw, dict) and raw.get("controls") is not None else raw

    @model_validator(mode="after")
    def _curriculum_has_effect(self) -> Experiment:
        if self.data.curriculum is None:
            return self
        arms = self.compare.arms.values() if self.compare else ()
        stages = [stage for one in (self, *arms) for stage in parts(one.stages)]
        drawing = [stage for stage in stages if isinstance(stage, GRPO | OnPolicyDistill)]
        if stages and not drawing:
            raise ValueError("data.curriculum: no stage draws prompts: it is for grpo and on_policy_distill")
        for stage in drawing:
            if isinstance(stage, GRPO) and stage.rollout_ahead and self.data.curriculum.park_steps:
                raise ValueError(
                    f"data.curriculum.park_steps: with {stage.name}.rollout_ahead prompts are drawn before "
                    "it is known which of them to park; leave one of them out"
                )
        return self

    @model_validator(mode="after")
    def _own_tasks(self) -> Experiment:
        check_names(self.tasks)
        for template in _templates(self) if self.tasks else ():
            template.draw_from(tasks_of(self.tasks))
        return self

    @model_validator(mode="after")
    def _stages_go_together(self) -> Experiment:
        check_stage_names(self.stages, reserved=type(self).model_fields)
        for arm in self.compare.arms.values() if self.compare else ():
            check_stage_names(arm.stages, reserved=type(self).model_fields)
        if self.sweep_of is None:  # a trial may switch off what its experiment has set
            adapters = self.policy.lora is not None
            check_effects(self.stages, self.sweep.space if self.sweep else {}, adapters)
            for arm in self.compare.arms.values() if self.compare else ():
                check_effects(arm.stages, arm.space, adapters)
        if self.policy.lora is not None:
            for stage in parts(self.stages):
                if isinstance(stage, GRPO) and stage.reference.refresh == "ema":
                    raise ValueError(
                        f"{stage.name}.reference.refresh: with policy.lora, adapters cannot be averaged; "
                        "accepted: never, every"
                    )
        if self.compare is not None and (self.stages or self.sweep is not None):
            raise ValueError("compare: the arms define the stages, so leave out [[stages]] and [sweep]")
        return self


def _templates(value: object) -> Iterator[Template]:
    """The prompt templates in ``value``, whatever they belong to: the policy, a teacher, an arm's policy."""
    if isinstance(value, Template):
        yield value
    elif isinstance(value, BaseModel):
        yield from _templates(vars(value))
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _templates(inner)
