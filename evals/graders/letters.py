r"""Which option some words name: by its letter, by letter and text, or by its own text or value.

``named`` reads a statement, the words that announce or box an answer. It names one option; or several,
and then none is chosen ("B or C"); or none at all. An article is no letter ("a matter of taste"), nor is
a pronoun ("I checked the units") or a letter of a chemical name ("(E)-2-butene" where there are four
options).
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

from evals.graders.math.exact import decide
from evals.graders.math.normalize import canonical, clean
from evals.task import Question

LETTERS = "ABCDEFGHIJ"
LATIN = "A-Za-zÀ-ɏ0-9"
SEVERAL = "several"
_LONGEST = 2000
_LONGEST_VALUE = 80
_FIGURE = re.compile(r"[\d½⅓¼π]|\\pi")
_JOINED = re.compile(r"\s?(?:,|/|&|;|\band\b|\bor\b)\s?(?:(?:and|or|the|an?|maybe|possibly)\s)*")

_CYRILLIC = str.maketrans("АВСЕавсе", "ABCEabce")  # typed on another keyboard, they look the same
_STYLE = re.compile(
    r"\\(?:text|textbf|textit|mathrm|mathbf|mathsf|mathit|rm|bf|mbox|boldsymbol|underline|fbox"
    r"|boxed)\s?(?=\{)|[{}$]|\\[()\[\]]|\*\*|__"
)
_KIND = (
    r"(?:(?:the|is|my|our|an?)\s)*(?:(?:correct|right|best|final|only)\s)*"
    r"(?:options?|choices?|answers?|letters?|statements?|alternatives?|选项|選項|选|選|選択肢|선택지|보기|opción"
    r"|alternativa|opção|opzione|विकल्प|الخيار|گزینه|letra|lettre|lettera"
    r"|buchstabe|вариант|wariant|optie|seçenek|phương án|pilihan|varianta)\s?[:：]?\s{0,3}"
)
_LEADING = re.compile(
    rf"(?:{_KIND})?(?P<open>[(\[<（【「\"'`])?\s?(?P<letter>[A-Ja-j])(?:\s?(?P<close>[)\]>）】」\"'`])"
    rf")?(?P<rest>.*)",
    re.DOTALL | re.IGNORECASE,
)
_NEXT_LETTER = re.compile(
    r"\s*\?{0,3}\s?\(?(?:[,/&;+、，或和?]|\band(?:/or)?\b|\bor\b|\boder\b|\bou\b|\bo\b|\bu\b|\bund\b|\bet\b|\by\b|\be\b"
    r"|\bили\b|\bи\b|또는|か|または)+\s*(?:\b(?:and|or|option|choice|possibly|maybe|perhaps|even|also)\s)*"
    r"[(\[]?(?P<letter>[A-J])[)\]]?(?![\w'’-])(?!\s(?:is|was|are|would|cannot|can't|fails?|because"
    r"|since|being)\b)"
)
# After a lone "A" or "I": what shows that it is a letter and no word.
_NO_WORD = re.compile(
    r"\s*(?:$|[.,:;!?)\]—–/&]|[-]\s|입니다|이다|예요|です|だ|である|项|項|(?:because|since|as|is|was|based|due|and"
    r"|or|but|for|given|which"
    r"|with|not|here|instead|rather|on a)\b)"
)
_PLACES = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")
PLACE = re.compile(
    rf"(?:the )?({'|'.join(_PLACES)}) (?:option|choice|answer|statement|one|alternative)\b", re.IGNORECASE
)
_ARTICLE = re.compile(r"(?:the|an?)\s+(?=\S)", re.IGNORECASE)
_REJECTED = re.compile(
    r"\s?\(?(?:is |was |seems |cannot be |can't be )?(?:\w+ly )?(?:wrong|incorrect|false|not (?:right"
    r"|correct|the)"
    r"|ruled out|impossible)\b",
    re.IGNORECASE,
)
_NOT_BUT = re.compile(r"\s?(?:ではなく|じゃなく|でなく|[가이] 아니(?:라|고)|不是)[て、,，]?\s?")
_IN_BRACKETS = re.compile(r"^\s?\([^()]{1,60}\)")
_GLUED = re.compile(rf"[{LATIN}'’]|-\w|\^|_|\s?(?:\\to|\\rightarrow|→|->)|\s?[=≈<>+×·](?!\w*>)")


@dataclass(frozen=True)
class Options:
    letters: str
    texts: tuple[str, ...]
    spelled: tuple[str, ...]
    worded: tuple[str, ...]

    def text(self, letter: str) -> str:
        """What an answer is shown as: the option's text, or the letter where texts are not known."""
        return self.texts[LETTERS.index(letter)] if self.texts else letter


def options_of(question: Question) -> Options:
    """The options of ``question``, at most ten."""
    return _options(tuple(str(text) for text in question.info.get("options", ())))


@lru_cache(maxsize=4096)
def _options(texts: tuple[str, ...]) -> Options:
    texts = texts[: len(LETTERS)]
    letters = LETTERS[: len(texts)] if texts else LETTERS
    return Options(letters, texts, tuple(map(_spelled, texts)), tuple(map(_worded, texts)))


def named(statement: str, options: Options) -> str | None:
    """The letter of the option that ``statement`` names, ``SEVERAL``, or None."""
    said = plain(statement[:_LONGEST])
    leading = _leading_letter(said, options)
    if leading is None or len(said) > 1:
        by_text = _by_text(said, options)
        if by_text:
            return by_text
    if leading is not None:
        return leading
    if re.fullmatch(rf"[{options.letters}]{{2,}}", said.strip(" .")):
        return SEVERAL
    return _beginning(said, options) or by_place(said, options) or _by_value(said, options)


def plain(text: str) -> str:
    """``text`` without LaTeX styles, emphasis and quotes; letters of other shapes and keyboards in Latin."""
    text = unicodedata.normalize("NFKC", text) if not text.isascii() else text
    return _STYLE.sub("", text).replace("\\ ", " ").strip(" \t\n*_`\"'“”.·~|✅✔☑✓👉➡→").translate(_CYRILLIC)


def mentioned(sentence: str, options: Options) -> str | None:
    """The one option whose text ``sentence`` holds; None where it holds none or several."""
    worded = _worded(sentence[:_LONGEST])
    found = {
        letter: text
        for letter, text in zip(options.letters, options.worded, strict=False)
        if _holds(worded, text)
    }
    longest = [
        letter
        for letter, text in found.items()
        if not any(text != other and _holds(other, text) for other in found.values())
    ]
    return longest[0] if len(longest) == 1 else None


def _leading_letter(said: str, options: Options) -> str | None:
    match = _LEADING.fullmatch(said)
    if match is None:
        return None
    letter, rest = match["letter"], match["rest"]
    bracketed = match["close"] is not None
    kind = said[: match.start("letter")].strip(" ([<（【「\"'`:：") != ""
    if _GLUED.match(rest) and not (bracketed and not rest.startswith("-")):
        return None
    if letter.islower() and not (bracketed or not rest.strip(" .") or rest.lstrip()[:1] in ".):,"):
        return None
    if (
        letter in "AIai"
        and not bracketed
        and not _NO_WORD.match(rest)
        and not _own_text(letter, rest, options)
    ):
        return None
    if _REJECTED.match(rest):
        return None
    if instead := _NOT_BUT.match(rest):
        return _leading_letter(rest[instead.end() :].lstrip(), options)
    letter = letter.upper()
    if letter not in options.letters:
        return None
    following = _NEXT_LETTER.match(rest) or _NEXT_LETTER.match(_IN_BRACKETS.sub("", rest, count=1))
    if following and following["letter"] in options.letters and following["letter"] != letter:
        return SEVERAL
    if not kind and not bracketed and rest[:1] == " " and _beginning(said, options):
        return None
    return letter


def rejected(said: str) -> bool:
    """Whether the letter that ``said`` begins with is called wrong: "C (wrong)", "C is incorrect, so D"."""
    match = _LEADING.fullmatch(plain(said))
    return match is not None and _REJECTED.match(match["rest"]) is not None


def _own_text(letter: str, rest: str, options: Options) -> bool:
    """Whether a letter is followed by its option's own text."""
    place = LETTERS.index(letter.upper())
    return place < len(options.worded) and _holds(_worded(rest), options.worded[place])


def _by_text(said: str, options: Options) -> str | None:
    """The option of this text; its case counts where two differ by case alone."""
    spelled = _spelled(said)
    for same in (str, str.casefold):
        found = [
            letter
            for letter, text in zip(options.letters, options.spelled, strict=False)
            if text and same(text) == same(spelled)
        ]
        if found:
            return found[0] if len(found) == 1 else None
    return None


def _beginning(said: str, options: Options) -> str | None:
    """The option whose text ``said`` begins with, the longest of them."""
    worded = _ARTICLE.sub("", _worded(said))
    found = [
        (len(text), letter)
        for letter, text in zip(options.letters, options.worded, strict=False)
        if text and worded.startswith(text) and _ends(worded[len(text) :])
    ]
    if not found:
        return None
    length, letter = max(found)
    joined = _JOINED.match(worded, length)
    others = (text for each, text in zip(options.letters, options.worded, strict=False) if each != letter)
    if joined and any(text and worded.startswith(text, joined.end()) for text in others):
        return SEVERAL
    return letter


def by_place(said: str, options: Options) -> str | None:
    """ "The third option": by its place."""
    match = PLACE.match(said)
    if match is None:
        return None
    place = _PLACES.index(match[1].lower())
    return options.letters[place] if place < len(options.letters) else None


def _by_value(said: str, options: Options) -> str | None:
    r"""The one option of this value: ``1/2`` where its text is ``$\frac{1}{2}$``."""
    if len(said) > _LONGEST_VALUE or not _FIGURE.search(said):
        return None
    found = [
        letter
        for letter, text in zip(options.letters, options.texts, strict=False)
        if len(text) <= _LONGEST_VALUE and _FIGURE.search(text) and decide(text, said)
    ]
    return found[0] if len(found) == 1 else None


def _spelled(text: str) -> str:
    """``text`` in the spelling of mathematics, without an article before it."""
    return canonical(_ARTICLE.sub("", text.strip())).rstrip(".")


def _worded(text: str) -> str:
    """``text`` in lower case with its spaces, for finding it within a sentence."""
    return " ".join(_STYLE.sub("", clean(text)).casefold().split()).strip(" .")


def _holds(worded: str, text: str) -> bool:
    """Whether ``text`` stands in ``worded`` as words of its own."""
    start = worded.find(text) if text else -1
    while start >= 0:
        before = worded[start - 1 : start]
        if not (before.isalnum() or before in (".", "-", "−")) and _ends(worded[start + len(text) :]):
            return True
        start = worded.find(text, start + 1)
    return False


def _ends(after: str) -> bool:
    """Whether a word ends before ``after``; "2.5" goes on after 2."""
    decimal = after[:1] in (".", ",") and after[1:2].isdigit()
    return not after[:1].isalnum() and not decimal
