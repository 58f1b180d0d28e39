"""Text that cannot steer a terminal, JSON that every reader takes."""

from __future__ import annotations

import json
import math

import pytest

from evals.base.text import dumps, duration, finite, printable, printable_json


def strict(text: str) -> object:
    def refuse(name: str) -> object:
        raise ValueError(name)

    return json.loads(text, parse_constant=refuse)


def test_numbers_that_are_not_finite_become_null() -> None:
    value = {"a": math.inf, "b": [1.5, math.nan, {"c": -math.inf}], "d": (0.0, "NaN"), "e": True, "f": None}
    expected = {"a": None, "b": [1.5, None, {"c": None}], "d": [0.0, "NaN"], "e": True, "f": None}
    assert strict(dumps(value)) == expected
    assert strict(printable_json(value)) == expected
    assert dumps({"a": 1.25}) == json.dumps({"a": 1.25})
    assert finite([math.nan, 2]) == [None, 2]


@pytest.mark.parametrize(
    "hostile", ["\x1b[2J", "\x1b]0;title\x07", "a\rb", "\x9b31m", "\u202egnp", "\x00", "\x7f", "\ud83d"]
)
def test_what_steers_a_terminal_is_named(hostile: str) -> None:
    shown = printable(f"name {hostile} end")
    assert not any(ord(c) < 32 or 0x7F <= ord(c) < 0xA0 or c in "\u202e\ud83d" for c in shown)
    assert "⟦U+" in shown
    told = printable_json({hostile: hostile})
    assert not any((ord(c) < 32 and c != "\n") or 0x7F <= ord(c) < 0xA0 or c == "\u202e" for c in told)
    assert json.loads(told) == {hostile: hostile}


def test_plain_text_stays_as_it_is() -> None:
    assert printable("Größe\t1\n東京 ½") == "Größe\t1\n東京 ½"


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (None, ""), (0, "0 s"), (0.004, "< 0.01 s"), (0.04, "0.04 s"), (4.21, "4.2 s"), (9.96, "10 s"),
        (89.4, "89 s"), (90, "2 min"), (3569, "59 min"), (3570, "1 h 00 min"), (11_100, "3 h 05 min"),
        (187_200, "2 d 4 h"), (math.inf, "–"),
    ],
)  # fmt: skip
def test_durations(seconds: float | None, shown: str) -> None:
    assert duration(seconds) == shown
