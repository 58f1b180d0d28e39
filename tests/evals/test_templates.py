"""The wording that models see is a protocol: it is pinned here word for word."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from evals.base.errors import UsageError
from evals.task import Question, Task, TaskError
from evals.tasks import registry
from evals.templates import BOXED, TEMPLATES, Template, check, label, render, stops

QUESTION = Question("1", "What is {x} + 2? \\frac{1}{2}", "4")


def task(grader: str = "math") -> Task:
    return Task("t", "T", grader, ("test",), "test", lambda split: [QUESTION], "made up")


class ChatTokenizer:
    """A chat template in the form that apply_chat_template gives back, its Jinja text aside."""

    def __init__(self, opening: str = "", source: str = "set") -> None:
        self.opening = opening
        self.chat_template = source

    def apply_chat_template(
        self, messages: list[dict[str, str]], tokenize: bool, add_generation_prompt: bool, **settings: Any
    ) -> str:
        assert not tokenize
        assert add_generation_prompt
        if any(message["content"] == "refuse me" for message in messages):
            raise ValueError("System role not supported")
        said = "".join(f"[{m['role']}]{m['content']}" for m in messages)
        off = settings.get("enable_thinking") is False
        return said + "[assistant]" + ("<think>\n\n</think>\n\n" if off else self.opening)


THINKING = "{{ messages }}{% if enable_thinking is false %}<think></think>{% endif %}"


def test_r1_zero_is_the_papers_table_1() -> None:
    prompt = render(QUESTION, task(), "r1-zero", None)
    assert prompt == (
        "A conversation between User and Assistant. The user asks a question, and the Assistant solves it. "
        "The assistant first thinks about the reasoning process in the mind and then provides the user "
        "with the answer. The reasoning process and answer are enclosed within <think> </think> and "
        "<answer> </answer> tags, respectively, i.e., <think> reasoning process here </think> <answer> "
        "answer here </answer>. User: What is {x} + 2? \\frac{1}{2}. Assistant:"
    )


def test_plain_templates() -> None:
    assert render(QUESTION, task(), "tags", None) == f"User: {QUESTION.text}\nAssistant:"
    assert render(QUESTION, task(), "plain", None) == QUESTION.text


@pytest.mark.parametrize(
    ("grader", "told"), [("math", "\\boxed{}"), ("integer", "\\boxed{}"), ("code", "fenced")]
)
def test_chat_boxed_instructs_by_grader(grader: str, told: str) -> None:
    prompt = render(QUESTION, task(grader), "chat-boxed", ChatTokenizer())
    assert prompt.startswith(f"[user]{QUESTION.text}\nPlease reason step by step")
    assert told in prompt


def test_a_duel_is_asked_the_question_alone() -> None:
    prompt = render(QUESTION, task("alpaca_eval"), "chat-boxed", ChatTokenizer())
    assert prompt == f"[user]{QUESTION.text}[assistant]"


@pytest.mark.parametrize(
    ("tokenizer", "settings", "ending"),
    [
        (ChatTokenizer(), {}, "[assistant]"),  # does not think: nothing is forced
        (ChatTokenizer(source=THINKING), {}, "[assistant]<think>\n"),
        (ChatTokenizer(source="{% if '</think>' in content %}"), {}, "[assistant]<think>\n"),
        (ChatTokenizer("<think>\n", THINKING), {}, "[assistant]<think>\n"),
        (ChatTokenizer("<think>\n\n</think>\n\n", THINKING), {}, "[assistant]<think>\n\n</think>\n\n"),
        (
            ChatTokenizer(source=THINKING),
            {"chat_template_kwargs": {"enable_thinking": False}},
            "[assistant]<think>\n\n</think>\n\n",
        ),
        (ChatTokenizer(source=THINKING), {"opens": ""}, "[assistant]"),
        (ChatTokenizer(), {"opens": "<think>\n"}, "[assistant]<think>\n"),
        (ChatTokenizer("<think>\n"), {"opens": "<think>\n"}, "[assistant]<think>\n"),
    ],
)
def test_thinking_is_opened_where_the_tokenizers_template_thinks(
    tokenizer: ChatTokenizer, settings: dict[str, Any], ending: str
) -> None:
    prompt = render(QUESTION, task(), Template(**settings), tokenizer)
    assert prompt.endswith(ending)
    assert prompt.count("<think>") == ending.count("<think>")


def test_the_usual_template_is_chat_where_the_tokenizer_has_one() -> None:
    chats = ChatTokenizer()
    assert render(QUESTION, task(), "auto", chats) == render(QUESTION, task(), "chat-boxed", chats)
    assert render(QUESTION, task(), "auto", None) == render(QUESTION, task(), "r1-zero", None)


def test_a_template_of_ones_own() -> None:
    own = Template(system="Be brief.", instruction="{question} Braces: {x}.")
    assert render(QUESTION, task(), own, ChatTokenizer()) == (
        f"[system]Be brief.[user]{QUESTION.text} Braces: {{x}}.[assistant]"
    )
    text = Template(kind="text", system="Be brief.", instruction="Q: {question}\nA:", opens=" The answer is")
    assert render(QUESTION, task(), text, None) == f"Be brief.\n\nQ: {QUESTION.text}\nA: The answer is"


def test_what_a_question_says_is_not_interpreted() -> None:
    question = Question("1", "What is {format}, {question} and {answer}?", "4")
    assert render(question, task(), "chat-boxed", ChatTokenizer()).startswith(f"[user]{question.text}\n")


def test_examples_stand_before_the_question() -> None:
    first, second, third = registry.load_spec("tiny-math:train[:3]")[1]
    shown = Template(examples="tiny-math:train[:2]", instruction="{question}\n{format}")
    prompt = render(third, registry.get("tiny-math"), shown, ChatTokenizer())
    told = [f"[user]{q.text}\n{BOXED}[assistant]\\boxed{{{q.gold}}}" for q in (first, second)]
    assert prompt == "".join(told) + f"[user]{third.text}\n{BOXED}[assistant]"
    text = Template(
        kind="text", examples="tiny-math:train[:2]", instruction="{question} =", example_answer="<{answer}>"
    )
    assert render(third, registry.get("tiny-math"), text, None) == (
        f"{first.text} = <{first.gold}>\n\n{second.text} = <{second.gold}>\n\n{third.text} ="
    )
    # The question's own answer is never shown to it.
    assert render(first, registry.get("tiny-math"), text, None) == (
        f"{second.text} = <{second.gold}>\n\n{first.text} ="
    )


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"instruction": "Say something."}, "must contain {question}"),
        ({"stop": ["", "x"]}, "must not be empty"),
        ({"kind": "text", "chat_template_kwargs": {"enable_thinking": False}}, "no effect with kind"),
        ({"example_answer": "{answer}"}, "no effect without examples"),
        ({"sytem": "x"}, "Extra inputs"),
    ],
)
def test_a_template_that_makes_no_sense_is_refused(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        Template(**settings)


def test_a_chat_template_that_refuses_the_messages_is_quoted() -> None:
    with pytest.raises(TaskError, match="chat template fails: System role not supported"):
        render(QUESTION, task(), Template(system="refuse me"), ChatTokenizer())


def test_a_function_in_a_file_is_a_template(tmp_path: Path) -> None:
    file = tmp_path / "own.py"
    file.write_text(
        "from evals.templates import Template\n"
        "def shout(question, task, tokenizer):\n    return question.text.upper()\n"
        "def broken(question, task, tokenizer):\n    return 1 / 0\n"
        "def nothing(question, task, tokenizer):\n    return None\n"
        "SHORT = Template(kind='text', instruction='{question}?', stop=('!',))\n"
        "NUMBER = 5\n"
    )
    assert render(QUESTION, task(), f"{file}:shout", None) == QUESTION.text.upper()
    assert render(QUESTION, task(), f"{file}:SHORT", None) == f"{QUESTION.text}?"
    assert stops(f"{file}:SHORT", None) == ("!",)
    for name, told in {"broken": "fails on question '1': division", "nothing": "not NoneType"}.items():
        with pytest.raises(TaskError, match=told):
            render(QUESTION, task(), f"{file}:{name}", None)
    with pytest.raises(UsageError, match="must be a Template or a function"):
        check(f"{file}:NUMBER")


def test_a_template_without_a_name_is_told_by_its_settings() -> None:
    assert label("tags") == "tags"
    assert label(Template()) == label(Template())
    assert label(Template()) != label(Template(system=""))
    assert label(Template(kind="text", instruction="{question}")).startswith("text-")


def test_unusable_templates_say_what_is_accepted() -> None:
    with pytest.raises(UsageError, match=f"unknown template 'r2'.*{', '.join(TEMPLATES.names())}"):
        render(QUESTION, task(), "r2", None)
    with pytest.raises(TaskError, match="this model's has none; use r1-zero"):
        render(QUESTION, task(), "chat-boxed", None)
