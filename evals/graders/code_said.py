"""What counts of a response that should hold a program: its own turn, after its reasoning, its last answer.

A mark (``</think>``, ``<|im_end|>``) in a string or a comment of the program is none.
"""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from itertools import islice

from evals.graders.code_looks import CODE_LINE
from evals.graders.fences import blocks
from evals.graders.reading import read

_ANSWER = re.compile(r"<answer>(.*?)(</answer>|\Z)", re.DOTALL)
_END = re.compile(
    r"<\|(?:im_end|endoftext|eot_id|eom_id|end_of_text|end|return|im_start|start_header_id)\|>"
    r"|<[｜|]end[▁_]of[▁_]sentence[｜|]>|<(?:end_of_turn|eos|start_of_turn)>|</s>"
)
_NEXT_QUESTION = re.compile(
    r"^(?:\*\*|#{1,4}[ \t])?(?:Question|Q|Human|User|Instruction)(?: \d{1,4})?:", re.MULTILINE
)
_MARK = re.compile(r"</?(?:think|answer)>|" + _END.pattern)
_HIDDEN = "\ue000"  # stands for the first character of a mark that is none
_IN_CODE = ("'", '"', "#", ")", "]", "}", ",", ">>>")  # what a line of code may begin with, besides
_STRING = re.compile(
    r"'[^'\\\n]*(?:\\.[^'\\\n]*)*(?:'|\\?$)|\"[^\"\\\n]*(?:\\.[^\"\\\n]*)*(?:\"|\\?$)|#[^\n]*"
)
_DOCSTRING = re.compile(r"('''|\"\"\")(?:(?!\n[ \t]*```).)*?\1", re.DOTALL)
_INDENTED = re.compile(r"^[ \t\u00a0]+", re.MULTILINE)
_PRE = re.compile(
    r"<pre[^<>\n]{0,60}>\s{0,4}(?:<code[^<>\n]{0,60}>)?(.*?)(?:</code>)?\s{0,4}</pre>", re.DOTALL
)
_BYTE_ORDER = re.compile(r"^[\ufeff\u200b]+", re.MULTILINE)


def what_is_said(response: str, truncated: bool, unclosed_answers: bool) -> str:
    """What counts of a response: after the reasoning, in the last answer tags; "" where it never ends."""
    text = _hide_marks(_BYTE_ORDER.sub("", response.replace("\r\n", "\n")))
    said = read(text, truncated, unclosed_answers, further_questions=True).said or ""
    answers = _ANSWER.findall(said)
    if answers:
        said = _last_ended(answers, truncated)
    marked = [piece.partition("[DONE]")[:2] for piece in said.split("[BEGIN]")]  # MBPP's few-shot prompt
    said = _last_ended(marked[1:] or marked, truncated)
    said = _with_spaces(said.replace(_HIDDEN, "<"))
    return _unquoted(_fence_apart(said if "```" in said else _from_html(said)))


def _with_spaces(text: str) -> str:
    """``text`` with plain spaces where lines are indented with others, as copied pages have them."""
    return _INDENTED.sub(lambda lead: lead[0].replace("\u00a0", " "), text) if "\u00a0" in text else text


def _from_html(text: str) -> str:
    """``<pre><code>…</code></pre>`` as a fenced block."""
    return _PRE.sub(lambda block: f"\n```\n{html.unescape(block[1])}\n```\n", text)


def _last_ended(pieces: Sequence[tuple[str, str]], truncated: bool) -> str:
    """The text of the last (text, what ended it); where the length limit cut it, of the last that ended."""
    ended = [piece for piece in pieces if piece[1]]
    return (ended if truncated and ended else pieces)[-1][0]


def _hide_marks(text: str) -> str:
    """``text`` with another first character in the marks that a program holds in its strings and comments.

    A tag that is alone on its line is always a tag, and so are they all where none would be left to end the
    reasoning.
    """
    if not _MARK.search(text):
        return text
    hidden = _DOCSTRING.sub(lambda match: _hide(match[0]), text)
    lines = hidden.split("\n")
    for number, line in enumerate(lines):
        if _MARK.search(line) and (CODE_LINE.match(line) or line.lstrip().startswith(_IN_CODE)):
            lines[number] = _STRING.sub(_hide_in_line, line)
    hidden = "\n".join(lines)
    lost = "</think>" in text and "</think>" not in hidden and "<think>" in hidden
    return text if lost else hidden


def _hide_in_line(code: re.Match[str]) -> str:
    whole = code[0][0] in ("#", code[0][-1])  # else a quotation mark that nothing closes
    return _MARK.sub(_hidden, code[0]) if whole else code[0]


def _hide(docstring: str) -> str:
    lines = docstring.split("\n")
    return "\n".join(line if _MARK.fullmatch(line.strip()) else _MARK.sub(_hidden, line) for line in lines)


def _hidden(mark: re.Match[str]) -> str:
    return _HIDDEN + mark[0][1:]


def _fence_apart(text: str) -> str:
    """``text`` with its only fence on a line of its own, where it is glued to the end of another."""
    before, fence, after = text.partition("```")
    glued = (
        fence
        and before.rpartition("\n")[2].strip()
        and "```" not in after
        and not after.partition("\n")[0].strip()
    )
    return f"{before}\n{fence}{after}" if glued else text


def _unquoted(text: str) -> str:
    """``text`` without the marks of a quotation, where all of it is quoted."""
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines or not all(line.startswith(">") and not line.startswith(">>>") for line in lines):
        return text
    return re.sub(r"^> ?", "", text, flags=re.MULTILINE)


def first_answer(said: str) -> str:
    """What stands before a further question that the model asks itself, behind a block that is whole."""
    for question in islice(_NEXT_QUESTION.finditer(said), 3):
        before = said[: question.start()]
        found = blocks(before)[1]
        if found and found[-1].closed:
            return before
    return said
