"""What cannot fit is refused by its key, from the configuration alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from evals.base.errors import UsageError
from evals.task import Question, Task
from evals.tasks import registry
from evals.templates import render
from harness import config
from harness.models.policy import Policy, save_policy
from harness.train import preflight
from harness.train.preflight import check_fit, room
from harness.train.questions import Asked

QUESTIONS = [Question(str(i), "how much is " + "one plus " * i + "one?", "1") for i in range(4)]
TASK = Task("sums", "Sums", "integer", ("train",), "train", lambda split: QUESTIONS, "made here")
ALL, NONE = Asked([(TASK, QUESTIONS)]), Asked([])
POSITIONS = 256


@pytest.fixture
def folder(tiny_random_policy: Policy, tmp_path: Path) -> Path:
    """A model without its weights: they are not looked at."""
    save_policy(tiny_random_policy, tmp_path)
    (tmp_path / "model.safetensors").unlink()
    return tmp_path


def experiment(folder: Path, stage: dict[str, Any], **tables: Any) -> config.Experiment:
    raw = {
        "name": "x",
        "policy": {"model": str(folder), "template": "tags", **tables.pop("policy", {})},
        "data": {"train": "sums"},
        "stages": [stage],
        **tables,
    }
    return config.validate(raw, "x.toml")


def test_the_longest_prompt_and_completion_must_have_positions(
    folder: Path, tiny_random_policy: Policy
) -> None:
    text = render(QUESTIONS[-1], TASK, "tags", tiny_random_policy.tokenizer)
    longest = len(tiny_random_policy.tokenizer(text).input_ids)
    check_fit(experiment(folder, {"max_tokens": POSITIONS - longest}), ALL, NONE)
    fits = POSITIONS - longest
    words = rf"grpo\.max_tokens: {fits + 1} .* of {longest} tokens, .*at most {fits} fit"
    with pytest.raises(UsageError, match=words):
        check_fit(
            experiment(folder, {"max_tokens": POSITIONS - longest + 1}), Asked([(TASK, QUESTIONS[:1])]), ALL
        )


def test_of_many_prompts_those_alone_are_rendered_that_may_not_fit(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rendered: list[str] = []

    def counted(question: Question, *rest: Any) -> str:
        rendered.append(question.id)
        return render(question, *rest)

    monkeypatch.setattr(preflight, "render", counted)
    texts = [f"what is {i} and one?" for i in range(300)]
    texts[250] = "é" * 95  # two bytes each, so that it may or may not fit
    texts[270] = "x" * 240
    many = [Question(str(i), text, "1") for i, text in enumerate(texts)]
    check_fit(experiment(folder, {"max_tokens": 40}), Asked([(TASK, many[:270])]), NONE)
    assert rendered == [str(i) for i in (*range(preflight.TRIED), 250)]
    with pytest.raises(UsageError, match=r"grpo\.max_tokens: 40 and the longest prompt, of 2\d\d tokens"):
        check_fit(experiment(folder, {"max_tokens": 40}), NONE, Asked([(TASK, many)]))


def test_of_a_file_whose_longest_question_fits_the_others_are_not_looked_at(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    rendered: list[str] = []

    def counted(question: Question, *rest: Any) -> str:
        rendered.append(question.id)
        return render(question, *rest)

    monkeypatch.setattr(preflight, "render", counted)
    texts = [f"what is {i} and one?" for i in range(300)]

    def of_file(name: str) -> Asked:
        rows = [json.dumps({"id": str(i), "question": text, "answer": 1}) for i, text in enumerate(texts)]
        (tmp_path / name).write_text("\n".join(rows))
        return Asked([registry.load_spec(str(tmp_path / name))])

    check_fit(experiment(folder, {"max_tokens": 40}), of_file("a.jsonl"), NONE)
    assert rendered == [str(i) for i in range(preflight.TRIED)]
    texts[270] = "x" * 240
    with pytest.raises(UsageError, match=r"grpo\.max_tokens: 40 and the longest prompt, of 2\d\d tokens"):
        check_fit(experiment(folder, {"max_tokens": 40}), of_file("b.jsonl"), NONE)


def test_what_suffices_for_many_prompts_is_no_more_than_there_is(
    folder: Path, tiny_random_policy: Policy
) -> None:
    many = [Question(str(i), "é" * (i % 70), "1") for i in range(300)]
    longest = max(
        len(tiny_random_policy.tokenizer(render(question, TASK, "tags", None)).input_ids) for question in many
    )
    needed = room(experiment(folder, {"max_tokens": 40}), Asked([(TASK, many)]), NONE)
    assert needed is not None
    assert longest + 40 <= needed <= POSITIONS


def test_stages_that_sample_dev_questions_alone_are_held_to_them(folder: Path) -> None:
    stage = {"kind": "sft", "data": "tiny-traces", "max_tokens": POSITIONS}
    check_fit(experiment(folder, stage), ALL, NONE)
    with pytest.raises(UsageError, match=r"sft\.max_tokens"):
        check_fit(experiment(folder, stage), NONE, ALL)


def test_an_evaluation_needs_room_for_prompts(folder: Path) -> None:
    tables = {"eval": {"benchmarks": ["tiny-math"], "max_tokens": POSITIONS}}
    with pytest.raises(UsageError, match=r"eval\.max_tokens: 256"):
        check_fit(experiment(folder, {"max_tokens": 8}, **tables), ALL, NONE)
    tables = {"eval": {"benchmarks": ["tiny-math"]}}  # what the protocol allows ends where positions do
    check_fit(experiment(folder, {"max_tokens": 8}, **tables), ALL, NONE)


def test_adapters_are_checked_against_the_architecture(folder: Path) -> None:
    tables = {"policy": {"lora": {"targets": ["wq"]}}}
    with pytest.raises(UsageError, match=r"policy\.lora\.targets: .*'wq'.*q_proj"):
        check_fit(experiment(folder, {"max_tokens": 8}, **tables), ALL, NONE)
    check_fit(experiment(folder, {"max_tokens": 8}, policy={"lora": {"rank": 4}}), ALL, NONE)


def test_a_damaged_configuration_is_named(folder: Path) -> None:
    (folder / "config.json").write_text("{", encoding="utf-8")
    with pytest.raises(UsageError, match=str(folder)):
        check_fit(experiment(folder, {"max_tokens": 8}), ALL, NONE)
