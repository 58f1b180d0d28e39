"""Is the reasoning written in one language, the question's?"""

from __future__ import annotations

from collections import Counter
from functools import cache, lru_cache
from typing import TYPE_CHECKING

import regex

from evals.rollout import Rollout

if TYPE_CHECKING:
    from py3langid.langid import LanguageIdentifier

SCRIPTS = (
    "Latin", "Cyrillic", "Greek", "Arabic", "Hebrew", "Devanagari", "Bengali", "Tamil", "Telugu", "Thai",
    "Armenian", "Georgian", "Hangul", "Han", "Hiragana", "Katakana",
)  # fmt: skip
JAPANESE = frozenset({"Han", "Hiragana", "Katakana"})
# Scripts written without spaces: there a character counts as a word.
SPACELESS = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}"
COMMAND = regex.compile(r"\\[A-Za-z]+")
WORD = regex.compile(rf"[{SPACELESS}]|[^\P{{L}}{SPACELESS}](?:[^\P{{L}}{SPACELESS}]|\p{{M}}|['’])*")
SCRIPT = regex.compile("|".join(rf"(?P<{name}>\p{{Script={name}}})" for name in SCRIPTS))


SENTENCE = regex.compile(r"(?:[.!?:;](?=\s|$)|[\n。！？；])+")
LANGUAGES = (
    "ar", "bg", "bn", "ca", "cs", "da", "de", "el", "en", "es", "et", "fa", "fi", "fr", "he", "hi", "hr",
    "hu", "hy", "id", "it", "ja", "ka", "ko", "lt", "lv", "ms", "nl", "no", "pl", "pt", "ro", "ru", "sk",
    "sl", "sr", "sv", "sw", "ta", "te", "th", "tl", "tr", "uk", "ur", "vi", "zh",
)  # fmt: skip
"""The languages that are distinguished (ISO 639-1). Latin is left out: formulas in words look like it."""
SURE = 0.9
"""The least probability with which a sentence counts as one of another language."""
WORDS = 4
"""The shortest sentence, in words, whose language is asked for."""


def language(rollout: Rollout) -> float | None:
    """The share of the reasoning's words in the question's language, in [0, 1] (DeepSeek-R1, section 2.3.2).

    A word in another script is one of another language, and so is each word of a sentence that py3langid
    takes for another language with a probability of at least ``SURE``; shorter or doubtful ones are the
    question's. A character of Chinese, Japanese or Thai counts as a word. Digits, punctuation, LaTeX
    commands and single Latin or Greek letters (variables) belong to every language; reasoning of nothing
    but those earns 1, and no reasoning at all earns 0.

    ``question.info["language"]``, an ISO 639-1 code, and ``question.info["scripts"]``, a list of names from
    ``SCRIPTS``, override what is found in the question's text.
    """
    reasoning = rollout.reasoning
    if not reasoning:
        return 0.0
    info = rollout.question.info
    scripts = info.get("scripts") or target_scripts(rollout.question.text)
    tongue = info.get("language") or detect(rollout.question.text)
    mine = total = 0
    for sentence in SENTENCE.split(reasoning):
        counts = script_counts(sentence)
        total += counts.total()
        if not _foreign(sentence, counts.total(), tongue):
            mine += sum(counts[script] for script in scripts)
    return mine / total if total else 1.0


@lru_cache(maxsize=2**14)
def detect(text: str) -> str | None:
    """The ISO 639-1 code of a text's language; None where that is doubtful, or the text too short."""
    words = COMMAND.sub(" ", text)
    if sum(1 for _ in WORD.finditer(words)) < WORDS:
        return None
    whole = words.encode("utf-8", "replace").decode("utf-8")  # half a character has no bytes
    found, probability = _identifier().classify(whole)
    return found if probability >= SURE else None


def _foreign(sentence: str, words: int, tongue: str | None) -> bool:
    if tongue is None or words < WORDS:
        return False
    return detect(sentence) not in (None, tongue)


@cache
def _identifier() -> LanguageIdentifier:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    identifier.set_languages(LANGUAGES)
    return identifier


def target_scripts(text: str) -> frozenset[str]:
    """The script most of ``text``'s words are in, Latin where it has none; Japanese mixes three."""
    counts = script_counts(text)
    if counts["Hiragana"] + counts["Katakana"] > 0 and sum(counts[s] for s in JAPANESE) * 2 > counts.total():
        return JAPANESE
    return frozenset({counts.most_common(1)[0][0] if counts else "Latin"})


def script_counts(text: str) -> Counter[str]:
    """Words per script; a word's first letter decides, and scripts not in ``SCRIPTS`` count as "other"."""
    counts: Counter[str] = Counter()
    for word in WORD.findall(COMMAND.sub(" ", text)):
        found = SCRIPT.match(word)
        script = (found.lastgroup or "other") if found else "other"
        if len(word) == 1 and script in {"Latin", "Greek"}:
            continue
        counts[script] += 1
    return counts
