r"""How an answer is announced in words: "the answer is …", "**Answer:** …", ``{"answer": …}``, "答案是…".

Every pattern ends where the answer begins. What is quoted, supposed or denied announces nothing: "if the
answer is 8", "one might think the answer is 8", "the answer is not 8", "I hope this answer is helpful".
"""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

_MARKS = r"[*_`\"'”)\]]{0,3}"
_NOUN = r"(?:answers?|ans\b|final (?:answer|result|solution|value|choice))"
_AS_TEXT = r"(?:\\(?:text|textbf|mathbf|boldsymbol|mathrm)\s?\{)?"
_BETWEEN = (
    r"(?:,? (?:to|for|of|here|then|therefore|thus|in|I get|we|you|I found|choice|option)\b"
    r"[^.\n:=$\\*]{0,60}?)?"
)
_COPULA = (
    r"(?:\b(?:is|are|was|(?:would|will|should|must|has to|can only)(?: \w+ly| therefore| thus| then| indeed)?"
    r" be|becomes|equals"
    r"|comes (?:out )?(?:to|as)|turns out to be"
    r"|works out to(?: be)?)\b|['’]s(?=\s)|[:：=→⇒]|-(?=\s)|—)"
)
# The noun in other languages, and what may stand between it and the answer.
_NOUNS = (
    "antwort|lösung|endergebnis|réponse|respuesta|resposta|risposta|ответ|відповідь|odpowiedź|odpoveď|odpověď"
    "|antwoord|svar|svaret|vastaus|cevap|cevabı|yanıt|đáp án|câu trả lời|jawaban|jawabannya|jawapan|válasz"
    "|răspunsul|απάντηση|одговор|отговор|gabarito"
)
_NOUNS_EAST = "答案|答え|正解|解答|回答|정답|최종 답|답|대답"
_NOUNS_SOUTH = "الإجابة|الجواب|جواب|پاسخ|उत्तर|উত্তর|คำตอบ|ตอบ|תשובה"
_NO = "no|não|non|nicht|pas|ne|не|nie|niet|inte|ikke|bukan|không"
_FOREIGN = re.compile(
    rf"(?:(?:{_NOUNS_EAST})(?:应该|應該|应|應)?(?:就)?[是为為はがも은는이가]?"
    rf"|\b(?:{_NOUNS})\b(?:(?:\s(?!(?:{_NO})\b)[^\W\d_]{{2,14}}){{0,3}}?"
    r"\s(?:ist|lautet|wäre|beträgt|est|serait|es|sería|é|è|sarebbe|to|jest|je|is|är|er|on|là|adalah"
    r"|este|ialah|είναι|это)(?!\w)"
    r"(?:,?\s(?:donc|daher|also|somit|folglich|portanto|entonces|por (?:lo )?tanto|quindi|dunque|pertanto|dus"
    r"|zatem|więc|поэтому|тогда)(?!\w),?)?|(?:\s[^\W\d_]{2,14}){1,2}\s?(?=[:：]))?"
    r"(?:\s(?:die|la|le|el|il|lo|(?-i:a|o)|de|letra|lettre|lettera|buchstabe|option|opción|opção|opzione"
    r"|вариант)(?!\w)){0,2}"
    rf"|(?:{_NOUNS_SOUTH})(?:\s?(?:الصحيحة|النهائية|الصحيح|النهائي|הנכונה|सही|ที่ถูกต้อง|ที่ถูก)){{0,2}}"
    rf"(?:\s?(?:هي|هو|است|היא|है|হল|คือ|คือข้อ)(?!\w))?){_MARKS}\s{{0,3}}[:：—–=-]?",
    re.IGNORECASE,
)
_ENGLISH = re.compile(
    rf"(?<![^\W_]){_NOUN}{_MARKS}{_BETWEEN}\s{{0,3}}{_MARKS}{_COPULA}",
    re.IGNORECASE,
)
_HEADING = re.compile(
    rf"^[ \t>#*_]{{0,10}}{_AS_TEXT}(?:the |my )?(?:correct )?{_NOUN}[ \t}}*_#:：]{{0,8}}\n"
    rf"|^[ \t>]{{0,4}}(?:[*_]{{2}})?(?:A(?:ns)?[.:：]|答[:：])(?:[*_]{{2}})?",
    re.MULTILINE | re.IGNORECASE,
)
_SHARPS = re.compile(r"^[ \t>]{0,8}(?:\*\*)?####(?!#)", re.MULTILINE)
_FIELD = re.compile(
    r"[\"'](?:final|correct)?[_ -]?(?:answer|choice|option|solution|result)[\"']\s{0,3}[:=]\s{0,3}"
    r"(?:(\"(?:[^\"\\\n]|\\.){0,400}\")|'([^'\n]{0,400})'|([-\w.,/]{1,60})|\[\s?[\"']?([^\[\]\"'\n]{1,60})[\"']?\s?\])",
    re.IGNORECASE,
)
_REVERSED = re.compile(
    r"(?:^|[.!?:,\n])\s{0,3}(?:(?:so|thus|hence|therefore|and|then|we get|we have|I get)\b,?\s)?"
    r"([^.!?:,;\n]{1,60}?(?:\.\d+)?)\s(?:is|must be|should be)\s(?:thus |therefore |indeed )?"
    r"(?:the|our|my)\s(?:final |correct |right |required |desired )?answer\b",
    re.IGNORECASE,
)
# "72 is the answer that most people give"
_OTHERS = re.compile(
    r" (?:(?:that|which) )?(?:(?:most|many|some|other|all) )*(?:people|students?|beginners|would|might"
    r"|looks?|seems?"
    r"|one|they|you (?:might|would|get if)|if|only if|unless)\b",
    re.IGNORECASE,
)
_NOT = r"(?:\bnot|n['’]t|\bnever|\bcannot|\bneither)"
_SUPPOSED = re.compile(
    r"(?:\b(?:if|whether|suppose|supposing|assume|assuming|hope|hoping|thought|until|unless|hint|format|form)"
    r"|\b(?:one|you|people|students?|someone|they|many|some)(?: \w+)? (?:think|say|believe|claim"
    r"|guess|conclude|assume)s?"
    r"|\b(?:tempting|tempted|mistake|wrong|easy|misconception|trap|error)\b(?: \w+){0,3} (?:to|that"
    r"|is|be)\b[^.!?,\n]{0,30})"
    r"(?: that)?(?: (?:the|this|my|that|our|your|an?))?(?: \w+)?\s*$"
    # Denied: "I don't think the answer is 8", "the naive answer is 8".
    rf"|(?:{_NOT}\s(?:\w+\s)?(?:think|believe|say|mean|claim|conclude|sure|certain|convinced|agree|true|clear"
    r"|correct|possible|follow|the case)|\b(?:(?<!no )doubt(?:ful|s|ed)?|unlikely|untrue|impossible"
    r"|improbable"
    r"|false|deny"
    r"|denies|refutes?|disproves?))(?:,? (?:that|whether|if))?(?: (?:the|this|my|that|our|your"
    r"|an?))?(?: \w+)?\s*$"
    r"|\b(?:wrong|incorrect|false|trap|na[iï]ve|tempting|bad|unlikely|least likely|erroneous|mistaken|invalid"
    r"|impossible|distractor|decoy|former|previous|intuitive|obvious but wrong)(?: (?:final|numerical))?\s*$",
    re.IGNORECASE,
)
# "If she had three, the answer would be 8" and "Could it be that the answer is 8?" state nothing either.
_CONDITION = re.compile(r"\b(?:if|had|were|unless|otherwise|suppose|without)\b", re.IGNORECASE)
_WOULD = re.compile(r"\bwould (?:\w+ )?(?:be|have been)\b", re.IGNORECASE)
_HARDLY = re.compile(r"\s*(?:unlikely|hardly|anything but|nowhere near)\b", re.IGNORECASE)
_CONDITION_AFTER = re.compile(r"[^.!?\n]{1,40}?,?\s(?:if|had|were|unless|only if)\b", re.IGNORECASE)
_WAS = re.compile(r"\bwas\W*$", re.IGNORECASE)
_FORMER = re.compile(r"\b(?:first|initial|original|earlier|old)\s*$", re.IGNORECASE)
_ASKING = re.compile(
    r"\W*(?:(?:so|but|then|and|hmm|now|wait)\b,?\s)?(?:is|isn['’]t|could|can|might|would|should|does"
    r"|was|are|what if)\b",
    re.IGNORECASE,
)
_ON = re.compile(
    r"(?:[\s*_:：`}]|\.{2,}|…|,\s(?=therefore|thus|hence|then)|,\s(?:\w+\s){0,2}\w+,\s|\\(?:text|textbf|mathbf)\{\s?(?=[\d(A-J])"
    r"|(?:therefore|thus|hence|then|simply|just|indeed|clearly|exactly|actually|still|now|again"
    r"|equal to|given by|also|一共|总共|總共|共"
    r"|as follows|the (?:number|value|fraction|set|interval|point|ordered pair|expression|function"
    r"|polynomial|word|sum|total))"
    r"\b,?)+",
    re.IGNORECASE,
)
_CORRECTION = re.compile(
    r"\b(?:wait|hold on|hang on|hmm+|oops|correction|corrected|actually|sorry|apolog\w+|my mistake"
    r"|my bad|scratch that"
    r"|on second thoughts?|no,|I (?:\w+ ){0,3}(?:mistake|error)|I (?:misread|miscounted|miscalculated"
    r"|was wrong|forgot|overlooked"
    r"|missed|misinterpreted)|(?:that|this|it|which)(?:'s| is| was) (?:\w+ )?(?:wrong|incorrect"
    r"|not right|not correct|mistaken)|\b(?:is|was) (?:wrong|incorrect|mistaken)\b"
    r"|(?:after|upon|on) (?:re-?\w+|double[- ]?check\w*|checking)|let me (?:re-?|double[- ]?)check"
    r"|let me (?:correct|fix|redo|recompute|recalculate|recheck|reconsider)|on closer inspection"
    r"|edit:)"
    r"|更正|等等|不对|不對|错了|wait,|attends|erreur|Moment|falsch|espera|ошибка|подождите",
    re.IGNORECASE,
)
_CORRECTION_HINTS = (
    *(
        "wait",
        "hold on",
        "hang on",
        "hmm",
        "oops",
        "correct",
        "actually",
        "sorry",
        "apolog",
        "mistake",
        "my bad",
    ),
    *(
        "scratch",
        "thought",
        "no,",
        "error",
        "misread",
        "miscount",
        "miscalc",
        "wrong",
        "forgot",
        "overlook",
        "missed",
    ),
    *(
        "misinterpret",
        "not right",
        "i meant",
        "let me",
        "inspection",
        "after re",
        "upon",
        "check",
        "edit:",
        "更正",
        "等等",
        "不对",
        "不對",
        "错了",
    ),
    *("attends", "erreur", "moment", "falsch", "espera", "ошибка", "подождите"),
)
_CORRECTED = re.compile(
    r"\b(?:it|this|that|which|value|result|we)\b(?:'s| is)?\s?(?:(?:should|must|has to)\s(?:\w+\s)?be"
    r"|actually|really|instead)\b(?: is)?"
    r"|\bI (?:actually )?meant(?: to say)?\b|\bcorrection\s?:"
    r"|\bcorrect(?:ed)? (?:value|result|number|one|total|count|answer) (?:is"
    r"|should be)|\bedit\s?:",
    re.IGNORECASE,
)
# Each with words of which a text must hold one for it to be worth looking, in lower case.
_ANNOUNCING = (
    (("ans", "final"), _ENGLISH, "the answer is"),
    (tuple("|".join((_NOUNS, _NOUNS_EAST, _NOUNS_SOUTH)).split("|")), _FOREIGN, "the answer is"),
    (("ans", "final", "a.", "a:", "a：", "答"), _HEADING, "answer line"),
    (("####",), _SHARPS, "####"),
)
_CLAUSE_START = re.compile(r"[.!?]\s|\n")
_QUESTION = re.compile(r"[^.!?\n]{0,80}\?")
_NEAR = 90  # characters before an announcement that can suppose it
_AFTER_A_BOX = " \n\t$.*)\\]}`"  # what closes a formula or a sentence, and corrects nothing
_MOST = 8  # announcements that are looked at, from the end


@dataclass(frozen=True)
class Announcement:
    """Where an answer begins; ``given`` where the announcement holds it whole, as a JSON field does."""

    start: int
    rule: str
    given: str | None = None


def announcements(text: str) -> Iterator[Announcement]:
    """The last few announcements of an answer, the last first."""
    lowered = text.lower()
    found = [
        Announcement(match.end(), rule)
        for hints, pattern, rule in _ANNOUNCING
        if any(hint in lowered for hint in hints)
        for match in _last(pattern, text)
        if not supposed(text, match.start(), match.end())
    ]
    given = _last(_FIELD, text) if "'" in text or '"' in text else ()
    whole = [Announcement(match.start(), "answer field", _field(match)) for match in given]
    if "answer" in lowered:
        whole += [
            Announcement(match.start(1), "is the answer", match[1].strip(" *_`"))
            for match in _last(_REVERSED, text)
            if not _OTHERS.match(text, match.end())
        ]
    fields = [match.span() for match in given]
    outside = [each for each in found if not any(start < each.start <= end for start, end in fields)]
    yield from sorted([*outside, *whole], key=lambda each: each.start, reverse=True)[:_MOST]


def corrections(text: str, start: int) -> Iterator[Announcement]:
    lowered = text[start:].lower()
    if not lowered.strip(_AFTER_A_BOX) or not any(hint in lowered for hint in _CORRECTION_HINTS):
        return
    taken_back = _CORRECTION.search(text, start)
    if taken_back is None:
        return
    begin = taken_back.start()
    after = text[begin:]
    ends = [
        Announcement(match.end(), "correction")
        for match in _last(_CORRECTED, after)
        if not _QUESTION.match(after, match.end())
    ]
    for each in sorted([*announcements(after), *ends], key=lambda each: each.start, reverse=True):
        yield Announcement(begin + each.start, "correction", each.given)


def begin(text: str, start: int) -> int:
    """``start`` moved on past marks and filling words: "therefore", "equal to"."""
    filling = _ON.match(text, start, start + 200)
    return filling.end() if filling else start


def _last(pattern: re.Pattern[str], text: str) -> deque[re.Match[str]]:
    return deque(pattern.finditer(text), maxlen=_MOST)


def supposed(text: str, start: int, end: int) -> bool:
    """Whether what is announced between ``start`` and ``end`` is supposed, denied or asked.

    "If the answer is …", "one might think the answer is …", "the naive answer is …", "Is the answer …?"
    """
    before = text[max(0, start - _NEAR) : start]
    if _SUPPOSED.search(before):
        return True
    clause = _CLAUSE_START.split(before)[-1]
    if _WOULD.search(text[start:end]) and (_CONDITION.search(clause) or _CONDITION_AFTER.match(text, end)):
        return True
    if _WAS.search(text[start:end]) and _FORMER.search(before):
        return True
    asking = _ASKING.match(clause)
    return asking is not None and _QUESTION.match(text, end) is not None


def withheld(sentence: str) -> bool:
    """Whether all that a sentence announces is supposed, denied or asked: it states no other value either."""
    if "nswer" not in sentence:
        return False
    if sentence.rstrip(" *_\n").endswith("?") and _ASKING.match(sentence):
        return True
    found = list(_ENGLISH.finditer(sentence))
    return bool(found) and all(
        supposed(sentence, each.start(), each.end()) or _HARDLY.match(sentence, each.end()) for each in found
    )


def _field(match: re.Match[str]) -> str:
    quoted, single, bare, listed = match.groups()
    if listed is not None:
        return str(listed).strip()
    if quoted is None:
        return single if single is not None else bare.rstrip(".,")
    try:
        return str(json.loads(quoted))
    except ValueError:  # LaTeX with single backslashes, mostly
        return str(quoted[1:-1])
