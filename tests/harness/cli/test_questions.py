"""`harness data check` and `harness tasks`: the user's own questions and the built-in ones."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from evals.base.errors import UsageError
from evals.task import TaskError
from harness.cli import app, questions
from harness.models.policy import Policy


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path))
    rows = [{"q": f"What is {i} + 1?", "a": "many" if i == 3 else i + 1} for i in (*range(6), 0)]
    Path("mine.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    known = {"id": 1, "problem": "What is 5 + 1 ?", "answer": 6}
    Path("aime24.jsonl").write_text(json.dumps(known) + "\n")
    Path("tasks.toml").write_text(
        '[tasks.mine]\nsource = "mine.jsonl"\ngrader = "integer"\n'
        'columns = { question = "q", answer = "a" }\n'
    )


def test_what_is_wrong_with_questions_is_told() -> None:
    asked = ["data", "check", "mine[:]", "--task-file", "tasks.toml", "--against", "mine[5:6]", "--json"]
    result = CliRunner().invoke(app, asked)
    assert result.exit_code == 0, result.output
    [found] = json.loads(result.stdout)
    assert (found["questions"], found["duplicates"], found["grader"]) == (7, 1, "integer")
    assert found["columns"] == {"question": "q", "answer": "a"}
    assert [each["gold"] for each in found["shown"]] == ["1", "2", "3"]
    assert [sentence.split(":")[0] for sentence in found["overlaps"]] == ["mine[5", "aime24"]
    [unreadable] = found["unreadable"]
    assert "'many'" in unreadable
    told = CliRunner().invoke(app, asked[:-1]).stdout
    assert "Duplicates (same text): 1" in told
    assert "What is 0 + 1?" in told


def test_a_name_that_is_neither_a_file_nor_a_task() -> None:
    with pytest.raises(TaskError, match="unknown task 'mines'; did you mean 'mine'"):
        CliRunner().invoke(
            app, ["data", "check", "mines", "--task-file", "tasks.toml"], catch_exceptions=False
        )


def test_every_task_is_listed_with_what_is_known_of_it() -> None:
    rows = {row.name: row for row in questions.listed()}
    assert rows["gsm8k"].splits == {"test": 1319, "train": 7473}
    assert (rows["gsm8k"].checked, rows["hmmt25"].checked) == ("checked", "not checked")
    assert rows["tiny-aime"].checked == "generated"
    assert rows["mmlu-pro"].grader == "choice"


def test_examples_to_learn_from_are_shown_as_they_are_learned(tiny_random_policy: Policy) -> None:
    tiny_random_policy.model.save_pretrained("model")
    tiny_random_policy.tokenizer.save_pretrained("model")
    rows = [{"prompt": "ab", "completion": "cd"}, {"prompt": "a"}, {"text": "one"}]
    Path("sft.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    asked = ["data", "check", "sft.jsonl", "--model", "model"]
    result = CliRunner().invoke(app, [*asked, "--json"])
    assert result.exit_code == 0, result.output
    [found] = json.loads(result.stdout)
    assert (found["examples"], found["tokens"], found["learned"]) == (2, [4, 4.5, 5], 6)
    assert found["first"] == "ab⟪cd<|endoftext|>⟫"
    [broken] = found["broken"]
    assert broken.startswith("line 2: ")
    told = CliRunner().invoke(app, asked).stdout
    assert "sft.jsonl: 2 training examples" in told
    assert "ab⟪cd<|endoftext|>⟫" in told
    with pytest.raises(UsageError, match=r"sft\.jsonl: contains training examples, .* --model MODEL"):
        CliRunner().invoke(app, asked[:3], catch_exceptions=False)
