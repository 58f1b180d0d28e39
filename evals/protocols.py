"""Protocols: everything that decides how a benchmark is sampled, under one name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from evals import templates
from evals.engine import LATER, Sampling
from evals.task import Task, TaskError
from evals.templates import Template


@dataclass(frozen=True)
class Protocol:
    """How a benchmark is sampled. Two scores are comparable where their protocols are equal.

    ``samples`` is the number of samples a question; None leaves it to the task (``Task.samples``).
    ``seed`` is the base of every sample's seed. ``unclosed_answers`` says whether a complete <answer> counts
    that ends a response whose <think> was never closed (``evals/graders/reading.py``).
    """

    name: str
    sampling: Sampling = field(default_factory=Sampling)
    template: str | Template = templates.CHAT
    samples: int | None = None
    seed: int = 0
    unclosed_answers: bool = True

    def __post_init__(self) -> None:
        if self.samples is not None and self.samples < 1:
            raise TaskError(f"samples must be at least 1, got {self.samples}")

    def resolved(self, task: Task) -> Protocol:
        """This protocol with the number of samples that ``task`` gets."""
        return replace(self, samples=self.samples_of(task))

    def samples_of(self, task: Task) -> int:
        """Samples a question of ``task``."""
        return task.samples if self.samples is None else self.samples

    def changed(self, **changes: Any) -> Protocol:
        """A copy with other values; what no longer is the preset no longer carries its bare name.

        Takes the fields of ``Protocol`` and of ``Sampling`` (``temperature=0.7``). The new name lists
        what differs: "r1, temperature=0.7". ``samples`` and ``seed`` are how much and which draw, not
        how, and leave the name alone.
        """
        inner = {f.name for f in fields(Sampling)}
        sampling = {key: value for key, value in changes.items() if key in inner}
        outer = {key: value for key, value in changes.items() if key not in inner}
        copy = replace(self, sampling=replace(self.sampling, **sampling), **outer)
        before, after = self._settings(), copy._settings()
        new = [key for key in changes if after[key] != before[key]]
        told = [f"{key}={after[key]}" for key in new]
        told = [part for part in told if not part.startswith(("samples=", "seed=", "name=", "template=auto"))]
        kept = [part for part in copy.name.split(", ") if part.partition("=")[0] not in new]
        return replace(copy, name=", ".join([*kept, *told]))

    def for_tokenizer(self, tokenizer: Any) -> Protocol:
        """This protocol with the template that "auto" means for a tokenizer, and the template's stop strings.

        What the strings are is told by the template: the name stays.
        """
        copy = self
        if self.template == templates.AUTO:
            usual = templates.resolved(self.template, tokenizer)
            copy = replace(self, template=templates.CHAT).changed(template=usual)
        stop = (*copy.sampling.stop, *templates.stops(copy.template, tokenizer))
        return replace(copy, sampling=replace(copy.sampling, stop=tuple(dict.fromkeys(stop))))

    def _settings(self) -> dict[str, Any]:
        return {**asdict(self.sampling), **vars(self), "template": templates.label(self.template)}

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON data, as written into scores.json."""
        template = self.template
        named = (
            template if isinstance(template, str) else template.model_dump(mode="json", exclude_defaults=True)
        )
        return {**vars(self), "sampling": self.sampling.as_dict(), "template": named}


PRESETS = {
    "r1": Protocol("r1", Sampling(temperature=0.6, top_p=0.95, max_tokens=32768)),
    "greedy": Protocol("greedy", Sampling(temperature=0.0, max_tokens=32768), samples=1),
}
"""DeepSeek-R1's evaluation protocol (samples as usual for each benchmark), and one greedy answer."""
MODEL = "model"
"""The protocol that takes its sampling from the model's own generation_config.json."""
_OFF: Mapping[str, Any] = {"top_p": 1.0, "top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0}


def get(name: str, generation: Mapping[str, Any] | None = None) -> Protocol:
    """The preset of this name; ``generation`` is the model's generation configuration, for "model".

    Raises:
        TaskError: there is none; the message lists them.
    """
    if name == MODEL:
        return _of_model(generation or {})
    if name not in PRESETS:
        raise TaskError(f"unknown protocol {name!r}; accepted: {', '.join([*PRESETS, MODEL])}")
    return PRESETS[name]


def _of_model(generation: Mapping[str, Any]) -> Protocol:
    """What a generation_config.json says, read as transformers' ``generate`` reads it: greedy unless it says
    ``do_sample``; what it does not name is off, and the name tells what it names.

    Raises:
        TaskError: a value is not a number.
    """
    longest = PRESETS["r1"].sampling.max_tokens
    found: dict[str, Any] = {"temperature": 1.0 if generation.get("do_sample") else 0.0}
    for key in ("temperature", *_OFF):
        value = generation.get(key)
        if value is None or (key == "temperature" and not generation.get("do_sample")):
            continue
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise TaskError(f"generation_config.json: {key} must be a number, got {value!r}")
        found[key] = value
    if not generation.get("do_sample"):  # truncation does nothing to the likeliest token
        found = {key: value for key, value in found.items() if key in ("temperature", "repetition_penalty")}
    told = [f"{key}={value}" for key, value in found.items() if value != _OFF.get(key)]
    return Protocol(", ".join([MODEL, *told]), Sampling(max_tokens=longest, **found))


def differences(recorded: Mapping[str, Any], protocol: Protocol) -> list[str] | None:
    """In what the protocol of a scores.json is not ``protocol``; None where it does not say how it sampled.

    Its name says nothing: a protocol is what was sampled. ``samples`` and ``seed`` are how much and which
    draw.
    """
    sampling = recorded.get("sampling")
    if not isinstance(sampling, Mapping):
        return None
    wanted = protocol.as_dict()
    ours = {**LATER, **wanted["sampling"]}
    pairs = [(key, sampling.get(key, LATER.get(key, value)), value) for key, value in ours.items()]
    pairs.append(("template", recorded.get("template", wanted["template"]), wanted["template"]))
    return [f"{key} {found} instead of {value}" for key, found, value in pairs if found != value]
