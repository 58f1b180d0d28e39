"""Which option a sentence chooses: "the correct option is C", "I'd go with C", "C is right", 我选C.

Where no sentence does: the last line, or the option that the last sentence points at or whose text it has.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from evals.graders import phrases
from evals.graders.choosing import (
    CHOSEN,
    CHOSEN_BARELY,
    DENIED,
    HOLDS,
    NOT_CHOSEN,
    ON,
    OTHERS_CHOOSE,
    RIGHT,
    WRONG,
)
from evals.graders.extract import stated as announced
from evals.graders.last_value import closing_sentences, gives_up
from evals.graders.letters import LATIN, PLACE, SEVERAL, Options, by_place, mentioned, named, plain, rejected
from evals.graders.statements import SENTENCE_END

_ALL = re.compile(r"\s(?:are|all|both)\b", re.IGNORECASE)
_TAIL = 8000  # characters from the end that are looked at
_LONGEST_SENTENCE = 400
_MOST = 64  # phrases of a kind that are looked at, from the end

_LETTER = re.compile(
    rf"(?<![{LATIN}$\\^_{{-])(?P<open>[(\[（*]{{0,3}})(?P<letter>[A-J])(?P<close>[)\]）*]{{0,3}}"
    rf")(?![{LATIN}'’^_}}-])"
)
_ENDING = re.compile(
    r"(?:\b(?:is|be|therefore|thus|so|hence|likely|definitely|probably|clearly|certainly|elimination|guess|then"
    r"|finally|leaving|remains|answer)|→|⇒|=>|->|[,:—–])\s{0,2}[*(\"]{0,3}(?P<letter>[A-J])[*)\"]{0,3}[.!]?[\s*_]*$"
)
_POINTED = re.compile(
    r"(?:\b(?:options?|choices?|answers?|statements?|letter|alternatives?|opción|opção|opzione|letra"
    r"|вариант|选项|選項)\s?[(\[*\"']{0,3}|[(\[（]|\*\*\(?|(?<!\w)[*_\"'“`]{1,3})"
    rf"(?P<letter>[A-J])(?![{LATIN}'’^_-])"
    r"[)\]）*_\"'”`]{0,4}(?!-\w)",
    re.IGNORECASE,
)
_BARE = re.compile(
    r"(?:(?:option|choice|answer|letter|选项|選項|alternativa|opción|opção|opzione|letra|lettera|вариант|optie"
    r"|phương án|विकल्प|الخيار|گزینه)\s?)?\W{0,3}[A-J]\W{0,3}(?:(?:not|rather than"
    r"|instead of)\s\W?[A-J]\W{0,2})?",
    re.IGNORECASE,
)
# "(D) is wrong" is about an option and does not name it.
_ABOUT = re.compile(
    r"\W{0,4}(?:option )?[A-J]\W{1,4}(?:is|are|was|were|can|cannot|could|does|do|would|will|has|have"
    r"|fails?|violates?|wrong|incorrect"
    r"|false|no\b|not|too)\b",
    re.IGNORECASE,
)
_LISTED = re.compile(r"^\W{0,4}[A-J][).:]\s\S")
_CONCLUDES = re.compile(
    r"\W*(?:so|thus|therefore|hence|overall|finally|in conclusion|in the end|conclusion|consequently"
    r"|this leaves|only)\b",
    re.IGNORECASE,
)
_AND_NOT = re.compile(
    r",\s(?:and )?(?:not|rather than|instead of|unlike|whereas|while)\s[^,.;]{1,60}", re.IGNORECASE
)
_NEGATES = re.compile(
    r"\b(?:not|neither|nor|never|no|none|without|except|unlike|rul\w+ out|eliminat\w+"
    r"|exclud\w+|reject\w*|discard\w*)\b|n't\b|n’t\b",
    re.IGNORECASE,
)


def stated(said: str, options: Options, cut: bool) -> Iterator[tuple[str, str]]:
    """The options that sentences choose, with the rule; the last first."""
    shift = max(0, len(said) - _TAIL)
    text = said[shift:]
    found = [*_announced(text, options, cut), *_chosen(text, options, cut), *_called_right(text, options)]
    for _, letter, rule in sorted(found, key=lambda each: each[0], reverse=True):
        yield letter, rule


def _announced(text: str, options: Options, cut: bool) -> Iterator[tuple[int, str, str]]:
    """ "The answer is C", "Answer: photon"."""
    for each in phrases.announcements(text):
        if each.given is not None:
            letter = named(each.given, options)
        else:
            start = phrases.begin(text, each.start)
            whole = _rest_of_sentence(text, start, cut)
            letter = None
            if (whole is not None and announced(text, each, cut) is not None) or _starts_with_letter(whole):
                letter = named(whole or "", options)
                if letter is None and not rejected(whole or ""):
                    letter = named(announced(text, each, cut) or "", options)
        if letter is None and each.given is None:
            letter = _told_later(text, each.start, options, cut)
        if letter:
            yield each.start, letter, each.rule


def _told_later(text: str, start: int, options: Options, cut: bool) -> str | None:
    whole = _rest_of_sentence(text, start, cut)
    if whole is None or _NEGATES.search(whole) or gives_up(whole):
        return None
    return mentioned(whole, options) if options.texts else None


def _chosen(text: str, options: Options, cut: bool) -> Iterator[tuple[int, str, str]]:
    for pattern, barely in ((CHOSEN, False), (CHOSEN_BARELY, True)):
        for match in list(pattern.finditer(text))[-_MOST:]:
            on = ON.match(text, match.end())
            start = on.end() if on else match.end()
            start -= text[max(0, start - 1) : start] in ("(", "[")
            rest = _rest_of_sentence(text, start, cut)
            if (
                rest is None
                or DENIED.search(text[max(0, match.start() - 60) : start])
                or NOT_CHOSEN.search(text[max(0, match.start() - 60) : match.start()])
                or (match.group()[0] not in ".,;!?" and phrases.supposed(text, match.start(), start))
            ):
                continue
            letter = named(rest, options) if not barely or _only_a_letter(rest, options) else None
            if letter:
                yield match.end(), letter, "sentence"


def _called_right(text: str, options: Options) -> Iterator[tuple[int, str, str]]:
    """ "C is right", "option B holds"."""
    listed: set[str] = set()  # called right at the beginning of a line
    for match in list(_LETTER.finditer(text))[-_MOST * 4 :]:
        if match["letter"] not in options.letters or _denied(text, match.start(), match.end()):
            continue
        before = text[max(0, match.start() - 12) : match.start()]
        pointed = bool(match["close"]) or re.search(
            r"(?:option|choice|answer|statement|so|thus|therefore|hence),?\s$|(?:^|[.!?\n]\s?)$",
            before,
            re.IGNORECASE,
        )
        right = RIGHT.match(text, match.end())
        if right and OTHERS_CHOOSE.match(text, right.end()):
            continue
        if phrases.supposed(text, match.start(), right.end() if right else match.end()):
            continue
        only = re.search(r"(?<!not )\bonly (?:option )?\W?$", before, re.IGNORECASE)
        if right or only or (pointed and HOLDS.match(text, match.end())):
            if right and text[max(0, match.start() - 1) : match.start()] in ("", "\n"):
                listed.add(match["letter"])
            if (
                len(listed) > 1
                or re.search(r"[A-J][)\]]?,? (?:and|or) $", before)
                or (re.search(r"[A-J][)\]]?, $", before) and _ALL.match(text, match.end()))
            ):
                yield match.end(), SEVERAL, "sentence"
            else:
                yield match.end(), match["letter"], "sentence"
    for match in PLACE.finditer(text):
        place = by_place(match.group(), options)
        if place and RIGHT.match(text, match.end()) and not _denied(text, match.start(), match.end()):
            yield match.end(), place, "sentence"


def last_line(said: str, options: Options) -> str | None:
    """The option that the last line names, where it holds nothing else; options listed in turn name none."""
    lines = [line.strip() for line in said[-_TAIL:].splitlines() if plain(line)]
    named_lines = [
        (number, letter)
        for number, line in enumerate(lines)
        if len(line) <= 120 and (letter := _line(line, options))
    ]
    if not named_lines:
        return None
    number, letter = named_lines[-1]
    before = named_lines[-2] if len(named_lines) > 1 else None
    if before and before[0] == number - 1 and before[1] != letter:
        return SEVERAL
    alone = number == len(lines) - 1 or {each for _, each in named_lines} == {letter}
    return letter if alone or not _LISTED.match(lines[number]) else None


def _line(line: str, options: Options) -> str | None:
    said = plain(line)
    letter = named(line, options)
    if letter is None or letter == SEVERAL:
        return letter if letter and len(said) <= 30 else None
    bare = _BARE.fullmatch(said)
    own = options.texts and mentioned(line, options) == letter
    alone = (
        bare
        or PLACE.fullmatch(said)
        or _LISTED.match(said)
        or (own and len(said) <= len(options.text(letter)) + 12)
    )
    return letter if alone and not _ABOUT.match(said) else None


def last_pointed(said: str, options: Options) -> str | None:
    """The one option that the last sentence, or the last concluding one, points at: "(C)", "option C"."""
    closing = closing_sentences(said[-_TAIL:])
    for number in range(len(closing) - 1, -1, -1):
        sentence = closing[number]
        if _ABOUT.match(sentence):
            continue
        if phrases.withheld(sentence):
            return None
        found = {
            match["letter"].upper()
            for match in _POINTED.finditer(sentence)
            if match["letter"].upper() in options.letters
            and match["letter"].isupper()
            and not _denied(sentence, match.start(), match.end())
        }
        if _joins_another(sentence, found, options):
            return SEVERAL
        if not found and number == len(closing) - 1:
            found = _ended_with(sentence, options) or _only(sentence, options)
        if found and (
            number == len(closing) - 1
            or _CONCLUDES.match(sentence)
            or _alone(closing, number, found, options)
        ):
            return found.pop() if len(found) == 1 else SEVERAL
    return None


def _joins_another(sentence: str, found: set[str], options: Options) -> bool:
    """Whether "and D" or "or D" follows the option that is pointed at."""
    joined = re.search(
        r"\b([A-J])[)\]*]{0,3}(?:,? (?:and|or) |[/&])[(\[*]{0,3}([A-J])\b(?! (?:is|was|can))", sentence
    )
    return (
        joined is not None and joined[1] in found and joined[2] in options.letters and joined[1] != joined[2]
    )


def _ended_with(sentence: str, options: Options) -> set[str]:
    """The option that ends a sentence which names no other: "the one that has no mass is C"."""
    ending = _ENDING.search(sentence)
    if ending is None or ending["letter"] not in options.letters or sentence.rstrip().endswith("?"):
        return set()
    if _NEGATES.search(sentence) or DENIED.search(sentence[: ending.start("letter")]):
        return set()
    letters = {match["letter"] for match in _LETTER.finditer(sentence)} - {"A", "I"}
    return {ending["letter"]} if letters <= {ending["letter"]} else set()


def _only(sentence: str, options: Options) -> set[str]:
    """The letter that is all of a sentence: "It has no mass. C." """
    said = plain(sentence)
    return {said} if len(said) == 1 and said in options.letters else set()


def _alone(closing: list[str], number: int, found: set[str], options: Options) -> bool:
    """Whether no other sentence points at another option."""
    others = {
        match["letter"].upper()
        for place, sentence in enumerate(closing)
        if place != number
        for match in _POINTED.finditer(sentence)
        if match["letter"].isupper()
        and match["letter"] in options.letters
        and not _denied(sentence, match.start(), match.end())
    }
    return others <= found


def last_text(said: str, options: Options) -> str | None:
    """The one option whose text or value stands in the last sentence."""
    closing = closing_sentences(said[-_TAIL:])
    if not options.texts or not closing or phrases.withheld(closing[-1]):
        return None
    sentence = _AND_NOT.sub("", closing[-1])
    return None if _NEGATES.search(sentence) or gives_up(sentence) else mentioned(sentence, options)


FALLBACKS: tuple[tuple[str, Callable[[str, Options], str | None]], ...] = (
    ("last line", last_line),
    ("last letter", last_pointed),
    ("option's text", last_text),
)


def _denied(text: str, start: int, end: int) -> bool:
    return DENIED.search(text[max(0, start - 60) : start]) is not None or WRONG.match(text, end) is not None


def _rest_of_sentence(text: str, start: int, cut: bool) -> str | None:
    """The sentence from ``start`` on; None where the length limit cut it."""
    rest = text[start : start + _LONGEST_SENTENCE]
    lead = len(rest) - len(rest.lstrip(" \t\n*_`>"))
    end = SENTENCE_END.search(rest, lead + 1)
    if cut and (end is None or end.end() == len(rest)):
        return None
    return rest[lead : end.start() if end else len(rest)]


def _starts_with_letter(rest: str | None) -> bool:
    return rest is not None and re.match(rf"\W{{0,4}}[A-J](?![{LATIN}])", plain(rest)) is not None


def _only_a_letter(rest: str, options: Options) -> bool:
    """Whether a letter stands alone, in brackets, or before its option's text or a comma."""
    said = plain(rest)
    if re.match(
        r"(?:the )?(?:options?|choice|answer|letter|statement)\s\W?[A-J]\b|[(\[][A-J][)\]](?!-)",
        said,
        re.IGNORECASE,
    ):
        return True
    if re.match(r"[A-J](?:(?:です|だ|である|입니다|이다)?\W{0,3}$|[,:)]|\s(?:and|or|because|since)\b)", said):
        return True
    return (
        bool(options.texts) and re.match(r"[A-J]\b", said) is not None and mentioned(rest, options) == said[0]
    )
