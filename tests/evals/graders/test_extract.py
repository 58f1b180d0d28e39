"""Which part of a response is the answer, and which rule says so."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.graders.extract import Extraction, extract
from evals.graders.whole_value import LAST_NUMBER

BOX, TAG, PHRASE, LINE, SHARPS = "box", "<answer>", "the answer is", "answer line", "####"


@pytest.mark.parametrize(
    ("text", "answer", "rule"),
    [
        (r"so \boxed{5}", "5", BOX),
        (r"first \boxed{4}, no: \boxed{5}.", "5", BOX),
        (r"\boxed{\frac{1}{2}}", r"\frac{1}{2}", BOX),
        (r"\boxed{\{1, 2\}}", r"\{1, 2\}", BOX),
        (r"\boxed{ \text{a \{ brace} }", r"\text{a \{ brace}", BOX),
        (r"\boxed{\boxed{7}}", r"\boxed{7}", BOX),
        (r"\fbox{7}", "7", BOX),
        (r"\boxed 7", "7", BOX),
        (r"\boxed{\frac{1}{2}" + "\nis it", r"\frac{1}{2}", BOX),
        (r"an open { and \boxed{7}", "7", BOX),
        (r"\boxed{} The answer is 8.", "8", PHRASE),
        # boxes that are one answer together
        (r"\boxed{4} and \boxed{7}", "4, 7", BOX),
        (r"$\boxed{4}$, $\boxed{7}$", "4, 7", BOX),
        (r"$x=\boxed{4}$, $y=\boxed{7}$", "4, 7", BOX),
        (r"\boxed{4}, \boxed{4}", "4", BOX),
        (r"\boxed{4} is wrong, \boxed{7}", "7", BOX),
        # reasoning
        (r"<think>\boxed{4}</think> \boxed{5}", "5", BOX),
        (r"\boxed{4}</think> \boxed{5}", "5", BOX),
        (r"<think>\boxed{4}</think> The answer is 5.", "5", PHRASE),
        (r"<think>\boxed{4}</think>", "4", "box inside the reasoning"),
        (r"<think>a</think>\boxed{1}<think>\boxed{4}</think>\boxed{5}", "5", BOX),
        (r"<think>a</think>\boxed{1}<think>and more", "1", BOX),
        # tags
        ("<think>2</think><answer> 5 </answer>", "5", TAG),
        ("<answer>5</answer> no <answer>$6$</answer>", "6", TAG),
        ("<answer>The answer is 7.</answer>", "7", TAG),
        (r"<answer>\boxed{8}</answer>", "8", BOX),
        ("<answer>5", "5", TAG),
        # phrases
        ("The answer is 42.", "42", PHRASE),
        ("The answer is $3.5$ metres.", "3.5", PHRASE),
        ("The answer is 3.5 metres. Well done.", "3.5 metres", PHRASE),
        (r"The answer is $\$18$.", r"\$18", PHRASE),
        ("The answer is $5$ or $6$.", "5, 6", PHRASE),
        ("**Answer:** -5", "-5", PHRASE),
        ("Answer: **-5** (checked)", "-5", PHRASE),
        (r"Final Answer: The final answer is \(x=5\). I hope it is correct.", "x=5", PHRASE),
        ("The answer is\n\\[\n12\n\\]", "12", PHRASE),
        ("The answer is Evelyn.", "Evelyn", PHRASE),
        ("The answer is not at all obvious to any of us.\n#### 9", "9", SHARPS),
        # lines
        ("2 + 2 = 4\nA: 4", "4", LINE),
        ("**Final Answer**\n$x = 3$", "x = 3", LINE),
        ("2 + 2 = 4\n#### 1,234", "1,234", SHARPS),
        # the fallback
        ("so we get 3.5 and then 17", "17", LAST_NUMBER),
        ("it is 1,234.", "1,234", LAST_NUMBER),
        ("it is -3/4", "-3/4", LAST_NUMBER),
    ],
)
def test_the_rules_in_order(text: str, answer: str, rule: str) -> None:
    assert extract(text) == Extraction(answer, rule)


@pytest.mark.parametrize(
    "text", ["", "   ", "no idea", "<think></think>", r"\boxed{}", r"<think>\boxed{4} and 5", "</think>"]
)
def test_no_answer(text: str) -> None:
    assert extract(text).answer is None


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"\boxed{4} and so", "4"),
        (r"\boxed{4} or rather \boxed{", "4"),
        (r"\boxed{4", None),
        (r"<think>\boxed{4}", None),
        (r"<think>\boxed{4}</think>", None),
        (r"<think>\boxed{4}</think> \boxed{5}", "5"),
        ("<answer>12", None),
        ("<answer>12</answer> but", "12"),
        ("<answer>12</answer> but <answer>1", "12"),
        ("The answer is 4", None),
        ("The answer is 4.", None),  # 4.5, perhaps
        ("The answer is 4. Let me", "4"),
        ("The answer is $4$", "4"),
        ("so we get 17", None),
    ],
)
def test_a_response_that_was_cut_has_only_what_it_finished(text: str, answer: str | None) -> None:
    assert extract(text, truncated=True).answer == answer


balanced = st.recursive(
    st.text(st.characters(exclude_characters="{}\\<~", exclude_categories=("Cs", "Cf")), max_size=8),
    lambda inner: st.lists(inner.map(lambda text: f"{{{text}}}"), max_size=3).map("".join),
    max_leaves=6,
)
prose = st.text(st.sampled_from("ab 1.,{}\n$\\("), max_size=60)


@given(prose, balanced.filter(lambda text: any(map(str.isalnum, text))), prose)
def test_a_final_box_is_found_whatever_surrounds_it(before: str, content: str, after: str) -> None:
    # A backslash would escape the box; a brace that closes nothing would close the box's.
    before = before.rstrip("\\")
    assert extract(f"{before}\\boxed{{{content}}}{after}") == Extraction(content.strip(), BOX)


@given(st.text(max_size=400), st.booleans())
def test_any_text_has_an_extraction(text: str, truncated: bool) -> None:
    found = extract(text, truncated)
    assert found.rule
    assert found.answer is None or found.answer.strip()
    assert not (truncated and found.rule == LAST_NUMBER)


@pytest.mark.parametrize(
    "text",
    [
        "\\boxed{" * 100_000,
        "\\boxed{1}, " * 60_000,
        "{" * 1_000_000,
        "}" * 1_000_000,
        "<answer>" * 100_000,
        "<think>" * 100_000,
        "The answer is $" + "$\\" * 500_000,
        "the answer is " * 60_000,
        "answer" + " " * 1_000_000,
        "1," * 500_000,
        "#### " * 100_000 + "\n####" * 100_000,
    ],
    ids=lambda text: text[:20],
)
@pytest.mark.timeout(60)
def test_a_megabyte_of_anything_is_read_once(text: str) -> None:
    for truncated in (False, True):
        extract(text, truncated)
