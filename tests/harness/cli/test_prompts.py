"""The command that shows what a model is asked."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from harness.cli.app import app
from harness.cli.prompts import RESPONSE
from harness.models.policy import Policy, save_policy

CHAT = "<|turn|>{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}assistant: "


@pytest.fixture
def model(make_random_policy: Callable[..., Policy], tmp_path: Path) -> Path:
    policy = make_random_policy()
    before = policy.tokenizer.chat_template
    policy.tokenizer.chat_template = CHAT
    save_policy(policy, tmp_path / "model")
    policy.tokenizer.chat_template = before
    return tmp_path / "model"


def shown(*words: str) -> str:
    found = CliRunner().invoke(app, ["prompts", *words], catch_exceptions=False)
    assert found.exit_code == 0, found.output
    return found.output


def test_a_prompt_is_printed_as_the_model_sees_it(model: Path) -> None:
    output = shown(str(model), "--benchmark", "tiny-math", "--system-prompt", "Be brief.")
    head, _, prompt = output.partition("\n")
    assert head.startswith("--- tiny-math, question test/0: template chat-")
    assert prompt.startswith("<|turn|>system: Be brief.\nuser: Compute ")
    assert prompt.endswith(f"assistant: {RESPONSE}\n")


def test_every_token_is_listed_and_they_make_the_prompt(model: Path) -> None:
    words = [str(model), "--benchmark", "tiny-math", "--template", "tags", "-n", "2"]
    rows = json.loads(shown(*words, "--json"))
    assert len(rows) == 2
    for row in rows:
        assert "".join(row["tokens"]).endswith(row["prompt"])
        assert len(row["tokens"]) == len(row["token_ids"])
    listed = shown(*words, "--ids")
    for number, piece in zip(rows[0]["token_ids"], rows[0]["tokens"], strict=True):
        assert f"{number}  {piece!r}" in listed


def test_characters_of_several_tokens_stand_at_the_last_of_them(model: Path, tmp_path: Path) -> None:
    own = tmp_path / "own.py"
    text = "naïve 数学 🦆🦆 ok"
    own.write_text(f"def ask(question, task, tokenizer):\n    return {text!r}\n", encoding="utf-8")
    words = [str(model), "--benchmark", "tiny-math", "--template", f"{own}:ask", "--json"]
    (row,) = json.loads(shown(*words))
    assert "".join(row["tokens"]).endswith(text)


def test_an_experiments_own_template_is_shown(model: Path, tmp_path: Path) -> None:
    file = tmp_path / "one.toml"
    file.write_text(
        f"""
name = "one"
[policy]
model = "{model}"
[policy.template]
kind = "text"
instruction = "Q: {{question}}\\nA:"
examples = "tiny-math:train[:1]"
stop = ["Q:"]
[data]
train = "tiny-math:train"
""",
        encoding="utf-8",
    )
    output = shown(str(file), "--benchmark", "tiny-math:train[1:2]")
    assert output.count("Q: ") == 2
    assert "stops at 'Q:'" in output
