"""Reading samples.jsonl for the page: first of each kind, hostile text, damaged lines."""

from __future__ import annotations

import json
from pathlib import Path

import hypothesis.strategies as st
from hypothesis import given

from evals.base.text import printable
from reports.samples import records, shown


def _write(path: Path, *rows: object) -> Path:
    lines = [row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows]
    path.write_bytes(b"\n".join(lines) + b"\n")
    return path


def test_the_lowest_sample_of_each_kind_is_shown_whatever_the_order(tmp_path: Path) -> None:
    path = _write(
        tmp_path / "samples.jsonl",
        {"id": "a", "sample": 5, "response": "five", "status": "wrong", "finish_reason": "stop"},
        {"id": "a", "sample": 2, "response": "two", "status": "wrong", "finish_reason": "stop"},
        {"id": "a", "sample": 9, "response": "nine", "status": "correct", "finish_reason": "stop"},
        {"id": "a", "sample": 1, "response": "cut", "status": "wrong", "finish_reason": "length"},
    )
    shown = records.first_samples(records.index(path), "a")
    assert [(s.number, s.status, s.truncated, s.reply) for s in shown] == [
        (9, "correct", False, "nine"),
        (2, "wrong", False, "two"),
        (1, "wrong", True, "cut"),
    ]


def test_damaged_lines_are_counted_and_passed_over(tmp_path: Path) -> None:
    good = {"id": "a", "sample": 0, "response": "x", "status": "correct"}
    path = _write(tmp_path / "s.jsonl", b'{"id": "a", "resp', b"[1]", b"7", b'{"sample": 1}', b"", good)
    found = records.index(path)
    assert found.damaged == 4
    assert [s.reply for s in records.first_samples(found, "a")] == ["x"]


def test_broken_utf8_is_shown_with_replacement_characters(tmp_path: Path) -> None:
    path = _write(tmp_path / "s.jsonl", b'{"id": "a", "response": "caf\xe9 \xff", "status": "wrong"}')
    assert records.first_samples(records.index(path), "a")[0].reply == "caf\ufffd \ufffd"


def test_an_unknown_question_has_no_samples(tmp_path: Path) -> None:
    path = _write(tmp_path / "s.jsonl", {"id": "a", "response": "x", "status": "wrong"})
    assert records.first_samples(records.index(path), "b") == []


def test_reasoning_is_split_as_the_graders_split_it() -> None:
    split = shown.reasoning_and_reply
    assert split("<think>\nso 7</think>The answer is 7") == ("so 7", "The answer is 7")
    assert split("<thinking>so 7</thinking>The answer is 7") == ("so 7", "The answer is 7")
    assert split("so </think> and </think>7") == ("so </think> and ", "7")
    assert split("<think>a</think>```\ntag = '</think>'\n```") == ("a", "```\ntag = '</think>'\n```")
    assert split("never <think>closed") == ("never <think>closed", "")
    assert split("<think>a</think>7<think>again") == ("a</think>7<think>again", "7")
    assert split("no tags") == ("", "no tags")


def test_what_cannot_be_seen_is_named() -> None:
    assert printable("a\x00b\u202ec\n\td") == "a⟦U+0000⟧b⟦U+202E⟧c\n\td"
    assert printable("\ud83d") == "⟦U+D83D⟧"


@given(st.text(st.characters()))
def test_shown_text_can_be_written_and_keeps_every_visible_character(text: str) -> None:
    shown = printable(text)
    shown.encode("utf-8")
    assert not any(ord(c) < 32 and c not in "\n\t" for c in shown)
    for character in text:
        if character.isalnum():
            assert character in shown


@given(st.text(max_size=300), st.integers(30, 100))
def test_shortening_keeps_both_ends(text: str, longest: int) -> None:
    short = shown.shorten(text, longest)
    if len(text) <= longest:
        assert short == text
    else:
        assert short.startswith(text[: longest * 2 // 3])
        assert short.endswith(text[-(longest // 3) :])


@given(st.integers(0, 60), st.integers(0, 40))
def test_spread_takes_distinct_items_in_order_with_both_ends(size: int, count: int) -> None:
    items = [f"{i:03d}" for i in range(size)]
    taken = records.spread(items, count)
    assert len(taken) == min(size, count)
    assert taken == sorted(set(taken))
    if size >= 2 and count >= 2:
        assert (taken[0], taken[-1]) == (items[0], items[-1])
