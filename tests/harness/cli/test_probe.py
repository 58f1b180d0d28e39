"""`harness probe` at a server that knows some questions by heart: what it finds, resumes and reports."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.cli import main
from tests.harness.engines.chat_server import Answer, chat_server, completion

QUESTION = (
    "Number {n}: Ann has {n} apples and Bob gives her two more on every day of one long week, what now?"
)


def questions(path: Path, first: int) -> str:
    rows = [
        {"id": str(n), "question": QUESTION.format(n=n), "answer": str(n + 14)}
        for n in range(first, first + 12)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path.name


def remembers(body: dict[str, Any], _turn: int) -> Answer:
    """The rest of what it is given the beginning of, for numbers below 12; always 16 as the bare answer."""
    asked = body["messages"][-1]["content"]
    if "breaks off" not in asked:
        return Answer(completion("\\boxed{16}"))
    beginning = asked.split("\n\n")[1]
    whole = [text for n in range(12) if (text := QUESTION.format(n=n)).startswith(beginning)]
    return Answer(completion(whole[0].removeprefix(beginning) if whole else "I do not know this text."))


def called(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *words: str) -> str:
    monkeypatch.setattr("sys.argv", ["harness", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr()
    assert not ended.value.code, said.err
    return said.out


def test_what_was_learned_by_heart_is_found_and_told_beside_the_scores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    old, new = questions(tmp_path / "old.jsonl", 0), questions(tmp_path / "new.jsonl", 100)
    with chat_server() as server:
        server.answer = remembers
        words = ("probe", "m", "--benchmarks", old, "--against", new, "--server", server.address)
        words = (*words, "--out", "probe", "--quiet")
        found = json.loads(called(capsys, monkeypatch, *words, "--json"))
        assert len(server.asked) == 2 * 2 * 12
        told = called(capsys, monkeypatch, *words)
        assert len(server.asked) == 2 * 2 * 12  # nothing is asked again
        called(
            capsys, monkeypatch, "eval", "m", "--benchmarks", old, "--server", server.address, "--out", "eval"
        )
    [row] = found["tasks"]
    assert (row["exact"]["value"], row["rouge_l"]["value"], row["suspicious"]) == (1.0, 1.0, True)
    assert found["against"]["exact"]["value"] == 0.0
    assert row["answer_only"]["value"] == pytest.approx(1 / 12)
    assert "The model has most likely seen these questions" in told
    called(capsys, monkeypatch, "report", "eval", "probe")
    page = (tmp_path / "eval" / "report.html").read_text(encoding="utf-8")
    assert "Has the model seen the questions?" in page
    assert page.count("The model has most likely seen these questions") == 1


def test_lm_eval_s_tasks_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["harness", "probe", "tiny", "--benchmarks", "lm_eval:mmlu"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert "the questions of lm-eval's tasks cannot be cut" in capsys.readouterr().err
