"""Self-evolution: signs of reflection in what a policy writes while it is trained (DeepSeek-R1, figure 3).

Word counts show that a policy writes like one that reflects, not that reflecting helps it; whether a wrong
step is in fact mended is measured apart, on arithmetic that can be checked.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from evals.rollout import Rollout
from harness.rewards.language import language

MARKERS: Mapping[str, tuple[str, ...]] = {
    # The ten words whose frequency the DeepSeek-R1 paper follows over training.
    "English": (
        "wait", "mistake", "however", "but", "retry", "error", "verify", "wrong", "evaluate", "check",
    ),
    "Chinese": ("等等", "错误", "然而", "但是", "重试", "验证", "不对", "检查", "重新"),
    "German": ("moment", "fehler", "jedoch", "aber", "falsch", "prüfe", "überprüfe", "nochmal"),
    "French": ("attends", "erreur", "cependant", "mais", "faux", "vérifions", "vérifie"),
    "Spanish": ("espera", "error", "embargo", "pero", "incorrecto", "verifiquemos", "comprobemos"),
    "Russian": ("подожди", "ошибка", "однако", "неверно", "проверим", "проверка"),
    "Japanese": ("待って", "間違い", "しかし", "確認", "やり直"),
}  # fmt: skip
"""Reflection markers by language; those of scripts without spaces are found inside words."""
SPACED = ("English", "German", "French", "Spanish", "Russian")
PATTERN = re.compile(
    r"\b(?:" + "|".join(dict.fromkeys(w for name in SPACED for w in MARKERS[name])) + r")\b|"
    + "|".join(word for name in ("Chinese", "Japanese") for word in MARKERS[name]),
    re.IGNORECASE,
)  # fmt: skip
CLAIM = re.compile(r"(?<![\d.])(-?\d{1,15})\s*([+\-*×])\s*(-?\d{1,15})\s*=\s*(-?\d{1,30})(?![\d.])")
"""A step of integer arithmetic that states its result."""


@dataclass(frozen=True)
class Corrections:
    """Steps that state a wrong result: how many there are, and how many a later step with the same left-hand
    side puts right."""

    wrong: int
    mended: int


def reflection_markers(text: str) -> int:
    """How many words of ``MARKERS`` a text has."""
    return sum(1 for _ in PATTERN.finditer(text))


def corrections(text: str) -> Corrections:
    """Wrong and mended steps of integer arithmetic in a text, in the order that they are written."""
    claims = []
    for left, operator, right, result in CLAIM.findall(text):
        a, b = int(left), int(right)
        true = a + b if operator == "+" else a - b if operator == "-" else a * b
        claims.append(((a, operator, b), int(result) == true))
    wrong = [place for place, (_, right) in enumerate(claims) if not right]
    mended = sum(
        any(right and step == claims[place][0] for step, right in claims[place + 1 :]) for place in wrong
    )
    return Corrections(len(wrong), mended)


def reflects(text: str) -> bool:
    """Whether a text has a reflection marker, or puts a wrong step right."""
    return PATTERN.search(text) is not None or corrections(text).mended > 0


def evolution_metrics(
    rollouts: Sequence[Rollout], languages: Sequence[float | None] | None = None
) -> dict[str, float]:
    """What one step's completions show, by the names of metrics.jsonl.

    ``languages``: what the reward "language" gives each of them, where that is known already.

    ``reflection``: markers per 1,000 tokens; ``steps_wrong``: wrong steps of arithmetic per completion;
    ``self_correction``: the share of those that are mended, left out where there is none;
    ``one_language``: the share of reasoning words in the question's language, a mean over completions.
    """
    tokens = sum(rollout.tokens for rollout in rollouts)
    found = [corrections(rollout.text) for rollout in rollouts]
    wrong = sum(each.wrong for each in found)
    found_shares = [language(rollout) for rollout in rollouts] if languages is None else languages
    shares = [share for share in found_shares if share is not None]
    metrics = {
        "reflection": 1000 * sum(reflection_markers(r.text) for r in rollouts) / max(1, tokens),
        "steps_wrong": wrong / max(1, len(rollouts)),
        "one_language": sum(shares) / max(1, len(shares)),
    }
    if wrong:
        metrics["self_correction"] = sum(each.mended for each in found) / wrong
    return metrics
