r"""Which part of a response is its final answer: one order of rules, each named in the verdict.

What counts is what the response says (``reading.py``): its own turn, after its reasoning. What is
~~struck out~~ is gone. Within that the first rule that finds something wins:

1. the last ``\boxed{…}`` that holds anything (boxes joined by a comma, "and" or "or" are one answer: a
   list), unless words after it take it back and announce another answer ("wait, … the correct answer is
   8"), or a complete ``<answer>…</answer>`` follows it;
2. the last ``<answer>…</answer>``;
3. the last announcement: "the answer is …", "Answer: …", "#### …", ``{"answer": …}``, in the usual languages
   (``phrases.py``), up to the clause that explains it (``statements.py``);
4. a box that closed inside the reasoning, where nothing at all follows the reasoning;
5. the last formula or number of the last sentence (``last_value.py``), a fallback that ``Extraction.rule``
   states.

A response that the length limit cut has only what it finished: a closed box or tag, or an announcement whose
sentence ended; rules 4 and 5 do not apply to it. All rules take time linear in the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from evals.graders import phrases
from evals.graders.boxes import Box, last_box
from evals.graders.last_value import last_value
from evals.graders.reading import Reading, read
from evals.graders.statements import SENTENCE_END, leading_formulas, statement, trimmed, unwrap
from evals.graders.whole_value import LAST_FORMULA, LAST_NUMBER, LAST_WORD

FALLBACKS = frozenset((LAST_FORMULA, LAST_NUMBER, LAST_WORD, "bold"))
"""Rules that take what no words announce as the answer."""

_STRUCK_OUT = re.compile(r"(?<!~)~~(?!~)[^~\n]{1,200}~~(?!~)|<(s|del|strike)>[^<\n]{1,200}</\1>")
_INVISIBLE = dict.fromkeys(
    [
        0xAD,
        *range(0x200B, 0x2010),
        *range(0x202A, 0x202F),
        *range(0x2060, 0x206A),
        0xFEFF,
        *range(0xD800, 0xE000),
    ]
)
_HTML = re.compile(r"<(b|i|u|p|em|strong|mark|span|center|code|div)>([^<\n]{0,300})</\1>")
_TAG = re.compile(r"<(final_)?answer>|\[ANSWER\]", re.IGNORECASE)
_END_TAG = re.compile(r"</(final_)?answer>|\[/ANSWER\]", re.IGNORECASE)
_HEADING_WORDS = re.compile(
    r"(?:step|part|case|problem|question|solution|explanation|method|approach|calculation"
    r"|verification|conclusion|example)\b",
    re.IGNORECASE,
)
_NAMED_IN_BOX = re.compile(
    r"\\text\s?\{(?:[Ii]t(?:'s| is| was) )?(?:[Oo]n )?(?:(?:an? |the )?([A-Z][\w'-]+)|an? ([a-z]{3,}))\.?\}"
)
_FIGURES = re.compile(r"\d[\d,.]*")
_SHORT = 6  # words of an answer tag that are taken as they are


@dataclass(frozen=True)
class Extraction:
    """The final answer (None: there is none) and the rule that found it, or the reason why none did."""

    answer: str | None
    rule: str


def extract(text: str, truncated: bool = False, unclosed_answers: bool = True) -> Extraction:
    """The final answer of a response; ``truncated`` says that the length limit cut it."""
    return extract_from(read(text, truncated, unclosed_answers), truncated)


def extract_from(reading: Reading, truncated: bool) -> Extraction:
    """The final answer of a response that is read already."""
    if reading.said is None:
        return Extraction(None, "cut inside <think>")
    said = as_shown(reading.said)
    cut = truncated and not reading.ended
    for found in candidates(said, cut):
        rule = f"{found.rule} inside an unclosed <think>" if reading.unclosed_answer else found.rule
        return Extraction(found.answer, rule)
    if cut:
        return Extraction(None, "cut before a final answer")
    if not said.strip():
        box = last_box(reading.reasoning, cut)
        return Extraction(box.content, "box inside the reasoning") if box else Extraction(None, "no answer")
    value = last_value(said)
    return Extraction(value.text, value.rule) if value else Extraction(None, "no answer")


def candidates(said: str, cut: bool) -> Iterator[Extraction]:
    """All that ``said`` states to be its answer, in the order of the rules."""
    box, tag = last_box(said, cut), _last_tag(said, cut)
    if box:
        for each in phrases.corrections(said, box.end):
            answer = stated(said, each, cut)
            if answer:
                yield Extraction(answer, "correction")
    if tag and (box is None or box.end < tag[0]):
        yield Extraction(_in_tag(said[tag[0] : tag[1]]), "<answer>")
    if box:
        yield Extraction(_in_box(box), "box")
    if tag and box and box.end > tag[0]:
        yield Extraction(_in_tag(said[tag[0] : tag[1]]), "<answer>")
    for number, each in enumerate(phrases.announcements(said)):
        if number == 0:
            yield from _taken_back(said, each.start, cut)
        answer = stated(said, each, cut)
        if answer:
            yield Extraction(answer, each.rule)


def _taken_back(said: str, start: int, cut: bool) -> Iterator[Extraction]:
    """What corrects the last announcement without a new one: "The answer is 7. Sorry, I meant 8." """
    for each in phrases.corrections(said, start):
        answer = stated(said, each, cut)
        if answer and any(character.isdigit() or character in "\\$" for character in answer):
            yield Extraction(answer, "correction")


def stated(said: str, announcement: phrases.Announcement, cut: bool) -> str | None:
    """What an announcement announces; None where that is nothing."""
    if announcement.given is not None:
        given = announcement.given.strip()
        return (trimmed(given) or given) or None
    if announcement.rule == "####" and not _is_answer_line(said, announcement.start):
        return None
    answer = statement(said, announcement.start, cut)
    if answer and len(answer.split()) > _longest(answer) and "$" not in answer:
        value = last_value(answer)
        return value.text if value else answer
    return answer


def _longest(answer: str) -> int:
    """How many words may be an answer: fewer where they are a sentence with one number in it."""
    return _SHORT - 1 if answer[0].isalpha() and len(_FIGURES.findall(answer)) == 1 else _SHORT + 2


def as_shown(said: str) -> str:
    """What a reader sees: nothing that is struck out (``~~85~~``, ``<s>85</s>``) or invisible, no HTML."""
    if not said.isascii():
        said = said.translate(_INVISIBLE)
    if "~" in said or "<" in said:
        said = _STRUCK_OUT.sub("", said)
    return _HTML.sub(r"\2", said) if "<" in said else said


def _is_answer_line(said: str, start: int) -> bool:
    """Whether "#### …" is GSM8K's answer line and no heading."""
    line, _, rest = said[start:].partition("\n")
    line = line.strip(" *_")
    if not line or _HEADING_WORDS.match(line) or line.endswith(":"):
        return False
    return any(character.isdigit() for character in line) or bool(leading_formulas(line)) or not rest.strip()


def _in_box(box: Box) -> str:
    r"""A box's contents; ``\boxed{\text{The answer is } 5}`` holds 5."""
    if named := _NAMED_IN_BOX.fullmatch(box.content):
        return f"\\text{{{named[1] or named[2]}}}"
    if "nswer" not in box.content:
        return box.content
    plain = re.sub(r"\\text(?:bf)?\s?\{([^{}]*)\}", r"\1", box.content)
    for each in phrases.announcements(plain):
        return statement(plain, each.start) or box.content
    return box.content


def _last_tag(said: str, cut: bool) -> tuple[int, int] | None:
    """Where the contents of the last answer tag begin and end; one that is not closed reaches to the end."""
    lowered = said.lower()
    if "answer>" not in lowered and "answer]" not in lowered:
        return None
    openings = [opening.end() for opening in _TAG.finditer(said)]
    for start in reversed(openings[-2:]):
        closing = _END_TAG.search(said, start)
        if closing and said[start : closing.start()].strip():
            return start, closing.start()
        if not closing and not cut and said[start:].strip():
            return start, len(said)
    return None


def _in_tag(content: str) -> str:
    """The answer in an answer tag: as it stands where it is short, else what it says in turn."""
    box = last_box(content, truncated=False)
    if box:
        return _in_box(box)
    for each in phrases.announcements(content):
        answer = stated(content, each, cut=False)
        if answer:
            return answer
    plain = unwrap(content)
    if len(plain.split()) > _SHORT:
        value = last_value(content)
        if value:
            return value.text
    ended = SENTENCE_END.search(plain)
    return plain if ended and ended.end() < len(plain) else trimmed(plain) or plain
