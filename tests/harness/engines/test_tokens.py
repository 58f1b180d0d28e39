from __future__ import annotations

from copy import deepcopy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast

from evals.engine import Request, Sampling
from harness.engines.tokens import StopStrings, encode_prompts, finish_completions, first_stop


def test_a_beginning_token_in_the_prompt_is_not_doubled(byte_tokenizer: PreTrainedTokenizerFast) -> None:
    tokenizer = deepcopy(byte_tokenizer)
    tokenizer.bos_token = "<|pad|>"
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="<|pad|> $A", special_tokens=[("<|pad|>", tokenizer.pad_token_id)]
    )
    prompts = encode_prompts(tokenizer, [Request("<|pad|>ab", 1, 0), Request("ab", 1, 0)])
    assert prompts[0] == prompts[1]
    assert prompts[0].count(tokenizer.pad_token_id) == 1


def test_an_end_that_the_tokenizer_adds_is_no_part_of_a_prompt(
    byte_tokenizer: PreTrainedTokenizerFast,
) -> None:
    from copy import deepcopy

    from tokenizers.processors import TemplateProcessing

    tokenizer = deepcopy(byte_tokenizer)
    end, pad = tokenizer.eos_token, tokenizer.pad_token
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single=f"{pad} $A {end}",
        special_tokens=[(end, tokenizer.eos_token_id), (pad, tokenizer.pad_token_id)],
    )
    plain = byte_tokenizer("ab").input_ids
    assert encode_prompts(tokenizer, [Request("ab", 1, 0)]) == [[tokenizer.pad_token_id, *plain]]
    # One that the prompt itself ends with stays.
    assert encode_prompts(byte_tokenizer, [Request(f"ab{end}", 1, 0)]) == [[*plain, tokenizer.eos_token_id]]


def test_tags_that_are_special_tokens_stay_in_the_text(byte_tokenizer: PreTrainedTokenizerFast) -> None:
    from copy import deepcopy

    tokenizer = deepcopy(byte_tokenizer)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<think>", "</think>", "<|turn|>"]})
    said = "<think>3 and 4</think> 7<|turn|>"
    ids = [*tokenizer(said).input_ids, tokenizer.pad_token_id, tokenizer.eos_token_id]
    ends = frozenset([tokenizer.eos_token_id])
    (done,) = finish_completions(tokenizer, [ids], [[0.0] * len(ids)], ends, Sampling())
    assert (done.text, done.finish_reason) == (said, "stop")
    assert StopStrings(tokenizer, ("<|turn|>",)).reached([ids[:-2]]) == [True]
    (cut,) = finish_completions(
        tokenizer, [ids[:-2]], [[0.0] * len(ids[:-2])], ends, Sampling(stop=("<|turn|>",))
    )
    assert (cut.text, cut.finish_reason) == ("<think>3 and 4</think> 7", "stop")
    # A padding token is silent, but not where it is what one stops at.
    assert StopStrings(tokenizer, (tokenizer.pad_token,)).reached([ids[:-1]]) == [True]


@settings(max_examples=200)
@given(text=st.text("ab é€😀<think>", max_size=30), word=st.text("ab é€😀", min_size=1, max_size=3))
def test_stop_strings_are_seen_at_the_token_that_completes_them(
    byte_tokenizer: PreTrainedTokenizerFast, text: str, word: str
) -> None:
    ids = byte_tokenizer(text).input_ids
    stops = StopStrings(byte_tokenizer, (word,))
    reached = [i for i in range(1, len(ids) + 1) if stops.reached([ids[:i]])[0]]
    if word not in text:
        assert reached == []
        return
    completed = text[: text.index(word) + len(word)]
    assert reached[0] == len(byte_tokenizer(completed).input_ids)
    cut = finish_completions(
        byte_tokenizer,
        [ids[: reached[0]]],
        [[0.0] * reached[0]],
        frozenset(),
        Sampling(stop=(word,)),
    )[0]
    assert cut.text == text[: text.index(word)]
    assert cut.finish_reason == "stop"


@pytest.mark.parametrize(("stop", "place"), [((), None), (("x",), None), (("b", "a"), 0), (("cab", "ca"), 2)])
def test_the_earliest_stop_string_counts(stop: tuple[str, ...], place: int | None) -> None:
    assert first_stop("abcab", stop) == place


@pytest.mark.parametrize(
    ("text", "stop", "before"),
    [
        ("Paris<|pad|>user\nAnd", ("<|pad|>",), "Paris"),
        ("Paris\n<|pad|>user", ("\n<|pad|>u",), "Paris"),
        ("a<|extra|>b<|pad|>c", ("<|pad|>",), "a<|extra|>b"),  # another special token is text
        ("a\nb<|pad|>c", ("<|pad|>", "\n"), "a"),
        ("a<|pad|>b\nc", ("\n", "<|pad|>"), "a"),
        ("one<|extra|>two", ("<|extra|>",), "one"),  # special, but not the tokenizer's named ones
        ("a<|pad|>b", ("x",), None),
        ("ab", ("<|pad|>",), None),
    ],
)
def test_a_stop_string_may_be_a_special_token(
    byte_tokenizer: PreTrainedTokenizerFast, text: str, stop: tuple[str, ...], before: str | None
) -> None:
    tokenizer = deepcopy(byte_tokenizer)
    tokenizer.backend_tokenizer.add_special_tokens([AddedToken("<|extra|>", special=True)])
    ids = tokenizer(text).input_ids
    seen = StopStrings(tokenizer, stop)
    places = [i for i in range(1, len(ids) + 1) if seen.reached([ids[:i]])[0]]
    drawn = ids[: places[0]] if places else ids
    [found] = finish_completions(tokenizer, [drawn], [[0.0] * len(drawn)], frozenset(), Sampling(stop=stop))
    assert (len(drawn) < len(ids)) == (before is not None)
    assert found.finish_reason == ("length" if before is None else "stop")
    assert found.text == (before if before is not None else text.replace("<|pad|>", ""))
