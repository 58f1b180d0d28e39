"""What fits on which GPU: well-known models × GPUs × group sizes × lengths, by data sheets.

Each is one GRPO step of ``QUESTIONS`` questions without a KL penalty, sampled by vLLM, in bfloat16 over
float32 weights. Where that does not fit, ``LADDER`` is gone down until it does. Nothing is measured: the
assumptions are those of ``harness.plan.hardware``, and responses are half as long as they may be.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from evals.base.text import duration
from harness.config import GRPO, Experiment, validate
from harness.models.devices import DEVICES, Device
from harness.plan.hardware import memory, seconds
from harness.plan.workload import LENGTH, grpo_work

MODELS = (
    "Qwen/Qwen2.5-0.5B",
    "meta-llama/Llama-3.2-1B",
    "Qwen/Qwen2.5-1.5B",
    "meta-llama/Llama-3.2-3B",
    "Qwen/Qwen2.5-7B",
    "Qwen/Qwen2.5-14B",
)
GROUPS = (8, 16)
LENGTHS = (1024, 8192)
QUESTIONS = 32
PROMPT = 200
"""Tokens of a prompt."""
SMALL = 4096
"""Tokens of a small micro-batch, or as many as the longest row has."""

BEGINS, ENDS = "<!-- sizes -->\n", "<!-- end of sizes -->"
"""What the table stands between in docs/gpus.md."""


@dataclass(frozen=True)
class Rung:
    """Settings that take less memory than those before; ``alone``: for one process only."""

    name: str
    policy: Mapping[str, Any]
    stage: Mapping[str, Any]
    alone: bool = False


SMALLER = {"micro_batch_tokens": SMALL}
BYTES = {**SMALLER, "optimizer": "adamw8bit"}
AWAY = {**SMALLER, "offload_optimizer": True}
ADAPTERS = {"lora": {"rank": 16}}
LADDER = (
    Rung("as it is", {}, {}),
    Rung("small micro-batch", {}, SMALLER),
    Rung("adamw8bit", {}, BYTES, alone=True),
    Rung("offload", {}, AWAY),
    Rung("LoRA", ADAPTERS, SMALLER),
    Rung("LoRA, nf4", {**ADAPTERS, "quantization": "nf4"}, SMALLER, alone=True),
)
"""From the second on with a small micro-batch."""


@dataclass(frozen=True)
class Size:
    """One cell. ``settings`` names the rung that fits, "" where none does; then the figures are the last's.

    ``memory_gib`` is one device's at most, ``seconds`` are those of a step, None where it does not fit.
    """

    model: str
    device: str
    group_size: int
    max_tokens: int
    settings: str
    memory_gib: float
    seconds: float | None

    def to_json(self) -> dict[str, Any]:
        """What ``harness plan --sizes --json`` lists."""
        return asdict(self)


def sizes(devices: Sequence[str] = tuple(DEVICES), count: int = 1) -> list[Size]:
    """Every model on each of ``devices`` (names of ``DEVICES``), ``count`` of which work on a run."""
    return [
        _size(model, name, group, length, count)
        for model in MODELS
        for name in devices
        for length in LENGTHS
        for group in GROUPS
    ]


def _size(model: str, name: str, group: int, length: int, count: int) -> Size:
    device = DEVICES[name]
    needed = 0.0
    for rung in LADDER:
        if rung.alone and count > 1:
            continue
        experiment = _experiment(model, rung, group, length)
        found = memory(experiment, count)
        needed = max(found.learning, found.sampling)
        if needed <= device.memory:
            return Size(model, name, group, length, rung.name, needed, _step(experiment, device, count))
    return Size(model, name, group, length, "", needed, None)


def _experiment(model: str, rung: Rung, group: int, length: int) -> Experiment:
    longest = {"micro_batch_tokens": max(SMALL, PROMPT + length)} if rung.stage else {}
    batch = {"group_size": group, "completions_per_step": group * QUESTIONS}
    stage = {"kind": "grpo", "steps": 1, "max_tokens": length, **batch}
    policy = {"model": model, "dtype": "bfloat16", "engine": "vllm"}
    return validate(
        {
            "name": "sizes",
            "policy": {**policy, **rung.policy},
            "data": {"train": "gsm8k:train"},
            "stages": [{**stage, **rung.stage, **longest}],
        },
        "sizes",
    )


def _step(experiment: Experiment, device: Device, count: int) -> float:
    stage = experiment.stages[0]
    assert isinstance(stage, GRPO)  # so written by _experiment
    return seconds(grpo_work(stage, experiment.policy, PROMPT, LENGTH * stage.max_tokens), device, count)


def headings() -> list[str]:
    """Of ``rows``."""
    told = [f"{length:,} tokens: {what}" for length in LENGTHS for what in ("fits", _groups())]
    return ["model", "GPU", *told]


def _groups() -> str:
    return "step, G = " + " / ".join(map(str, GROUPS))


def rows(found: Sequence[Size]) -> Iterator[list[str]]:
    """A line a model and GPU: per length what fits, and how long a step takes with each group size."""
    cells: dict[tuple[str, str], dict[int, list[Size]]] = {}
    for each in found:
        cells.setdefault((each.model, each.device), {}).setdefault(each.max_tokens, []).append(each)
    for (model, device), lengths in cells.items():
        told = []
        for group in lengths.values():
            fits = all(each.settings for each in group)
            steps = " / ".join(duration(each.seconds) for each in group)
            told += [group[-1].settings, steps] if fits else ["no", "–"]
        yield [model.partition("/")[2], device, *told]


def in_page(text: str) -> str:
    """The text of docs/gpus.md with the table as it is now."""
    before, begins, rest = text.partition(BEGINS)
    _, ends, after = rest.partition(ENDS)
    return f"{before}{begins}\n{markdown()}\n{ends}{after}"


def markdown() -> str:
    """The table: one GPU of each kind."""
    lines = [headings(), ["---"] * (2 + 2 * len(LENGTHS)), *rows(sizes())]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
