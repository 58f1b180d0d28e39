r"""What a response says, before anyone looks for an answer in it: one reading for all graders.

1. A marker that begins the turn (``<|im_start|>assistant``) is taken off, and the text ends at the first
   marker that ends it (``<|im_end|>``, ``<|eot_id|>``, ``</s>``, ``<｜end▁of▁sentence｜>``, or one that
   begins another turn): what follows was never meant to be read.
2. The reasoning is set apart: all up to the last ``</think>`` (or ``</thinking>``, ``[/THINK]``, …). A
   prompt may have opened the block, so a lone closing tag is enough. Of OpenAI's channels, the last "final"
   one is said.
3. What is said ends where the model makes up a further question ("Question: …", "User: …") after its answer.

A ``<think>`` that is never closed means that the response was cut while it was still thinking: it says
nothing. There is one exception: a response that stopped by itself and ends with a complete
``<answer>…</answer>`` says that, unless ``unclosed_answers`` is off.

A mark inside a closed code fence, or quoted (``'</think>'``), is text.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass

_OPENERS = re.compile(
    r"\s*(?:<\|(?:im_start|begin_of_text|start|startoftext|assistant|Assistant|start_of_role)\|>|<["
    r"|｜]Assistant[|｜]>"
    r"|<[|｜]begin[▁_]of[▁_]sentence[|｜]>|<\|(?:start_header_id|header_start)\|>(?=\s*assistant)|<s>|<bos>"
    r"|<start_of_turn>(?=\s*model)|<\|(?:end_header_id|header_end|end_of_role)\|>|\[/INST\])"
    r"(?:\s*(?:assistant|model)\b)?\s*"
)
# Any <|name|> is a marker of some model family. Within a program a line may end with one, no more.
_MARKERS = re.compile(
    r"<[|｜][A-Za-z][\w▁]{2,40}[|｜]>|</s>|<(?:eos|EOS|eot|EOT|eoa|eod|pad|PAD)>|<(?:end|start)_of_\w{1,20}>"
    r"|<(?:extra_id|SPECIAL|reserved)_\d{1,5}>|<turn\|>"
    r"|\[/?INST\]|\[e~\[|\[(?:EOS|PAD)\]|\[\|(?:endofturn|user|system)\|\]|<\|END_OF_TURN_TOKEN\|>"
)
_MARKER_HINTS = ("<", "INST]", "[EOS]", "[PAD]", "[|", "[e~[")  # one of them is in every marker
_NO_MARKERS = re.compile(
    r"<\|(?:(?:begin|end)_of_thought|begin_of_solution|(?:START|END)_THINKING|START_RESPONSE)\|>|<\|(?:channel|message|constrain)\|>"
)
_CHANNEL = re.compile(r"<\|channel\|>\s*(\w+)[^<\n]{0,60}<\|message\|>")
_CHANNEL_END = re.compile(r"<\|(?:end|return|call|start|channel)\|>|\Z")
_BARE_CHANNELS = re.compile(r"\s*analysis(?=\S)(?:.*)assistantfinal(?=\S)", re.DOTALL)

_TAG_NAMES = "think|thinking|thought|thoughts|reasoning|reason|scratchpad|seed:think"
_TAGS = re.compile(
    rf"<(?P<a>/?)(?:{_TAG_NAMES})>|\[(?P<b>/?)THINK\]|◁(?P<c>/?)think▷|<\|(?P<d>begin|end)_of_thought\|>|<\|(?P<e>START|END)_THINKING\|>",
    re.IGNORECASE,
)
_CLOSING_TAG = rf"</(?:{_TAG_NAMES})>"
_TAG_HINTS = (">", "THINK]", "Think]", "think]", "◁")
# A fence's line, or a closing tag that begins a line or has a fence right behind it.
_FENCE_LINES = re.compile(
    rf"(?:^[ \t]*[`~]{{0,6}}(?P<tag>{_CLOSING_TAG})|(?P<inner>{_CLOSING_TAG})(?=[ \t]*[`~]{{3}})"
    rf"|^[ \t>]{{0,12}}(?=[`~]{{3}}))"
    r"[ \t]*(?:(?P<fence>`{3,}|~{3,})(?P<info>[^\n`]*)$)?",
    re.MULTILINE | re.IGNORECASE,
)
_QUOTES = "'\"`"
_ANSWER, _END_ANSWER = "<answer>", "</answer>"

_ROLES = "user|human|student|instruction"
_ASKED = "question|q|问题|問題|质问|質問|질문|pregunta|pergunta|frage|domanda|вопрос"
_SET = "problem|exercise|puzzle|task|题目|題目|문제|problema|problème|aufgabe|задача"
_NEXT = (
    "next|new|another|follow-up|новый|новая|следующий|следующая"
    "|nouvelle|neue|nächste|nueva|siguiente|nova|nuova"
)
_ANOTHER = (
    r"(?:here(?:'s| is) (?:another|a (?:new|similar|second|further))"
    r"|(?:let'?s|now) (?:try|do|solve|take) another)"
    r" (?:similar |new )?(?:question|problem|exercise|example|one)\b"
)
_FURTHER = re.compile(
    rf"^[ \t]*(?:[#>*_\[<]{{1,4}}[ \t]?){{0,3}}(?:(?:(?P<role>{_ROLES})"
    rf"|(?P<asked>(?:(?:{_NEXT}) )?(?:{_ASKED}))"
    rf"|(?P<set>(?:(?:{_NEXT}) )?(?:{_SET})))"
    r"[ \t]?(?:#?\d{1,3})?[*_\]>]{0,3}[ \t]?(?:[:：]|(?<=\d)[.)]|(?<=\bQ)\.(?=\s)|(?<=[\d*\]>])[ \t]*$)"
    rf"|(?P<another>{_ANOTHER}))"
    # A heading, or the name of a role where the markers around it are lost.
    rf"|^#{{1,6}}[ \t]*(?P<heading>{_ASKED}|{_SET})[ \t]*$|^(?P<bare>user|human)[ \t]*$",
    re.MULTILINE | re.IGNORECASE,
)
# How the lines below the first begin that ``_FURTHER`` can match, in lower case: far faster to look for.
_FURTHER_BEGINS = re.compile(rf"\n[ \t#>*_\[<]*(?:{_ROLES}|{_ASKED}|{_SET}|{_NEXT}|here|let|now )")
_MARKED_ANSWER = re.compile(
    r"\\boxed\s?\{|</answer>|^[ \t]*(?:####\s?\S|A:)|\banswers?[*_\"')]{0,3}\s?(?:is\b|[:：=])"
    r"|(?:答案|答え|正解|정답|답은|antwort|réponse|respuesta|resposta|risposta|ответ)\W{0,3}[^\W\d_]{0,8}\W{0,3}\w",
    re.IGNORECASE | re.MULTILINE,
)
_ANY_VALUE = re.compile(r"\d|\$|\\\(|\\\[|^\W{0,4}(?:option )?[A-J]\W{0,4}$", re.MULTILINE | re.IGNORECASE)
_ANSWERED_NEXT = re.compile(
    r"^[ \t*#_]{0,6}(?:A|Answer|Solution|Assistant|AI|Bot|Model|Response|Explanation|答案|解答|解|回答"
    r"|Antwort|Réponse|Respuesta"
    r"|Resposta|Risposta|Ответ)\d{0,3}[*_]{0,3}[ \t]?[:：]"
    r"|^#{1,6}[ \t]*(?:Solution|Answer)[ \t]*$|^####|^A\.\s|\\boxed|answer is",
    re.MULTILINE | re.IGNORECASE,
)
_BARE_REPLY = re.compile(r"^(?:assistant|model)[ \t]*$", re.MULTILINE)
_MOST_HEADERS = 16


@dataclass(frozen=True)
class Reading:
    """A response's own turn: its reasoning, and what it says (None: the reasoning never ended).

    ``ended`` says that the turn ended before the text did: whatever cut the text did not cut the answer.
    """

    reasoning: str
    said: str | None
    ended: bool = False
    unclosed_answer: bool = False


def read(
    text: str, truncated: bool = False, unclosed_answers: bool = True, further_questions: bool = False
) -> Reading:
    """Reads a response; ``truncated`` says that the length limit cut it.

    ``further_questions`` keeps questions that follow the answer: a free text may be made of them.
    """
    text, ended = own_turn(text)
    reasoning, spoken = _segments(text)
    for segment in spoken:
        said, further = _before_further_question(segment)
        if further and not further_questions:
            return Reading(reasoning, said, ended=True)
    if spoken:
        return Reading(reasoning, spoken[-1], ended)
    if unclosed_answers and (ended or not truncated) and text.rstrip().endswith(_END_ANSWER):
        reasoning, opened, answer = text.rpartition(_ANSWER)
        if opened:
            return Reading(reasoning, opened + answer, ended, unclosed_answer=True)
    return Reading(reasoning, None, ended)


def split_reasoning(text: str) -> tuple[str, str | None]:
    """The reasoning, with its tags, and what is said after it; None where the reasoning never ends."""
    reasoning, spoken = _segments(text)
    return reasoning, spoken[-1] if spoken else None


def without_tags(reasoning: str) -> str:
    """``reasoning`` without the tags around it."""
    opened = _TAGS.match(reasoning.lstrip())
    if opened:
        reasoning = reasoning.lstrip()[opened.end() :]
    closed = next((tag for tag in _TAGS.finditer(reasoning) if tag.end() == len(reasoning.rstrip())), None)
    return reasoning[: closed.start()] if closed else reasoning


def own_turn(text: str) -> tuple[str, bool]:
    """``text`` without the markers of chat templates, and whether one of them ended it before its end."""
    start = 0
    while opener := _OPENERS.match(text, start):
        start = opener.end()
    text = text[start:]
    if "<|channel|>" in text and _CHANNEL.search(text):
        return _final_channel(text)
    if bare := _BARE_CHANNELS.match(text):
        text = f"<think>{text[: bare.end()]}</think>{text[bare.end() :]}"
    fences: Fences | None = None
    for marker in _MARKERS.finditer(text) if any(hint in text for hint in _MARKER_HINTS) else ():
        if _NO_MARKERS.fullmatch(marker.group()) or _quoted(text, marker) or _strikes_out(text, marker):
            continue
        fences = fences or Fences(text)
        if fences.cover(marker.start()) and not _ends_its_line(text, marker):
            continue
        return text[: marker.start()], True
    return text, False


class Fences:
    """Where closed code fences stand in a text."""

    def __init__(self, text: str) -> None:
        self.blocks = list(_closed_fences(text))
        self._starts = [start for start, _ in self.blocks]

    def cover(self, place: int) -> bool:
        """Whether ``place`` is inside a closed fence."""
        number = bisect_right(self._starts, place) - 1
        return number >= 0 and place < self.blocks[number][1]


def _closed_fences(text: str) -> Iterator[tuple[int, int]]:
    """(start, end) of each; a closing tag of the reasoning that begins a line ends an open one."""
    opening: re.Match[str] | None = None
    for line in _FENCE_LINES.finditer(text):
        if line["tag"] or line["inner"]:
            opening = line if line["fence"] else None
        elif line["fence"] and opening is None:
            opening = line
        elif (
            line["fence"]
            and opening
            and line["fence"].startswith(opening["fence"])
            and not line["info"].strip()
        ):
            yield opening.start("fence"), line.end()
            opening = None


def _segments(text: str) -> tuple[str, list[str]]:
    """The reasoning, and what is said outside its blocks; no segment where it never ends."""
    fences: Fences | None = None
    spoken: list[str] = []
    after = 0  # where the segment begins that is being said
    reasoned = 0  # where the last block ends
    opened = False
    for tag in _TAGS.finditer(text) if any(hint in text for hint in _TAG_HINTS) else ():
        if _quoted(text, tag):
            continue
        fences = fences or Fences(text)
        if fences.cover(tag.start()):
            continue
        closes = any(tag[name] in ("/", "end", "END") for name in "abcde" if tag[name] is not None)
        if closes:
            if not opened:
                spoken.clear()  # the block was open from the start: all that came before is reasoning
            opened, after, reasoned = False, tag.end(), tag.end()
        elif not opened:
            if text[after : tag.start()].strip():
                spoken.append(text[after : tag.start()])
            opened = True
    if not opened:
        return text[:reasoned], [*spoken, text[after:]]
    # Thinking began anew and was cut: what was said between the two blocks may still be an answer.
    return text[:reasoned], spoken if reasoned else []


def _final_channel(text: str) -> tuple[str, bool]:
    """OpenAI's channels in the spelling of the others: all but the last "final" message is reasoning."""
    final = None
    for channel in _CHANNEL.finditer(text):
        if channel[1] == "final":
            final = channel
    if final is None:
        return f"<think>{text}", False
    end = _CHANNEL_END.search(text, final.end())
    assert end is not None  # the end of the text matches
    return f"<think>{text[: final.start()]}</think>{text[final.end() : end.start()]}", bool(end.group())


def _before_further_question(said: str) -> tuple[str, bool]:
    fences: Fences | None = None
    if not _FURTHER_BEGINS.search(said.lower()):
        return said, False
    for number, header in enumerate(_FURTHER.finditer(said)):
        if number == _MOST_HEADERS:
            break
        before = said[: header.start()]
        fences = fences or Fences(said)
        if before.strip() and not fences.cover(header.start()) and _is_further(header, before, said, fences):
            return before, True
    return said, False


def _is_further(header: re.Match[str], before: str, said: str, fences: Fences) -> bool:
    if header["bare"]:
        return _BARE_REPLY.search(said, header.end()) is not None
    answered_next = _ANSWERED_NEXT.search(said, header.end()) is not None
    if _MARKED_ANSWER.search(before):
        return answered_next or (header["set"] is None and header["heading"] is None)
    own_paragraph = before.endswith("\n\n") or header["role"] is not None
    has_answer = bool(_ANY_VALUE.search(before)) or any(end <= header.start() for _, end in fences.blocks)
    return has_answer and own_paragraph and answered_next and (header["set"] is None or not fences.blocks)


def _quoted(text: str, mark: re.Match[str]) -> bool:
    before, after = text[max(0, mark.start() - 2) : mark.start()], text[mark.end() : mark.end() + 1]
    fence = before == "``"  # the end of one, with the mark right behind it
    return after != "" and after in _QUOTES and before.endswith(after) and not fence


def _strikes_out(text: str, marker: re.Match[str]) -> bool:
    """Whether ``</s>`` closes an ``<s>`` of its line, as in HTML."""
    line = text.rfind("\n", 0, marker.start()) + 1
    return marker.group() == "</s>" and text.count("<s>", line, marker.start()) > text.count(
        "</s>", line, marker.start()
    )


def _ends_its_line(text: str, marker: re.Match[str]) -> bool:
    line_end = text.find("\n", marker.end())
    return not text[marker.end() : line_end if line_end >= 0 else len(text)].strip()
