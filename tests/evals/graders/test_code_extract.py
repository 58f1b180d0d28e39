"""Which program a response contains, in the shapes that models and recorded files have."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evals.graders.code_extract import extract_function, extract_script, with_preamble

PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # of busy machines
PROMPT = 'import math\n\n\ndef area(r: float) -> float:\n    """Area of a circle."""\n'
BODY = "    return math.pi * r * r\n"
WHOLE = "def area(r):\n    return math.pi * r * r\n"


def _run(sources: tuple[str, ...]) -> float:
    """The area that the first reading that compiles gives for radius 1."""
    for source in sources:
        try:
            code = compile(source, "reading", "exec")
        except SyntaxError:
            continue
        names: dict[str, object] = {}
        exec(code, names)
        return names["area"](1)  # type: ignore[operator, no-any-return]
    raise AssertionError(f"no reading compiles: {sources}")


@pytest.mark.parametrize(
    "response",
    [
        BODY,
        "return math.pi * r * r",
        "    x = r * r\n    return math.pi * x",
        "x = r * r\nreturn math.pi * x",
        WHOLE,
        PROMPT + BODY,
        f"```python\n{WHOLE}```",
        f"```\n{WHOLE}```",
        f"``` py\n{WHOLE}\n```\nThat is it.",
        f"Sure!\n```python\n{WHOLE}```\nUse it so:\n```python\nprint(area(2))\n```",
        f"```python\ndef area(r):\n    return 0\n```\nBetter:\n```python\n{WHOLE}```",
        f"```python\n{WHOLE}",
        f"```python\n{BODY}```",
        "  ```python\n    def area(r):\n        return math.pi * r * r\n  ```",
        f"<think>```python\ndef area(r): return 0\n```</think>```python\n{WHOLE}```",
        f"```python\ndef area(r):\n    return 0\n```</think><answer>{WHOLE}</answer>",
        f"<think>x</think><answer>```python\n{WHOLE}```</answer>",
        f"Here it is:\n\n{WHOLE}",
        f"[BEGIN]\n{WHOLE}[DONE]\nno more",
        "area = lambda r: math.pi * r * r",
        f"```python\nclass Helper:\n    pass\n\n{WHOLE}```",
    ],
)
def test_every_shape_gives_the_same_function(response: str) -> None:
    found = extract_function(response, "area", PROMPT)
    assert found is not None
    assert _run(found.sources) == pytest.approx(3.14159265)


@pytest.mark.parametrize(
    "response",
    ["", "   \n", "<think>def area(r): return 1", "<think>\nlong", "</think>  \n", "<answer></answer>"],
)
def test_no_program_no_extraction(response: str) -> None:
    assert extract_function(response, "area", PROMPT) is None
    assert extract_script(response) is None


def test_without_a_prompt_prose_is_no_program() -> None:
    assert extract_function("I cannot solve this, sorry.", "area", "") is None
    assert extract_script("I cannot solve this, sorry.") is None


def test_a_longer_name_does_not_define_a_shorter_one() -> None:
    response = f"```python\n{WHOLE}```\n```python\ndef area_of_square(a):\n    return a * a\n```"
    found = extract_function(response, "area", "")
    assert found is not None
    assert found.text == WHOLE


def test_scripts_take_the_last_block_and_its_language() -> None:
    response = "```python\nprint(1)\n```\nor\n```cpp\nint main() {}\n```"
    found = extract_script(response)
    assert found is not None
    assert (found.text, found.language) == ("int main() {}\n", "c++")
    bare = extract_script("#include <cstdio>\nint main() {}")
    assert bare is not None
    assert bare.language == "c++"
    plain = extract_script("n = int(input())\nprint(n)")
    assert plain is not None
    assert plain.language == "python"


CODE = [
    "```",
    "```python\n",
    "\n",
    "def area(r):",
    "    return 1\n",
    "area = ",
    "print(",
    "#include",
    "class ",
    "@",
]
MARKS = ["<think>", "</think>", "<answer>", "</answer>", "[BEGIN]", "[DONE]", "\0", "\ud800", "é", " "]
PIECES = st.sampled_from([*CODE, *MARKS])


@PATIENT
@given(st.lists(PIECES | st.text(max_size=5), max_size=30).map("".join))
def test_any_text_gives_a_program_or_none(response: str) -> None:
    for prompt in ("", PROMPT):
        found = extract_function(response, "area", prompt)
        assert found is None or (found.sources and found.text.strip())
    script = extract_script(response)
    assert script is None or script.text.strip()


BLOCKS = "```python\ndef f(): pass\n```\n```python\ndef area(r): f()\n```\n"
TRIPLE = "'" * 3


@pytest.mark.parametrize(
    "piece",
    [
        *("```\n", "```python\n", "````markdown\n", "~~~\n", "```x", "`", "> ", "- - ", "[PYTHON]\n", BLOCKS),
        *(
            "<answer>",
            "<think>",
            "</think>",
            "'</think>'",
            "# </think>\n",
            '"</think>\\',
            f"{TRIPLE}\n</think>",
        ),
        *(
            "<|im_end|>",
            "[BEGIN]",
            "Question:\n",
            "\ufeff",
            "\\'",
            TRIPLE,
            '"""\n',
            "from __future__ import (\n",
        ),
        *("def area(r):\n", "a = ", "a,", "a.b", "a[b]", "a(", "import a, ", "@a.", " ", "\n", "x = 1\n"),
    ],
)
def test_extraction_takes_linear_time(piece: str) -> None:
    # With quadratic time, a few hundred kilobytes would take an hour: the suite's own limit would end it.
    extract_function(piece * (60_000 // len(piece)), "area", PROMPT)
    extract_script(piece * (60_000 // len(piece)))


DOCSTRING = f"# a\n\n{TRIPLE}doc\nmore{TRIPLE}\n"
FUTURE = "from __future__ import annotations"
BROKEN = "from __future__ import (\n    annotations,\n)"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", "x = 1\n"),
        (f"{FUTURE}\n", "x = 1\n"),
        (f"{DOCSTRING}{BROKEN}\n", "\nx = 1\n"),
        (f"{DOCSTRING}\n# b\n{FUTURE}\n\n{FUTURE}; import math\n", "\nx = 1\n"),
        ("", f"import math\n{FUTURE}\n"),
        ("", f"s = '{FUTURE}'\n"),
        ("", f"'a'\n'b'\n{FUTURE}\n"),
    ],
)
def test_a_preamble_stands_behind_the_imports_from_the_future(before: str, after: str) -> None:
    assert with_preamble("P\n", before + after) == f"{before}P\n{after}"


WHOLE_F, CUT_F = "def f(x):\n    return x + 1\n", "def f(x):\n    y = x + 1\n    return (y"


@pytest.mark.parametrize(
    "response",
    [
        f"```python\n{WHOLE_F}```\nBetter:\n```python\n{CUT_F}",
        f"<answer>\n{WHOLE_F}</answer>\nBetter: <answer>\n{CUT_F}",
        f"[BEGIN]\n{WHOLE_F}[DONE]\nBetter: [BEGIN]\n{CUT_F}",
    ],
)
def test_of_a_cut_response_the_whole_program_is_taken(response: str) -> None:
    found = extract_function(response, "f", "", truncated=True)
    assert found is not None
    assert found.sources[0].strip() == WHOLE_F.strip()


def test_an_earlier_whole_program_is_a_further_reading_of_one_that_never_ends() -> None:
    function = extract_function(f"```python\n{WHOLE_F}```\n```python\n{CUT_F}", "f", "")
    assert function is not None
    assert function.sources == (CUT_F, WHOLE_F)
    unfenced = extract_function(f"{WHOLE_F}\n```python\n{CUT_F}", "f", "")
    assert unfenced is not None
    assert [source.strip() for source in unfenced.sources] == [CUT_F, WHOLE_F.strip()]
    whole, cut = "print(int(input()) + 1)\n", "import sys\nn = int(sys.stdin.re"
    script = extract_script(f"```python\n{whole}```\n```python\n{cut}")
    assert script is not None
    assert script.sources == (cut, whole)
    closed = extract_script(f"```python\n{whole}```\n```python\nn = input()\n```")
    assert closed is not None
    assert closed.sources == ("n = input()\n",)
