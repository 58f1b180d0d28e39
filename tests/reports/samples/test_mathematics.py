"""Formulas as MathML: what is converted, and that nothing a model writes gets out of it or takes long."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.samples.mathematics import ATTRIBUTES, TAGS, formula, rendered


class Reader(HTMLParser):
    def __init__(self, markup: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.sources = ""
        self._hidden = 0
        self.feed(markup)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self._hidden += tag == "math"

    def handle_endtag(self, tag: str) -> None:
        self._hidden -= tag == "math"

    def handle_data(self, data: str) -> None:
        self.sources += "" if self._hidden else data


@pytest.mark.parametrize(
    "text",
    [
        r"$\frac{1}{2}$", r"so \(x^2\) is", r"\[ \sqrt{2} \]", r"$$\sum_{i=1}^n i$$",
        r"the answer is \boxed{\frac{3}{4}}.", r"$\begin{pmatrix}1&2\\3&4\end{pmatrix}$", r"\$5 and $x < y$",
    ],
)  # fmt: skip
def test_a_formula_is_drawn_and_its_source_stands_beside_it(text: str) -> None:
    markup = str(rendered(text))
    assert markup.count("<math") == 1
    assert Reader(markup).sources == text


@pytest.mark.parametrize(
    "text",
    [
        "it costs $5 and then $10", "a $ alone", r"\(never closed", r"\boxed{never closed", "$\n\n$",
        r"$\newcommand{\a}{\b\b}\a$", r"$\href{javascript:alert(1)}{x}$", r"$\frac$",
        "$" + "{" * 40 + "}" * 40 + "$", "$" + "x" * 700 + "$", "<b>no formula</b> & more",
    ],
)  # fmt: skip
def test_what_is_no_formula_stays_as_it_was_written(text: str) -> None:
    markup = str(rendered(text))
    assert "<math" not in markup
    assert Reader(markup).sources == text


@pytest.mark.parametrize(
    "text",
    [
        r"$\text{<script>alert(1)</script>}$", r"$\text{&lt;script&gt;&#x202e;}$", r"$\style{color:red}{x}$",
        r'$\class{a" onload="x}{y}$', r"$x</math><img src=x onerror=alert(1)>$", r"$\mbox{<svg onload=1>}$",
        r"\boxed{<iframe src=x>}", r"$\color{red;background:url(x)}{y}$",
    ],
)  # fmt: skip
def test_hostile_formulas_are_text(text: str) -> None:
    markup = str(rendered(text))
    found = Reader(markup)
    assert found.tags <= TAGS | {"span", "code"}
    assert found.attributes <= ATTRIBUTES | {"class"}
    assert found.sources == text
    assert "\u202e" not in markup


WORDS = (
    *("$", "$$", r"\(", r"\)", r"\[", r"\]", r"\boxed{", "{", "}", r"\frac", "x", "^", "_", "<b>", "&"),
    *(r"\text{a}", r"\left(", r"\begin{array}{c}", r"\end{array}", "#", "~", "%"),
)


@given(st.lists(st.sampled_from([*WORDS, " ", "\n"]), max_size=30))
def test_any_text_keeps_its_words_and_its_tags_apart(parts: list[str]) -> None:
    text = "".join(parts)
    found = Reader(str(rendered(text)))
    assert found.tags <= TAGS | {"span", "code"}
    assert found.sources == text


@pytest.mark.parametrize("mark", ["$", "$$", r"\[", r"\boxed{", r"\boxed{x}", "$x$ ", r"$\sqrt"])
def test_the_work_is_bounded_by_the_length(mark: str) -> None:
    """What grows with the square of the length would not come to its end here."""
    text = mark * (50_000 // len(mark))
    markup = str(rendered(text))
    assert Reader(markup).sources == text
    assert len(re.findall("<math", markup)) <= 300


def test_an_answer_needs_no_dollars() -> None:
    assert "<mfrac>" in formula(r"\frac{1}{2}")
    assert formula("a < b") == "a &lt; b"
    assert formula("7") == "7"
