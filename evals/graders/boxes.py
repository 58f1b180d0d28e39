r"""``\boxed{…}``: what stands in the last one of a text, or in the last few that are one answer together."""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass

# A lost backslash, and the backspace that "\b" becomes in careless JSON, are read too.
_BRACES = re.compile(r"[{}]|\\(?:[\\{}]|(?:boxed|fbox|framebox)\s{0,3}\{)|\x08oxed\s{0,3}\{|boxed\s{0,3}\{")
_BARE_BOX = re.compile(r"\\boxed\s{0,3}([-+]?[.,/]{0,2}\d[\d.,/]{0,40}|[A-Za-z](?![A-Za-z\d]))")
# What may stand between two boxes of one answer: "$, $", " and ", "; y = ",
# " pens and ", " for part (a) and ".
_JOINT = re.compile(
    r"[ \t$()]{0,8}|[\s$)\]\\.]{0,8}(?:\\q?quad\s?)?"
    r"(?:(?:\\text\{\s?)?(?:for|in) (?:part )?\(?[a-z1-9]\)?,? )?"
    r"(?:,|;|&|\\text\{\s?(?:and|or)\s?\}"
    r"|(?:(?!(?:first|initially|wrong|then|not)\b)[a-z]{3,12} )?\b(?:and|or)\b)(?:\s?(?:and|or)\b)?"
    r"(?:\s?\\q?quad)?[\s$(\[\\}]{0,8}(?:[A-Za-z](?:_\{?\w{1,3}\}?)?\s?=\s?)?"
)
# "I will put the answer in \boxed{}", \boxed{...}, \boxed{\text{your answer}}.
_PLACEHOLDER = re.compile(
    r"(?:\\text\s?\{)?[\s.…_?$\\\-]*(?:\\(?:ldots|dots|cdots|quad|square|Box)\s*)?"
    r"(?:(?:your|the|my|final|numerical|correct)\s)*(?:answer|ANSWER|result|number|value|letter"
    r"|option|choice|solution)?(?: here)?[\s.…_?$]*\}?"
)

_DENIED = re.compile(
    r"(?:\bnot|\bnever|n['’]t(?: be)?|\binstead of|\brather than|\bunlike|\bnor)[\s$(\[\\:*]{0,6}$",
    re.IGNORECASE,
)
# What says how large or where a value is set, and nothing of the value.
_LAYOUT = re.compile(
    r"\\(?:tiny|small|normalsize|large|Large|LARGE|huge|Huge|centering)(?![A-Za-z])"
    r"|\\[hv]?phantom\s?\{[^{}]*\}|\\[hv]space\*?\s?\{[^{}]*\}|^(?:\\ )+|(?:\\ ?)$"
)
_ONE_ROW = re.compile(
    r"\\begin\{(aligned?|array|gathered?|split)\}(?:\{[clr|]*\})?(.*)\\end\{\1\}", re.DOTALL
)
_STYLE = r"\\(?:underline|uline|mathbf|mathrm|mathit|mathsf|boldsymbol|bm|textbf|textit|text|mbox|emph)\s?"
_TWO_STYLES = re.compile(rf"{_STYLE}\{{({_STYLE}\{{[^{{}}]*\}})\}}")
_SIGN = re.compile(r"(?<![-−–\w])[-−]$")
_BEHIND = re.compile(
    r"\^(?:\{[^{}]{1,20}\}|\w)"
    r"|[\s$\\,]{0,4}(?:(?P<percent>%)|(?:text\s?\{)?\s?(?P<of>percent|per cent|pct)\b)"
    r"|[\s$\\,]{0,4}(?:text\s?\{)?\s?(?P<scale>hundred|thousand|million|billion|trillion|dozen)s?\b"
)


@dataclass(frozen=True)
class Box:
    """The contents of the last box, joined with those it is one answer with, and where it ends."""

    content: str
    end: int


def last_box(text: str, truncated: bool) -> Box | None:
    """The last box of ``text`` that holds anything; an open one counts where nothing cut the text."""
    if "box" not in text and "\x08oxed" not in text:
        return None
    boxes, unclosed = _boxes(text)
    boxes = [
        box
        for box in boxes
        if not _PLACEHOLDER.fullmatch(text[box[1] : box[2] - 1])
        and not _DENIED.search(text[max(0, box[0] - 30) : box[0]])
    ]
    if not boxes:
        return _unbraced(text, unclosed, truncated)
    joined = [boxes[-1]]
    for box in reversed(boxes[:-1]):
        if not _JOINT.fullmatch(text, box[2], joined[-1][0]):
            break
        joined.append(box)
    contents = [_with_neighbours(text, *box) for box in reversed(joined)]
    return Box(", ".join(dict.fromkeys(contents)), boxes[-1][2])


def _with_neighbours(text: str, start: int, content: int, end: int) -> str:
    r"""A box's content, with a sign before it, and a power or a scale word behind it: ``-\boxed{14}^2``."""
    inside = _without_layout(text[content : end - 1].strip())
    if _SIGN.search(text[max(0, start - 2) : start]):
        inside = f"-{inside}"
    behind = _BEHIND.match(text, end)
    if behind:
        percent = behind["percent"] or behind["of"]
        inside += "\\%" if percent else f" {behind['scale']}" if behind["scale"] else behind.group()
    return inside


def _without_layout(content: str) -> str:
    if "\\" not in content:
        return content
    content = _LAYOUT.sub("", content).strip()
    if (row := _ONE_ROW.fullmatch(content)) and "\\\\" not in row[2] and "&" not in row[2]:
        content = row[2].strip()
    while twice := _TWO_STYLES.fullmatch(content):
        content = twice[1]
    return content


def _boxes(text: str) -> tuple[list[tuple[int, int, int]], int | None]:
    """The outermost complete boxes as (start, start of content, end); and where an open one's content is."""
    boxes: list[tuple[int, int, int]] = []
    braces: list[tuple[int, int, bool]] = []
    places = [place for name in ("oxed", "\\fbox", "\\framebox") if (place := text.find(name)) >= 0]
    for match in _BRACES.finditer(text, max(0, min(places) - 2)) if places else ():
        token = match.group()
        if token == "{" or len(token) > 2:
            braces.append((match.start(), match.end(), token != "{"))
        elif token == "}" and braces:
            start, content, boxed = braces.pop()
            if boxed:
                while boxes and boxes[-1][0] > start:
                    boxes.pop()
                boxes.append((start, content, match.end()))
    unclosed = next((content for _, content, boxed in braces if boxed), None)
    return boxes, unclosed


def _unbraced(text: str, unclosed: int | None, truncated: bool) -> Box | None:
    r"""``\boxed 5``, or a box whose closing brace the model forgot: the rest of its line."""
    bare = deque(_BARE_BOX.finditer(text), maxlen=1)
    if bare:
        return Box(bare[0].group(1), bare[0].end())
    if unclosed is None or truncated:
        return None
    line = text[unclosed:].split("\n", 1)[0]
    content = line.strip().rstrip("$. ")
    return None if not content or _PLACEHOLDER.fullmatch(content) else Box(content, unclosed + len(line))
