"""What an evaluation is asked by: the experiment's protocol, the template that the tokenizer has."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from evals.base.errors import UsageError
from evals.engine import Sampling
from evals.tasks import registry
from harness.cli.app import app
from harness.config import dump_toml, read_experiment, validate
from harness.models.policy import Policy, save_policy
from harness.train.benchmarks import protocol_of


def experiment(**settings: Any) -> Any:
    tables = {
        "name": "x",
        "policy": {"model": "tiny", "template": "tags"},
        "data": {"train": "tiny-aime:train"},
        "stages": [],
    }
    return validate({**tables, "eval": {"benchmarks": ["tiny-aime"], **settings}}, "x")


@pytest.mark.parametrize(
    ("settings", "sampled", "name"),
    [
        ({}, (0.6, 0.95, 32768), "r1, template=tags"),
        ({"protocol": "greedy"}, (0.0, 1.0, 32768), "greedy, template=tags"),
        ({"protocol": "greedy", "max_tokens": 64}, (0.0, 1.0, 64), "greedy, max_tokens=64, template=tags"),
        (
            {"protocol": "greedy", "temperature": 0.6},
            (0.6, 1.0, 32768),
            "greedy, temperature=0.6, template=tags",
        ),
        (
            {"protocol": "experiment", "temperature": 0.7},
            (0.7, 0.95, 32768),
            "r1, temperature=0.7, template=tags",
        ),
        (
            {"top_k": 20, "thinking_budget": 9},
            (0.6, 0.95, 32768),
            "r1, top_k=20, thinking_budget=9, template=tags",
        ),
    ],
)
def test_a_protocol_decides_what_is_sampled(
    settings: dict[str, Any], sampled: tuple[float, float, int], name: str, tmp_path: Path
) -> None:
    made = experiment(**settings)
    (tmp_path / "again.toml").write_text(dump_toml(made))
    for each in (made, read_experiment([tmp_path / "again.toml"])):
        protocol = protocol_of(each.eval, each.policy, registry.get("tiny-aime"), 0)
        sampling = protocol.sampling
        assert (sampling.temperature, sampling.top_p, sampling.max_tokens) == sampled
        assert protocol.name == name
        assert protocol.samples == 1


def test_a_models_own_protocol_is_read_from_its_folder(tmp_path: Path) -> None:
    made = experiment(protocol="model", temperature=0.5)
    policy = made.policy.model_copy(update={"model": str(tmp_path), "template": "auto"})
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(UsageError, match=r"generation_config.json: the protocol .model. takes"):
        protocol_of(made.eval, policy, registry.get("tiny-aime"), 0)
    (tmp_path / "generation_config.json").write_text('{"do_sample": true, "temperature": 0.7, "top_k": 20}')
    found = protocol_of(made.eval, policy, registry.get("tiny-aime"), 0)
    assert found.sampling == Sampling(temperature=0.5, top_k=20, max_tokens=32768)
    assert found.name == "model, top_k=20, temperature=0.5"


def test_an_unknown_protocol_is_refused() -> None:
    with pytest.raises(UsageError, match=r"eval.*protocol: 'mine' is not a preset; accepted: r1, greedy"):
        experiment(protocol="mine")


@pytest.mark.parametrize("chats", [True, False])
def test_a_model_of_few_positions_is_evaluated_by_the_bare_command(
    make_random_policy: Callable[..., Policy], tmp_path: Path, chats: bool
) -> None:
    policy = make_random_policy(max_position_embeddings=1024)
    policy.tokenizer.chat_template = "{{ messages[0].content }}[answer]" if chats else None
    save_policy(policy, tmp_path / "model")
    policy.tokenizer.chat_template = None
    out = tmp_path / "out"
    command = [
        "eval",
        str(tmp_path / "model"),
        "--benchmarks",
        "tiny-aime",
        "--samples",
        "1",
        "--out",
        str(out),
    ]
    found = CliRunner().invoke(app, command, catch_exceptions=False)
    assert found.exit_code == 0, found.output
    protocol = json.loads((out / "tiny-aime" / "scores.json").read_text())["protocol"]
    row = json.loads((out / "tiny-aime" / "samples.jsonl").read_text().splitlines()[0])
    assert protocol["template"] == ("chat-boxed" if chats else "r1-zero")
    assert ("[answer]" in row["prompt"]) == chats
    most = protocol["sampling"]["max_tokens"]
    assert 0 < most < 1024
    assert f"max_tokens={most}" in protocol["name"]
