r"""The last value of a clause, taken whole: ``3^{12}`` and not 12, 3:30 and not 30, "2.5 million", "√5".

Labels ("Step 3"), ordinals ("12th") and what is denied ("not 7") are no values.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from evals.graders.statements import JOINT, MATH, PERCENT, inside

LAST_FORMULA, LAST_NUMBER, LAST_WORD = "last formula", "last number", "last word"

_LONGEST_LIST = 200
_MOST_VALUES = 12  # in one sentence, after which it lists them and answers nothing
_LABEL = re.compile(
    r"\b(?:step|case|part|problem|question|example|figure|fig\.|equation|eq\.|section|method|option"
    r"|choice|version|lemma|theorem|line|row|phase|stage"
    r"|round|table|chapter|exercise|q|no\."
    r"|(?:errors?|exception|status|http|errno|exit)(?: (?:code|number|status))?:?)\s?[#(]?$",
    re.IGNORECASE,
)
_LIST_NUMBER = re.compile(r"^[ \t>#*]*\(?\d{1,2}[.)]\s", re.MULTILINE)
_NUMBER = re.compile(
    r"(?:(?<![\w.])\d{1,3}(?:[ \u00a0\u202f]\d{3})+(?![\d])|\d+ : \d+|\d+(?:[.,:/]\d+)*"
    r"|(?<![\w\d])\.\d+|[¼-¾⅐-⅞]|[√∛]\s?\w+|\bπ|∞)"
)
_DECIMAL = re.compile(r"\.\d")
_ORDINAL = re.compile(r"(?:st|nd|rd|th)\b", re.IGNORECASE)
_GLUED_BEFORE = re.compile(r"[A-Za-z0-9_.,:/^+*\-−–√∛()\[\]{}\\!|'·×$€£]*$")
_GLUED_AFTER = re.compile(r"[A-Za-z0-9_.,:/^+*\-−√()\[\]{}\\!|'·×%°²³⁰¹⁴-⁹¼-¾⅐-⅞π]*")
_TERM_BEFORE = re.compile(
    r"(?:(?<![\w^])(?:[\d.,]+[a-z]?|[a-z]|\d*[a-z]?\([^()\s]{1,40}\)|\\?[a-z]{2,5}\([^()]{1,40}\)"
    r"|[\w()\\{}]+[²³^][\w{}()]*)!?\s?"
    r"(?:[+*/×·÷^]|[-−](?=\s?$))\s?|(?<!\w)(?:negative|minus|plus)\s"
    r"|\d{1,9}\s\(?mod(?:ulo)?\s|\b(?:log|ln|sin|cos|tan)(?:_\w{1,9})?\s"
    r"|\d{1,9}\s(?:weeks?|days?|hours?|minutes?|feet|foot|pounds|dollars|years?|months?)\sand\s"
    r"|(?<![\w.])\d{1,9}\s(?:and\s)?(?=$)|[$€£]\s|(?<!\S)[-−])$",
    re.IGNORECASE,
)
_SCALE = re.compile(
    r"\s?(?:hundred|thousand|million|billion|trillion|dozen|percent|per cent|pct|%|°|[ap]\.m\.|[ap]m\b"
    r"|degrees?\b)(?:\s(?:thousand|million|billion))?",
    re.IGNORECASE,
)
_TERM_AFTER = re.compile(r"\s[+*/×·÷^−-]\s(?:\d*[a-z]\b|\d+)(?:\^\S+)?", re.IGNORECASE)
_RAW_LATEX = re.compile(r"\\(?:d?frac|sqrt|pi|binom|log|ln|infty|cdot|times|pm|begin)\b")
_SIGN_BEFORE = re.compile(r"(?<!\S)[-−]\s?$")
_BEFORE_LATEX = re.compile(r"=|\b(?:is|are|equals|gives?|get|obtain|be|becomes)\s")
_PLAIN = r"[-−]?[$€£]?(?:\d[\d,]*(?:\.\d+)?|[√π])[\d./√π^²³%°]*"
_AND = r"\s*(?:,\s*(?:and|or)?|;|\band\b|\bor\b)\s*"
_LISTS = re.compile(
    rf"(?<!\w)((?:[A-Za-z]\s?=\s?{_PLAIN}{_AND}){{1,12}}[A-Za-z]\s?=\s?{_PLAIN})\W*$"
    rf"|\b(?:are|were|be)\s+((?:{_PLAIN}{_AND}){{1,12}}{_PLAIN})\W*$"
)
_RATIO = re.compile(r"\bratio\b.*?(\d+ to \d+(?: to \d+)*)", re.IGNORECASE)
_REJECTED = re.compile(
    r"\W{0,3}\s(?:is|was|would be|seems|looks|can(?:not|'t|’t) be)\s(?:\w+ly )?(?:wrong|incorrect|false"
    r"|impossible"
    r"|not|(?:the )?(?:right|correct|answer))\b(?<!right)(?<!correct)(?<!answer)",
    re.IGNORECASE,
)
_OF_THEM = re.compile(r"\s(?:of (?:them|these|those|which|whom)|more of)\b", re.IGNORECASE)
_TIMES = r"(?:seconds?|minutes?|hours?|days?|nights?|weeks?|months?|years?|weekends?|trips?|rounds?)"
_DURING = re.compile(
    rf"\b(?:in|on|over|after|within|during|for|throughout|across|by the end of)(?: (?:the|these|those"
    rf"|all|both|first|last"
    rf"|next|past|his|her|their|a|{_TIMES}))*\s$",
    re.IGNORECASE,
)
# "42 marbles remain in the 3 boxes"
_IN_THE = re.compile(r"\b(?:in|into|among|across|between) (?:all )?(?:the|these|those|all) $", re.IGNORECASE)
_NOUN_LAST = re.compile(r"\s[a-z]{3,}\W*$")
_TIME_AFTER = re.compile(rf"(?:\s|-){_TIMES}\b|\W*$", re.IGNORECASE)
_DENIED = re.compile(
    r"(?:\bnot|n't|\bnever|\bneither|\bnor|\bexcept|\bwithout|\b(?:more|less|fewer|greater|larger"
    r"|smaller) than)\s+(?:\w+\s)?[$(]?(?:\\(?:boxed|fbox)\s?\{)?$",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Value:
    """A value, taken whole, and the rule that found it; its place in the sentence that holds it."""

    text: str
    rule: str
    start: int = 0


def last_of(clause: str) -> Value | None:
    formulas = [match for match in MATH.finditer(clause) if _says_something(inside(match))]
    masked = MATH.sub(lambda formula: "\x00" * len(formula.group()), clause)
    masked = _LIST_NUMBER.sub(lambda number: "\x00" * len(number.group()), masked, count=1)
    numbers = list(_NUMBER.finditer(masked))
    if len(numbers) > _MOST_VALUES and len(numbers) * 2 > len(clause.split()):
        return None
    formula = next(
        (match for match in reversed(formulas) if not _DENIED.search(clause[: match.start()])), None
    )
    listed = _LISTS.search(clause, max(0, len(clause) - _LONGEST_LIST)) or _RATIO.search(clause)
    if listed:
        text = next(group for group in listed.groups() if group)
        return Value(text.rstrip(" .,"), LAST_NUMBER, listed.start())
    plain = _last_number(masked, numbers)
    if formula is not None and (plain is None or formula.start() > plain.start):
        return Value(_joined(clause, formulas, formula), LAST_FORMULA, formula.start())
    latex = _RAW_LATEX.search(masked)
    if plain is not None and latex:
        return Value(_raw_latex(masked, latex), LAST_FORMULA, plain.start)
    return plain


def _last_number(text: str, numbers: list[re.Match[str]]) -> Value | None:
    for place in range(len(numbers) - 1, -1, -1):
        match = numbers[place]
        before, after = text[: match.start()], text[match.end() :]
        if place and (_OF_THEM.match(after) or _during(before, after)):
            continue
        if _REJECTED.match(after):
            continue
        if _LABEL.search(before) or _DENIED.search(before):
            continue
        if match.group()[-1].isdigit() and _ORDINAL.match(after):
            continue
        if re.search(r"[A-Za-z]$", before) and not re.search(r"(?<![A-Za-z])[A-Za-z]$", before):
            continue  # a number inside a word
        return _whole(text, match)
    return None


def _during(before: str, after: str) -> bool:
    """Whether a number only says for how long: "he read 91 pages over the 2 days"."""
    if _IN_THE.search(before[-60:]) and _NOUN_LAST.match(after):
        return True
    return _DURING.search(before[-60:]) is not None and _TIME_AFTER.match(after) is not None


def _whole(text: str, number: re.Match[str]) -> Value:
    """The number with what belongs to it: powers, roots, signs, terms, scale words."""
    start, end = number.span()
    glued = _GLUED_BEFORE.search(text, max(0, start - 60), start)
    start = glued.start() if glued else start
    for _ in range(12):
        term = _TERM_BEFORE.search(text, max(0, start - 60), start)
        if term is None or term.start() == start:
            break
        if term.group().strip().removesuffix("and").strip().isdigit() and not _is_fraction(text[start:]):
            break
        start = term.start()
    after = _GLUED_AFTER.match(text, end)
    end = after.end() if after else end
    more = _TERM_AFTER.match(text, end)
    if more:
        end = more.end()
    start = _opening(text, start, end)
    value = _balanced(_without_ends(text[start:end]))
    scale = _SCALE.match(text, end)
    if scale and value and value[-1].isdigit():
        value += scale.group().rstrip()
    return Value(value or number.group(), LAST_NUMBER, number.start())


def _opening(text: str, start: int, end: int) -> int:
    """``start``, or where the bracket opens that the value closes: "(2, 5)", "[1, 2)"."""
    value = text[start:end]
    if sum(map(value.count, ")]}")) <= sum(map(value.count, "([{")):
        return start
    place = max(text.rfind(bracket, max(0, start - 60), start) for bracket in "([{")
    within = text[place + 1 : start] if place >= 0 else "none"
    return start if re.search(r"[^\W\d_]{3,}", within) else place - (text[place - 1 : place] == "\\")


def _without_ends(value: str) -> str:
    """``value`` without the punctuation around it; "10!." is a factorial, "10!" an exclamation."""
    value = value.strip().strip("'").rstrip("*")
    if not _DECIMAL.match(value):
        value = value.lstrip(".,:;*/!|")
    inner = value.rstrip(".,:;'|")
    return inner[:-1] if inner == value and inner.endswith("!") else inner


def _is_fraction(text: str) -> bool:
    return re.match(r"\d{1,4}/\d{1,4}\b|[¼-¾⅐-⅞]", text) is not None


def _balanced(value: str) -> str:
    """``value`` without brackets at its ends that nothing closes or opens."""
    if sum(map(value.count, "([{")) == sum(map(value.count, ")]}")):
        return value.strip("_")  # intervals end with another bracket than they begin with
    for opening, closing in ("()", "[]", "{}"):
        if value.count(closing) > value.count(opening):
            value = (
                value.rstrip(closing) + closing * value.count(opening) if value.endswith(closing) else value
            )
        if value.count(opening) > value.count(closing) and value.startswith(opening):
            value = value[1:]
    return value.strip("_")


def _says_something(formula: str) -> bool:
    """A lone letter and the end of a unit ("cm$^2$") are no results."""
    return (
        not formula.startswith(("^", "_"))
        and re.fullmatch(r"\W*|\\?[A-Za-z]|\\text\{[^{}]*\}", formula) is None
    )


def _joined(clause: str, formulas: list[re.Match[str]], last: re.Match[str]) -> str:
    """The last formula, with those before it that are one list with it."""
    together = [last]
    for formula in reversed(formulas[: formulas.index(last)]):
        if not JOINT.fullmatch(clause, formula.end(), together[-1].start()):
            break
        together.append(formula)
    sign = clause[: together[-1].start()][-1:]
    text = ", ".join(inside(formula) for formula in reversed(together))
    percent = PERCENT.match(clause, last.end())
    text = f"{text}\\%" if percent and text[-1:].isdigit() else text
    return sign + text if sign in ("-", "−") and sign else text


def _raw_latex(text: str, latex: re.Match[str]) -> str:
    """LaTeX that stands without delimiters: what follows the last equals sign or verb before it."""
    start = max(
        (match.end() for match in _BEFORE_LATEX.finditer(text) if match.end() <= text.rfind("\\") + 1),
        default=_signed(text, latex.start()),
    )
    return text[start:].strip(" .\n\x00*_")


def _signed(text: str, start: int) -> int:
    """``start``, or where the sign before it stands."""
    sign = _SIGN_BEFORE.search(text, max(0, start - 3), start)
    return sign.start() if sign else start
