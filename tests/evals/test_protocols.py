"""Protocols: presets, and names that do not lie about changed settings."""

from __future__ import annotations

import json
from typing import Any

import pytest

from evals import protocols
from evals.engine import Sampling
from evals.protocols import Protocol
from evals.task import Task, TaskError
from evals.templates import Template

TASK = Task("t", "T", "math", ("test",), "test", lambda split: [], "made up", samples=16)


def test_the_r1_preset_is_the_papers() -> None:
    r1 = protocols.get("r1")
    assert (r1.sampling.temperature, r1.sampling.top_p, r1.sampling.max_tokens) == (0.6, 0.95, 32768)
    assert r1.template == "chat-boxed"
    assert r1.resolved(TASK).samples == 16
    assert protocols.get("greedy").resolved(TASK).samples == 1


def test_a_changed_preset_carries_what_was_changed() -> None:
    r1 = protocols.get("r1")
    assert r1.changed(temperature=0.7, max_tokens=1024).name == "r1, temperature=0.7, max_tokens=1024"
    assert r1.changed(samples=8, seed=3, temperature=0.6).name == "r1"
    assert r1.changed(template="plain").sampling == r1.sampling


def test_a_protocol_is_plain_data() -> None:
    plain = Protocol("own", Sampling(stop=("\n\n",)), samples=2).as_dict()
    assert json.loads(json.dumps(plain)) == plain
    assert plain["sampling"]["stop"] == ["\n\n"]


def test_unknown_names_and_bad_numbers_are_refused() -> None:
    with pytest.raises(TaskError, match="accepted: r1, greedy, model"):
        protocols.get("r2")
    with pytest.raises(TaskError, match="at least 1"):
        Protocol("own", samples=0)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({}, []),
        ({"name": "greedy", "samples": 3, "seed": 9}, []),
        ({"temperature": 0.0, "name": "r1"}, ["temperature 0.0 instead of 0.6"]),
        (
            {"template": "plain", "max_tokens": 8},
            ["max_tokens 8 instead of 32768", "template plain instead of chat-boxed"],
        ),
        ({"stop": ("\n",)}, ["stop ['\\n'] instead of []"]),
    ],
)
def test_a_protocol_is_what_was_sampled(changes: dict[str, Any], told: list[str]) -> None:
    r1 = protocols.get("r1")
    assert protocols.differences(r1.changed(**changes).as_dict(), r1) == told


def test_a_name_alone_says_nothing() -> None:
    assert protocols.differences({"name": "r1"}, protocols.get("r1")) is None


def test_what_was_added_later_is_written_where_it_is_on() -> None:
    earlier = {"temperature", "top_p", "top_k", "max_tokens", "stop"}
    assert set(Protocol("own").as_dict()["sampling"]) == earlier
    told = Protocol("own").changed(min_p=0.1, thinking_budget=0).as_dict()
    assert set(told["sampling"]) == {*earlier, "min_p", "thinking_budget"}
    assert told["name"] == "own, min_p=0.1, thinking_budget=0"
    assert protocols.differences(told, Protocol("own")) == [
        "min_p 0.1 instead of 0.0",
        "thinking_budget 0 instead of None",
    ]
    assert protocols.differences(Protocol("own").as_dict(), Protocol("own").changed(min_p=0.1)) == [
        "min_p 0.0 instead of 0.1"
    ]


@pytest.mark.parametrize(
    ("generation", "sampling", "name"),
    [
        (
            {"do_sample": True, "temperature": 0.6, "top_p": 0.95, "top_k": 20, "eos_token_id": [1, 2]},
            Sampling(0.6, 0.95, 20, 32768),
            "model, temperature=0.6, top_p=0.95, top_k=20",
        ),
        ({"do_sample": True}, Sampling(1.0, max_tokens=32768), "model, temperature=1.0"),
        (
            {"temperature": 0.7, "top_p": 0.8, "repetition_penalty": 1.05},  # greedy, as for transformers
            Sampling(0.0, max_tokens=32768, repetition_penalty=1.05),
            "model, temperature=0.0, repetition_penalty=1.05",
        ),
        ({}, Sampling(0.0, max_tokens=32768), "model, temperature=0.0"),
    ],
)
def test_the_models_own_protocol(generation: dict[str, Any], sampling: Sampling, name: str) -> None:
    found = protocols.get("model", generation)
    assert (found.sampling, found.name) == (sampling, name)


def test_a_generation_config_of_other_values_is_refused() -> None:
    with pytest.raises(TaskError, match="top_p must be a number, got 'high'"):
        protocols.get("model", {"do_sample": True, "top_p": "high"})


class _Tokenizer:
    def __init__(self, chat_template: str | None) -> None:
        self.chat_template = chat_template


def test_a_protocol_meets_its_tokenizer() -> None:
    auto = protocols.get("r1").changed(template="auto")
    assert auto.name == "r1"
    assert auto.for_tokenizer(_Tokenizer("{{ messages }}")) == protocols.get("r1")
    plain = auto.for_tokenizer(_Tokenizer(None))
    assert (plain.template, plain.name) == ("r1-zero", "r1, template=r1-zero")
    own = Template(kind="text", instruction="{question}", stop=("\n", "Q:"))
    stopped = protocols.get("r1").changed(template=own, stop=("\n",)).for_tokenizer(None)
    assert stopped.sampling.stop == ("\n", "Q:")
    told = json.loads(json.dumps(stopped.as_dict()))
    assert told["template"] == {"kind": "text", "instruction": "{question}", "stop": ["\n", "Q:"]}
    assert told["name"].startswith("r1, template=text-")
    assert protocols.differences(told, stopped) == []
