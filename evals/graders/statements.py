r"""Where a statement of an answer ends: "91, counting every page", "91 because …", "$5$ or $6$".

The formulas that begin a statement are the answer, joined by a comma where "and" or a comma joins them.
Else it is the rest of the sentence, without the clause that explains it. Mere prose states nothing.
"""

from __future__ import annotations

import re
from fractions import Fraction

from evals.graders import phrases

_LONGEST = 2000
_MOST_WORDS = 6

# A closing $ before a digit belongs to the second of two prices, not to mathematics.
MATH = re.compile(
    r"\$\$(.+?)\$\$|\$((?:[^$\\]|\\.)+)\$(?!\d)|\\\((.+?)\\\)|\\\[(.+?)\\\]",
    re.DOTALL,
)
PERCENT = re.compile(r"\s?(?:\\?%|percent\b|per cent\b|pct\b)")
JOINT = re.compile(r"\s{0,3}(?:,|;|\band\b|\bor\b)\s{0,3}(?:\band\b|\bor\b)?\s{0,3}")
SENTENCE_END = re.compile(r"\n|\*\*|(?<!\.[A-Za-z])[.!?](?=[\s*\"'”]|$)|[。！？।]")
_FUNCTIONS = "sqrt|sin|cos|tan|cot|sec|csc|ln|log|exp|pi|infinity|arcsin|arccos|arctan|min|max|gcd|lcm"
CLAUSE = re.compile(
    rf",\s+(?!(?:and|or)\b)(?!(?:{_FUNCTIONS})\b)(?=[^\W\d_]{{2,}}(?!\w*\s?=))"
    r"|;\s+(?=\d[\d.,]*\s[^\W\d_]{3,})|\s+and\s+(?:nothing|no)\b"
    r"|,\s+and\s+(?:that|this|it|we|he|she|they|not|so|the)\b"
    r"|\s+[-–—]{1,3}\s+(?=[^\W\d_]{2,})|\s*—\s*|;\s+(?=[^\W\d_]{2,})|:\s+(?=[^\W\d_]{2,}\s)"
    rf"|\s+[(\[](?=[^()\[\]]{{0,200}}(?<![A-Za-z])(?!(?:{_FUNCTIONS}|mod)\b)[^\W\d_]{{3,}})"
    r"|\s+\((?=\s?[^()]{1,80}=|or\b|≈|~|i\.e)|(?<=[a-z]{3})\s+\((?=[^()]{1,80}[+*×÷])"
    r"|,?\s+(?:because|since|as|which|who|whose|whom|where|when|while|so|but|given|considering"
    r"|assuming|counting|after"
    r"|before|if|due to|that is|i\.e|e\.g|rather than|instead of|making|meaning|and (?:that|this|it"
    r"|we|he|she|they|not)"
    r"|for (?:all|every|each|any)|depending|with(?! (?:a )?remainder))\b"
    r"|,?\s+(?:porque|weil|perché|parce que|потому|так как|omdat|eftersom|ponieważ|çünkü|vì|karena)\b"
    r"|\s*(?:，|；|（|因为|因為)|(?<=[a-z])\s+in\s+(?=\d+\s[a-z]{3})"
)
_WORD_CLAUSE = re.compile(
    r",\s+(?:the|an?|one|his|her|who|which|whose|where|when|because|since|as|so|not|but|and|while|with|having)\b"
    r"|\s+(?:because|since|where|when|while|so|but|rather than|instead of)\b|\s+\("
    r"|;\s|\s+[-–—]{1,3}\s+|\s*—\s*"
    r"|\s*(?:，|；|（|因为|因為)"
)
_VALUE_LED = re.compile(
    r"(?:[a-zA-Z]\w?\s?=\s?)?(?:[-−–+±~≈<>≤≥$€£¥\\({\[|√∛]|\d|[¼-¾⅐-⅞]|(?:negative|minus|plus|about"
    r"|approximately) |[a-zA-Z]\s?[=^(+*/−-])",
    re.IGNORECASE,
)
# "91 = 60 + 31": the number is the answer, what follows is how it came about.
_TERMS = r"[\d\s.,(){}$+*/×·÷^−-]"
_SUM = re.compile(
    rf"\s*([-−+]?\$?\d[\d,]*(?:\.\d+)?)\s*=\s*(?=[^=]*\d\s*[-+*/×·−÷^]){_TERMS}+(?:={_TERMS}+)*"
)
_RULE_OR_BULLET = re.compile(r"(?:[-*_=]{3,}\s*\n\s*)?(?:[-•*]\s+(?=\S))?")
# "6, no wait, 8"
_MEANT = re.compile(
    r"[^\n,—–]{1,60}?(?:,|\.{2,3}|…|\s[—–-]{1,2})\s*(?:oh )?(?:no,?\s?wait|no|sorry|wait|or rather"
    r"|I mean|make that"
    r"|correction|actually)\b[,:]?\s+(?=[-−$\\\d(*])",
    re.IGNORECASE,
)
_REASON_FIRST = re.compile(
    r"(?:since|because|as|if|when|given|after)\b[^,.;\n]{1,120},\s+(?=\S)", re.IGNORECASE
)
_QUOTED = re.compile(
    r"==(.+)==|<([-−]?[\d.,/]+)>|\"(.+)\"|'(.+)'|“(.+)”|\[([-−]?\$?[\d.,/]+)\]|「(.+)」|【(.+)】"
)
_ORNAMENT = re.compile("[\\s\u2600-\u27bf\U0001f300-\U0001faff\ufe0f]+$")  # 72 🎉
# "The largest $n$ is 34", "the area of $ABC$ is $34$": the value of a whole sentence.
_IS_VALUE = re.compile(r".*\b(?:is|are|equals)\s+(?=[-−–]?\s?(?:\$|\\|[\d(\[{√π]))", re.DOTALL)
_ITS_SUM = re.compile(r"(\d[\d,]*(?:\.\d+)?)\s*\(((?:\d[\d,]*(?:\.\d+)?\s*\+\s*)+\d[\d,]*(?:\.\d+)?)\)")
_NAMES = re.compile(r"\$[^$\n]{1,40}\$\s?=")  # "$x$ = 5" goes on
_DENIED = re.compile(
    r"(?:not|never|neither|no longer|unlikely|hardly|anything but|nicht|no es|non è|pas|não é|не"
    r"|bukan)\b|n't\b|no\b(?= \d)"
    r"|不是|并非|並非",
    re.IGNORECASE,
)
_BUT = re.compile(
    r"(?<!anything )\bbut(?: rather| instead)?\b|\brather\b|\b(?:it|that|this)(?:'s| is)\b|\binstead\b"
    r"|\b(?:sondern|sino|bensì|mais|mas|melainkan)\b|(?<=,) а\b|而是",
    re.IGNORECASE,
)
# What follows "the answer is" without stating one.
_PREPOSITION = re.compile(
    r"(?:see|n/?a|tbd|based|below|above|in|on|at(?! least| most)|from|here|there|that|what|how|why|when"
    r"|where|if|given|following"
    r"|obtained|found|derived|as|well"
    r"|quite|rather|of|for|to|one of|among|something|somewhere|hidden|probably not|i|we|you|he|she"
    r"|let|let's|a matter|an? \w+ of (?:taste|opinion))\b",
    re.IGNORECASE,
)
# "It is Sunday", "on a Sunday"
_IT_IS = re.compile(
    r"(?:it(?:'s|’s| is| was| will be)\s)?(?:on\s)?(?:(?:an?|the)\s)?(?=[A-Z][\w'-]+$)|an?\s(?=[a-z]{3,}$)"
)
_ADJECTIVES = frozenset(
    [
        "correct",
        "right",
        "wrong",
        "incorrect",
        "helpful",
        "useful",
        "clear",
        "obvious",
        "easy",
        "simple",
        "hard",
        "difficult",
        "ready",
        "complete",
        "final",
        "reasonable",
        "consistent",
        "verified",
        "confirmed",
        "satisfactory",
        "understandable",
        "good",
        "fine",
        "ok",
        "okay",
        "unknown",
        "unclear",
        "uncertain",
        "done",
        "ambiguous",
        "not",
    ]
)
_COPULA_AFTER = re.compile(
    r"(?:입니다|이다|예요|이에요|です|だ|である|になります|となります|है|हैं|است|'?d[iıuü]r|olur|है।)[.。]?$"
)


def statement(text: str, start: int, truncated: bool = False) -> str | None:
    """The answer that is announced just before ``start``; None where nothing is stated, or it is denied.

    A text that the length limit cut states only what it finished.
    """
    start = phrases.begin(text, start)
    rest = text[start : start + _LONGEST].lstrip(" \t*_\n`>")
    rest = _RULE_OR_BULLET.sub("", rest) if "\n" in text[max(0, start - 3) : start] + rest[:3] else rest
    if meant := _MEANT.match(rest):
        rest = rest[meant.end() :]
    formulas = leading_formulas(rest)
    if formulas and not _NAMES.match(rest):
        return _without_sum(formulas)
    end = SENTENCE_END.search(rest)
    if truncated and (end is None or (end.end() == len(rest) and end.group() != "\n")):
        return None
    said = rest[: end.start()] if end else rest
    if _DENIED.match(said):
        return _after_denial(said)
    return trimmed(said)


def trimmed(said: str) -> str | None:
    """A statement without the clause that explains it; None for mere prose."""
    said = _REASON_FIRST.sub("", _COPULA_AFTER.sub("", unwrap(said)))
    value_led = _VALUE_LED.match(said) is not None
    clause = (CLAUSE if value_led else _WORD_CLAUSE).search(said, 1)
    if clause:
        said = unwrap(said[: clause.start()])
    said = _ORNAMENT.sub("", said).rstrip(" ,;#")
    if said.endswith(")") and not any(bracket in said for bracket in "([]"):
        said = said[:-1]
    if said.endswith("}") and said.count("}") > said.count("{"):
        said = said[:-1]
    said = _without_sum(said)
    return said if value_led else _worded(said)


def _without_sum(said: str) -> str:
    if computed := _SUM.fullmatch(said):
        return computed[1]
    if (explained := _ITS_SUM.fullmatch(said)) and _adds_up(explained[1], explained[2]):
        return explained[1]  # "72 (48 + 24)"; but "2 (3 + 4)" is a product
    return said


def _adds_up(total: str, terms: str) -> bool:
    figures = [Fraction(term.strip().replace(",", "")) for term in (total, *terms.split("+"))]
    return figures[0] == sum(figures[1:])


def _worded(said: str) -> str | None:
    said = _IT_IS.sub("", said)
    if (
        (whole := _IS_VALUE.match(said))
        and "$" in whole.group()
        and not _DENIED.search(said[: whole.end()][-12:])
    ):
        said = said[whole.end() :]
        return leading_formulas(said) or trimmed(said)
    words = said.split()
    if not words or _PREPOSITION.match(said) or (len(words) <= 2 and words[0].casefold() in _ADJECTIVES):
        return None
    if said[0].isdigit():
        return said
    found = MATH.search(said)
    if found:  # "the set $\{1,2\}$"
        return leading_formulas(said[found.start() :])
    prose = len(words) > _MOST_WORDS and not any(character.isdigit() for character in said)
    return None if prose else said


def _after_denial(said: str) -> str | None:
    """ "not 12 but 15" states 15."""
    instead = _BUT.search(said)
    if instead is None:
        return None
    rest = said[instead.end() :].strip()
    return None if _DENIED.match(rest) else leading_formulas(rest) or trimmed(rest)


def leading_formulas(text: str) -> str:
    """The formulas that ``text`` begins with; several joined by a comma, "and" or "or" are one list."""
    found: list[str] = []
    match = MATH.match(text)
    while match:
        found.append(inside(match) + ("\\%" if PERCENT.match(text, match.end()) else ""))
        joint = JOINT.match(text, match.end())
        match = MATH.match(text, joint.end()) if joint else None
    return ", ".join(found)


def unwrap(text: str) -> str:
    """``text`` without emphasis, and without mathematics delimiters where they enclose all of it."""
    text = text.strip().strip("*_`").strip()
    match = MATH.fullmatch(text) or _QUOTED.fullmatch(text)
    return inside(match) if match else text


def inside(formula: re.Match[str]) -> str:
    """What stands between a formula's delimiters."""
    return next(group for group in formula.groups() if group is not None).strip()
