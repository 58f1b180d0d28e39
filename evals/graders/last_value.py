r"""The fallback where no answer is announced: the last formula or number of the last sentence that has one.

Sentences that close a letter ("I hope this helps") or only explain ("In detail: …") are passed over, and
so are up to two that hold no value. A sentence that gives up ("could not finish"), a line that ends with
a colon, and a list of everything hold none. What the value of a sentence is: ``whole_value.py``.
"""

from __future__ import annotations

import re

from evals.graders import phrases
from evals.graders.statements import MATH, SENTENCE_END, inside, unwrap
from evals.graders.whole_value import LAST_FORMULA, LAST_WORD, Value, last_of

_TAIL = 4000  # characters from the end that are looked at
_MOST_SILENT = 2  # sentences without a value that are passed over

_CHATTER = re.compile(
    r"\W*(?:I hope|hope (?:this|that)|let me know|please|feel free|if you (?:have|need|want|would)"
    r"|let me (?:think|see|try)|see|contact|refer to|consult|thank|would you like|good luck|happy to"
    r"|is there anything|do you (?:want|need)|best regards|cheers|great job|well done|that'?s (?:it"
    r"|all)|done|q\.?e\.?d)\b",
    re.IGNORECASE,
)
_DETAIL = re.compile(
    r"\W*(?:in (?:more )?detail|details?|note|notes|for (?:example|instance|reference|comparison)"
    r"|explanation|reason(?:ing)?|breakdown"
    r"|check|checking|verification|to (?:check|verify)|proof|remark|p\.?s\.?|this uses|this used"
    r"|(?:this|that|it) is (?:\S+ ){0,2}(?:fewer|more|less|because|since|due|how|half|twice|times)"
    r"|\([^()]*\)\W*$"
    r"|i used|i added|i subtracted|i multiplied|i divided)(?!\w)",
    re.IGNORECASE,
)
_GIVES_UP = re.compile(
    r"\b(?:can|could|do|did|does|was|were|am|is|are|would)(?: not|n't|n’t)(?: \w+){0,2} (?:finish"
    r"|solve|determine|answer|complete|tell|decide"
    r"|know|figure|find|compute|calculate|say|give|help|sure|possible|clear|enough|certain|work"
    r"|conclude|get|reach)"
    r"|\b(?:cannot|unable to|impossible to|hard to|not able to|failed to) \w+|\bneed (?:\w+ )?more\b"
    r"|\bnot enough|\bno idea|\bwho knows|\bgiv(?:e|ing) up|\bgave up"
    r"|\b(?:have|has|is|found|got|get) no (?:final |clear )?(?:answer|solution|result)|\bis unknown\b"
    r"|\bdepends on\b"
    r"|\bwhich (?:failed|fails)\b|\brun out|\bran out|\bstuck\b|\bunclear\b|\bI(?:'m| am) not (?:sure"
    r"|certain)|\bsorry\b|\btry again\b",
    re.IGNORECASE,
)
_ASKS = re.compile(
    r"\W*(?:(?:so|and|but|or)\b,?\s)?(?:what|is|isn['’]t|do|does|did|could|can|would|are|how|why|which|shall|should|who|where"
    r"|when)\b[^?]*\?[\s*_\"”)]*$",
    re.IGNORECASE,
)
_LETTER = re.compile(r"([A-Za-z])\.?")  # all that a response says
# What explains a value that stands before it.
_EXPLAINS = re.compile(
    r",?\s+i\.e\.|,?\s+(?:because|namely|since|as (?:she|he|they|it|we|I|there|each|the)|where|when|while"
    r"|if|given"
    r"|considering|assuming|counting|who|whom|for (?:all|every|any)"
    r"|which (?!gives?|makes?|is|are|equals?|means?|leaves?|yields?)\w+|which is (?:\S+ ){1,2}(?:more"
    r"|less|fewer|times)|of (?:which|whom)|instead of|rather than|compared (?:to|with)"
    r"|(?:after|before) [a-z]+ing)\b"
    r"|\s[–—]\s(?=\d[\d.,]*\s?(?:plus|minus|times|[+×*/·]))"
    r"|\s+by (?:adding|subtracting|multiplying|dividing|counting|summing|taking)\b|,\s+as\b"
    r"|\s+\((?=[^()]{1,80}[+*×÷=])|\s+\((?=[^()]{0,200}[^\W\d_]{3,})|\s+[-–—]{1,3}\s+(?:that"
    r"|which|this|because|since|all)\b"
)
_FOLLOWS = re.compile(
    r",?\s(?:so|thus|hence|therefore|giving|making|leaving|yielding|which (?:gives|makes|leaves"
    r"|equals))\b",
    re.IGNORECASE,
)
_YES_OR_NO = re.compile(r"\W*(yes|no|true|false)\b(?=\W|$)(?! \w)", re.IGNORECASE)
_ALONE = re.compile(r"[^\w\\]*([^\W\d_]{3,20}(?:-[a-z]{3,6})?)\W*")
_BOLD = re.compile(r"(\*\*|__)(?=\S)([^*_\n]{1,80}?)(?<=\S)\1")
_LEAD = re.compile(r"[A-Za-z ]{2,30}[:=]\s*")  # "**Total: 72**"
_VALUE_LIKE = re.compile(
    r"(?:[A-Za-z ]{2,30}[:=]\s*)?(?:[^A-Za-z]*\d[^:]*|[^\w]*[√∛π¼-¾⅐-⅞∞].*|\$.+\$|\\\(.+\\\)"
    r"|[a-z]\s?=.+)"
)
_CONCLUDES = re.compile(
    r"\W*(?:so|thus|therefore|hence|in total|in all|altogether|overall|finally|in conclusion"
    r"|in summary|conclusion|total|result|we (?:get|have|find|conclude)"
    r"|consequently|this (?:means|gives)|final)\b",
    re.IGNORECASE,
)
_NAMED = re.compile(
    r"(?:^|\s)(?:is|are|was|be|(?:falls?|lands?|comes?|occurs?|happens?|ends?|starts?|begins?"
    r"|takes place) on)\s(?:on\s)?(?:an?\s"
    r"|the\s)?([A-Z][\w'-]*(?:\s[A-Z][\w'-]*){0,2})\W*$"
)
_CALLED = re.compile(
    r"^\W*(?:So|Thus|Therefore|Hence)\b[^.]{0,120}?\s(?:is|are)\s(?:an?\s)?([a-z]{2,20})\W*$"
)
_SINGLED_OUT = re.compile(
    r"^\W*(?:(?:So|Thus|Therefore|Hence),?\s)?(?!(?:She|He|It|They|This|That|There|We|The|What|Which|You)\b)([A-Z][a-z]+)"
    r"\s(?:is|was|has|had|ran|won)\s(?:the\s)?(?:\w{2,}est|most|least|best|winner)\b"
)
_HENCE = re.compile(
    r"^\W*(?:(?:So|Hence|Thus|Therefore),?\s([A-Z][a-z]+)\W*$|([A-Z][a-z]+),\s(?:not|rather)\b)"
)
_IS_CALLED = re.compile(r"^\W*(?:It|The \w+(?: \w+)?)\s(?:is|are)\s(?:an?\s)?([a-z]{2,20})\W*$")
_CALLED_NOTHING = frozenset(
    [
        "correct",
        "right",
        "wrong",
        "done",
        "true",
        "clear",
        "obvious",
        "helpful",
        "complete",
        "possible",
        "impossible",
        "fine",
        "good",
        "this",
        "that",
    ]
)


def last_value(said: str) -> Value | None:
    """The last value of ``said``, or None."""
    if whole := MATH.fullmatch(said.strip()) or _LETTER.fullmatch(said.strip()):
        return Value(inside(whole), LAST_FORMULA)
    found = closing_sentences(said[-_TAIL:])
    if not found or found[-1].rstrip(" *_").endswith((":", "：")):
        return None
    emphasised = _concluded_in_bold(found)
    if emphasised:
        return emphasised
    silent = 0
    for number in range(len(found) - 1, -1, -1):
        sentence = found[number]
        if gives_up(sentence) or phrases.withheld(sentence) or _ASKS.match(sentence):
            return None
        if number and _DETAIL.match(sentence) and any(_value(earlier) for earlier in found[:number]):
            continue
        value = _value(sentence)
        if value is None and silent == 0:
            value = _word(sentence)
        if value is not None:
            return value
        silent += 1
        if silent > _MOST_SILENT:
            return None
    return None


def closing_sentences(text: str) -> list[str]:
    """The sentences of ``text`` that say anything, without the chatter that closes it."""
    found = [sentence for sentence in _sentences(text) if any(c.isalnum() or c in "√π∞¼½¾" for c in sentence)]
    while found and _CHATTER.match(found[-1]):
        found.pop()
    return found


def gives_up(sentence: str) -> bool:
    """Whether a sentence says that no answer was found."""
    return _GIVES_UP.search(sentence) is not None


def _sentences(text: str) -> list[str]:
    """The sentences and lines of ``text``; a formula is never divided."""
    masked = MATH.sub(lambda formula: "x" * len(formula.group()), text).replace("**", "__")
    sentences = []
    start = 0
    for end in SENTENCE_END.finditer(masked):
        sentences.append(text[start : end.end()])
        start = end.end()
    return [*sentences, text[start:]]


def _concluded_in_bold(sentences: list[str]) -> Value | None:
    """The value that stands in bold alone in its line, or in a concluding sentence: the last of those."""
    for number in range(len(sentences) - 1, max(-1, len(sentences) - 12), -1):
        bold = [match for match in _BOLD.finditer(sentences[number]) if _VALUE_LIKE.fullmatch(match[2])]
        if not bold:
            continue
        alone = not sentences[number].replace(bold[-1].group(), "").strip(" \n.*_$#>-")
        if alone or _CONCLUDES.match(sentences[number]) or number == len(sentences) - 1:
            value = _value(bold[-1][2])
            return Value(
                unwrap(_LEAD.sub("", bold[-1][2], count=1)) if alone or value is None else value.text, "bold"
            )
        return None
    return None


def _value(sentence: str) -> Value | None:
    """The last value of a sentence; of its main clause, where a clause explains it and that has one."""
    follows = [match.end() for match in _FOLLOWS.finditer(sentence)]
    for start in (*follows[-1:], 0):
        part = sentence[start:]
        clause = _EXPLAINS.search(part, 1)
        value = (last_of(part[: clause.start()]) if clause else None) or last_of(part)
        if value is not None:
            return value
    return None


def _word(sentence: str) -> Value | None:
    """The word that a sentence ends with: in bold, a name, or what something is said to be."""
    bold = [match[2] for match in _BOLD.finditer(sentence)]
    if bold and len(bold[-1].split()) <= 3 and not bold[-1].endswith(":"):
        return Value(bold[-1].strip(" ."), LAST_WORD)
    said = _YES_OR_NO.match(sentence) or _ALONE.fullmatch(sentence)
    if said:
        return Value(said[1], LAST_WORD)
    named = next(
        (
            found
            for way in (_NAMED, _CALLED, _HENCE, _SINGLED_OUT, _IS_CALLED)
            if (found := way.search(sentence))
        ),
        None,
    )
    name = next(filter(None, named.groups()), "") if named else ""
    if name and name not in _CALLED_NOTHING and name != "I":
        return Value(name, LAST_WORD)
    return None
