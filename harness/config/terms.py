"""The tables inside a "grpo" stage: clip range, reference policy, terms of the reward mix."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BeforeValidator,
    Discriminator,
    Field,
    SerializerFunctionWrapHandler,
    Tag,
    model_serializer,
    model_validator,
)

from evals.base.registry import absolute
from harness.config.table import Table


class Epsilon(Table):
    """The clip range of the ratio: [1 - low, 1 + high]."""

    low: float = Field(0.2, ge=0.0, lt=1.0)
    """How far the ratio may fall."""
    high: float = Field(0.2, ge=0.0)
    """How far the ratio may rise (DAPO's clip-higher sets 0.28)."""


def _if_number(*keys: str) -> Callable[[object], object]:
    """A bare number sets all of ``keys``."""

    def table(value: object) -> object:
        if isinstance(value, dict | Table):
            return value
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise ValueError("Input should be a number or a table")
        return dict.fromkeys(keys, value)

    return table


EpsilonEntry = Annotated[
    Epsilon, BeforeValidator(_if_number("low", "high"), json_schema_input_type=float | Epsilon)
]


class Bounds(Table):
    """A range of ratios, trainer over sampler; inside it nothing is left out."""

    low: float = Field(gt=0.0)
    """The least ratio that is kept."""
    high: float = Field(gt=0.0)
    """The largest ratio that is kept."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.low >= self.high:
            raise ValueError(f"low ({self.low:g}) must be below high ({self.high:g})")
        return self


class SamplerCorrection(Table):
    """Importance sampling between trainer and sampler; a bare number is ``high``, and TIS."""

    level: Literal["token", "sequence"] = "token"
    """What is weighed by its ratio trainer / sampler: each token, or a whole completion by their product."""
    outside: Literal["truncate", "mask"] = "truncate"
    """A ratio outside of the bounds is cut to them (TIS), or what has it is left out (MIS, IcePop)."""
    low: float = Field(0.0, ge=0.0)
    """The lower bound; 0: none (IcePop: 0.5)."""
    high: float = Field(2.0, gt=0.0)
    """The upper bound (IcePop: 5)."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.low >= self.high:
            raise ValueError(f"low ({self.low:g}) must be below high ({self.high:g})")
        return self

    @model_serializer(mode="wrap")
    def _as_written(self, whole: SerializerFunctionWrapHandler) -> Any:
        """A bare number where that says all, as sweeps vary it."""
        return self.high if self == SamplerCorrection(high=self.high) else whole(self)


CorrectionEntry = Annotated[
    SamplerCorrection, BeforeValidator(_if_number("high"), json_schema_input_type=float | SamplerCorrection)
]


class EntropyBonus(Table):
    """The loss's reward for the policy's mean entropy per token; a bare number is its ``weight``."""

    weight: float = Field(0.0, ge=0.0)
    """The weight; with ``target`` what it rises or falls from after the first step."""
    target: float | None = Field(None, gt=0.0)
    """An entropy, in nats per token, to be held (Skywork-OR1: 0.2): the weight rises by ``step`` after a
    training step whose mean entropy was lower, falls by ``step`` after one whose entropy was higher, and
    applies only after an entropy of at most ``target``. By default the weight stays as it is."""
    step: float = Field(0.005, gt=0.0)
    """By how much the weight changes in a step (Skywork-OR1: 0.005)."""
    high: float = Field(0.5, gt=0.0)
    """The largest weight."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.target is not None and self.weight > self.high:
            raise ValueError(f"weight ({self.weight:g}) must be at most high ({self.high:g})")
        return self

    @property
    def counts(self) -> bool:
        """Whether it takes part in the loss of any step."""
        return self.weight > 0 or self.target is not None

    @model_serializer(mode="wrap")
    def _as_written(self, whole: SerializerFunctionWrapHandler) -> Any:
        """A bare number where that says all, as sweeps vary it."""
        return self.weight if self == EntropyBonus(weight=self.weight) else whole(self)


EntropyEntry = Annotated[
    EntropyBonus, BeforeValidator(_if_number("weight"), json_schema_input_type=float | EntropyBonus)
]


class Reference(Table):
    """The reference policy that the KL penalty pulls towards."""

    refresh: Literal["never", "every", "ema"] = "never"
    """Never; a copy of the policy, or a step of its moving average, every ``steps`` steps."""
    steps: int = Field(64, ge=1)
    """The interval, in training steps, of "every" and "ema"."""
    decay: float = Field(0.6, gt=0.0, lt=1.0)
    """For "ema": reference <- decay * reference + (1 - decay) * policy."""
    offload: bool = False
    """Keep its weights in the host's memory but for the forward pass that needs them."""


class RewardTerm(Table):
    """How one reward function counts in the mix; a bare number is its weight."""

    weight: float
    """What its value is multiplied by; 0 still measures it."""
    function: str = ""
    """Which reward function it is, where the term goes by another name: "file.py:name" or "module:name"."""
    settings: dict[str, Any] = {}
    """The function's own settings."""
    when: str = ""
    """Counts only for completions to which this other function of the mix gives more than 0."""
    normalize: bool = False
    """Its values are standardised within their group before they are weighed, whatever their range (GDPO)."""
    final: float | None = None
    """The weight moves linearly from ``weight`` at the stage's step 1 to this one at its step ``steps``."""
    steps: int = Field(100, ge=2)
    """See ``final``."""
    model: str = ""
    """For "reward_model": a folder or hub id of a sequence classifier with one output."""
    rubric: str = ""
    """For "judge": what it judges by, in a sentence or two."""
    pairwise: bool = False
    """For "judge": it says which of two responses of a group is better, in place of scoring each."""
    requests: int = Field(0, ge=0)
    """For "judge": how many times it is asked at most in the stage, by all its processes and launches;
    0: as often as needed."""

    @classmethod
    def of(cls, entry: float | RewardTerm) -> RewardTerm:
        return entry if isinstance(entry, RewardTerm) else cls(weight=entry)

    @property
    def counts(self) -> bool:
        return self.weight != 0 or bool(self.final)

    def weight_at(self, step: int) -> float:
        """The weight at the stage's step ``step``, counted from 1."""
        if self.final is None:
            return self.weight
        return self.weight + (self.final - self.weight) * min(1.0, (step - 1) / (self.steps - 1))


def _kind_of_entry(value: object) -> str:
    return "#table" if isinstance(value, dict | RewardTerm) else "#number"


# The tags keep an error to the kind that was meant; ``_dotted`` drops them from its key.

RewardEntry = Annotated[
    Annotated[float, Tag("#number")] | Annotated[RewardTerm, Tag("#table")], Discriminator(_kind_of_entry)
]


def with_files(rewards: Mapping[str, RewardEntry]) -> dict[str, RewardEntry]:
    """The mix with files of one's own by their absolute paths, which trials in other folders find too.

    A term keeps its name, by which metrics and gates know it.
    """
    found: dict[str, RewardEntry] = {}
    for name, entry in rewards.items():
        term = RewardTerm.of(entry)
        file = absolute(term.function or name)
        known = file == (term.function or name)
        found[name] = entry if known else term.model_copy(update={"function": file})
    return found
