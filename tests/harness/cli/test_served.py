"""`harness eval` at a server: its options, its experiment file, and what it prints."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from evals.base import io
from harness.cli import main
from tests.harness.engines.chat_server import chat_server

ADDRESS = ("--server", "http://127.0.0.1:9/v1")


def run(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr("sys.argv", ["harness", "eval", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(str(ended.value.code or 0))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--server", "localhost"), "--server: 'localhost' is not an address such as"),
        (("--server", "http://ann:PW@host/v1"), "--server: contains a password"),
        (("--server", "http://h/v1,http://h/v1/"), "--server: lists the same address twice"),
        (("--server", ""), "--server: '' is not an address"),
        (("--api", "chat"), "--api has no effect without --server"),
        (("--price", "1,2"), "--price has no effect without --server"),
        (("--served-model", "x"), "--served-model has no effect without --server"),
        ((*ADDRESS, "--key-env", "sk-PW"), "--key-env: must be the name of an environment variable"),
        ((*ADDRESS, "--key-env", "NO_SUCH_KEY"), "the environment variable NO_SUCH_KEY is not set"),
        ((*ADDRESS, "--price", "1"), "--price: '1' is not two comma-separated numbers"),
        ((*ADDRESS, "--price", "1,-2"), "--price: Input should be greater than or equal to 0"),
        ((*ADDRESS, "--price", "nan,2"), "--price:"),
        ((*ADDRESS, "--chat-template-kwargs", "[1]"), "--chat-template-kwargs: '[1]' is not a JSON object"),
        ((*ADDRESS, "--template", "plain"), "template 'plain' makes a text to be continued"),
        ((*ADDRESS, "--engine", "vllm"), "--engine has no effect with --server"),
        ((*ADDRESS, "--dtype", "bfloat16"), "--dtype has no effect with --server"),
        ((*ADDRESS, "--batch-size", "4"), "--batch-size has no effect with --server"),
        ((*ADDRESS, "--thinking-budget", "4"), "thinking_budget: a server generates whole responses"),
        ((*ADDRESS, "--api", "completions"), "prompts need the tokenizer of ./served"),
    ],
)
def test_what_is_wrong_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    words: tuple[str, ...],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(monkeypatch, "./served", "--benchmarks", "tiny-aime", "--quiet", *words) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert said in error
    assert error.count("\n") == 1
    assert "PW" not in error


def test_an_experiment_file_names_the_server_and_the_price(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MY_KEY", "sk-secret")
    with chat_server() as server:
        (tmp_path / "asked.toml").write_text(
            f"""
            name = "asked"
            [policy]
            model = "some/model"
            [policy.template]
            system = "Add."
            [policy.server]
            addresses = "{server.address}"
            model = "its-name-there"
            key_env = "MY_KEY"
            price_in = 1000.0
            price_out = 2000.0
            [data]
            train = []
            """
        )
        words = (
            "--benchmarks",
            "tiny-aime",
            "--samples",
            "2",
            "--protocol",
            "greedy",
            "--out",
            "out",
            "--quiet",
        )
        assert run(monkeypatch, "asked.toml", *words) == 0
        body: dict[str, Any] = server.asked[0]
        assert server.keys == {"Bearer sk-secret"}
    assert (body["model"], body["messages"][0]) == ("its-name-there", {"role": "system", "content": "Add."})
    questions = len(server.asked) // 2
    told = io.read_json(tmp_path / "out/tiny-aime/scores.json")["cost"]
    assert told["total"] == pytest.approx(2 * questions * (10 * 1000 + 5 * 2000) / 1e6)
    assert (told["prompt_tokens"], told["response_tokens"], told["uncounted"]) == (
        20 * questions,
        10 * questions,
        0,
    )
    assert f"cost {told['total']:,.4f}" in " ".join(capsys.readouterr().out.split())
    for file in (tmp_path / "out").rglob("*.json*"):
        assert "sk-secret" not in file.read_text()
    monkeypatch.setattr("sys.argv", ["harness", "report", "out"])
    with pytest.raises(SystemExit):
        main()
    page = (tmp_path / "out/report.html").read_text()
    assert "Price" in page
    assert json.dumps("sk-secret")[1:-1] not in page


def test_options_change_the_files_table_and_another_address_gets_nothing_of_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MY_KEY", "sk-secret")
    asked = ("asked.toml", "--benchmarks", "tiny-aime[:3]", "--samples", "1", "--quiet")
    with chat_server() as server, chat_server() as other:
        (tmp_path / "asked.toml").write_text(
            f"""
            name = "asked"
            policy = {{ model = "m", server = {{ addresses = "{server.address}", key_env = "MY_KEY" }} }}
            data = {{ train = [] }}
            """
        )
        assert run(monkeypatch, *asked, "--out", "a", "--price", "3000,0", "--served-model", "there") == 0
        assert run(monkeypatch, *asked, "--out", "b", "--server", other.address) == 0
    told = io.read_json(next((tmp_path / "a").rglob("scores.json")))["cost"]
    assert told["total"] == pytest.approx(3 * 10 * 3000 / 1e6)
    assert {body["model"] for body in server.asked} == {"there"}
    assert server.keys == {"Bearer sk-secret"}
    assert (len(other.asked), other.keys) == (3, {None})
