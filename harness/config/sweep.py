"""The sweep: objective, sampler, pruner, budgets and the space."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from harness.config.choice import Choice, ExecutorChoice
from harness.config.table import Table

Direction = Literal["maximize", "minimize"]


def confirmed_stage(stages: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """The one whose steps ``confirm_steps`` sets, of stages as a resolved experiment.toml has them.

    The last of kind "grpo"; without one, the last that trains; None where none does.
    """
    trained = [stage for stage in stages if "steps" in stage]
    grpo = [stage for stage in trained if stage.get("kind") == "grpo"]
    return next(reversed(grpo or trained), None)


def conditions_resolved(space: Any) -> Any:
    """A space in which ``"grpo.loss.kind=sapo" = { … }`` has become its entries, each with its own ``when``.

    Anything that is not a table is passed on, for the reader of the space to refuse.
    """
    if not isinstance(space, Mapping):
        return space
    resolved: dict[str, Any] = {}
    for key, entry in space.items():
        other, equals, value = key.partition("=")
        if equals and not isinstance(entry, Mapping):
            raise ValueError(f"{key}: must be a table of settings that are searched under this condition")
        for inner, searched in entry.items() if equals else [(key, entry)]:
            if inner in resolved:
                raise ValueError(f"{inner} is there twice; write the second condition into its `when`")
            resolved[inner] = _under(other.strip(), _scalar(value), searched) if equals else searched
    return resolved


def _under(other: str, value: Any, entry: Any) -> Any:
    """The entry with one more condition. An invalid entry is returned unchanged and refused later."""
    table: Any = {"choices": entry} if isinstance(entry, list) else entry
    if not isinstance(table, Mapping) or not isinstance(table.get("when", {}), Mapping):
        return entry
    return {**table, "when": {**table.get("when", {}), other: value}}


def _scalar(text: str) -> Any:
    """``text`` as a number or truth value if it is one: TOML keys have no types."""
    try:
        return json.loads(text)
    except ValueError:
        return text.strip()


SpaceTable = Annotated[dict[str, Any], BeforeValidator(conditions_resolved)]


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
    """When the trials have taken this many device-hours, those running end and the winner is confirmed."""
    max_cost: float | None = Field(None, gt=0.0)
    """The same, as a price: it needs ``device_hour_price``."""
    device_hour_price: float | None = Field(None, gt=0.0)
    """What an hour of a device costs, in any currency."""
    executor: ExecutorChoice = Choice(kind="local")
    """What launches trials: "local", processes of this machine; "ray", a Ray cluster (RAY_ADDRESS); "slurm",
    jobs of a Slurm cluster; or one of your own. A name, or a table of ``kind`` and its own settings."""
    cpus_per_trial: float = Field(1.0, gt=0.0)
    """CPU cores that Ray or Slurm reserves for a trial; processes of this machine split its cores evenly."""
    gpus_per_trial: float = Field(0.0, ge=0.0)
    """GPUs that Ray or Slurm reserves for a trial; processes of this machine split its devices evenly."""
    run_address: str = ""
    """An fsspec address (s3://bucket/folder) that carries runs to and from Ray's nodes."""
    processes_per_trial: int = Field(1, ge=1)
    """Processes that torchrun starts for each trial, on one node; on GPUs each takes one of the trial's."""
    deterministic: bool | None = None
    """Whether the same seed gives the same trials, however fast each is; by default up to two workers."""
    sampler: Literal["tpe", "random", "gp", "nsga2", "cmaes", "qmc", "grid"] = "tpe"
    """Optuna's sampler; "grid" walks every point of a space of choices and steps, in shuffled order."""
    startup_trials: int = Field(4, ge=0)
    """Random trials before TPE, GP and CMA-ES begin to model."""
    warm_start: str | None = None
    """The folder of a finished sweep over the same settings, for example of a smaller model: the settings of
    its best trials are tried first, learning rates scaled by the models' hidden sizes."""
    warm_start_trials: int = Field(3, ge=1)
    """How many of its trials."""
    pruner: Literal["curve", "median", "halving", "hyperband", "none"] = "curve"
    """What ends hopeless trials early, on dev evaluations only; "curve" judges by its forecast."""
    pruner_warmup: int = Field(0, ge=0)
    """No trial is pruned at or before this step."""
    pruner_startup: int = Field(1, ge=1)
    """No trial is pruned at a step that fewer other trials have reached."""
    pruner_margin: float = Field(1.2, ge=0.0)
    """The margin for noise, in standard errors of what is compared: forecasts ("curve") or evaluations."""
    pruner_reduction: int = Field(3, ge=2)
    """Halving and Hyperband keep the best 1/N at each rung; rungs are that factor of evaluations apart."""
    confirm_seeds: int = Field(2, ge=0)
    """Fresh training seeds on which the winner is trained again before it is believed."""
    confirm_top: int = Field(1, ge=1)
    """How many of the best trials are trained again; the best of them then is the candidate."""
    confirm_steps: int | None = Field(None, ge=1)
    """Training steps of those runs, in the last stage of kind "grpo"; by default as in the trials."""
    evaluate_unconfirmed: bool = False
    """Whether the best trial's fresh runs are evaluated on the benchmarks where no winner is confirmed."""
    max_attempts: int = Field(3, ge=1)
    """Launches in a row without a newer checkpoint before a trial counts as failed."""
    hang_minutes: float = Field(30.0, gt=0.0)
    """A run that gives no sign of life for this long is killed and resumes from its last checkpoint."""
    space: SpaceTable = {}
    """Setting (``stage.key``) -> a list of choices, or { low, high, log, step }; "setting=value" -> a table
    of such entries, which are searched where the setting has the value."""

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
            raise ValueError('sampler = "cmaes" supports one objective; for several, use tpe, gp or nsga2')
        return self

    @model_validator(mode="after")
    def _warm(self) -> Sweep:
        default = type(self).model_fields["warm_start_trials"].default
        if self.warm_start is None and self.warm_start_trials != default:
            raise ValueError("warm_start_trials needs warm_start, the folder of a finished sweep")
        if self.warm_start is not None and self.sampler == "grid":
            raise ValueError('warm_start has no effect with sampler = "grid", which tries every point')
        return self

    @model_validator(mode="after")
    def _carried(self) -> Sweep:
        if self.run_address and self.executor.kind != "ray":
            raise ValueError(
                'run_address needs executor = "ray": local processes write to the sweep\'s folder directly'
            )
        return self

    @model_validator(mode="after")
    def _priced(self) -> Sweep:
        if self.confirm_top > 1 and not self.confirm_seeds:
            raise ValueError(
                "confirm_top needs confirm_seeds, the seeds on which the trials are trained again"
            )
        if self.max_cost is not None and self.device_hour_price is None:
            raise ValueError("max_cost needs device_hour_price, the price of a device-hour")
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
