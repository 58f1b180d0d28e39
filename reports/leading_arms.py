"""The headline of a comparison of arms: which is better than which other."""

from __future__ import annotations

from collections.abc import Sequence, Set

from evals.comparison.compare import Comparison
from reports.study import some


def headline_of_arms(found: Sequence[Comparison], untrained: Set[str]) -> str:
    """Which arm is better than which other; those that are not trained come second."""
    between = [one for one in found if not {one.a, one.b} & untrained]
    clear = [one for one in between if one.significant]
    if clear and len({one.benchmark for one in between}) == 1:
        return _in_the_lead(between)
    if clear:
        return f"{len(clear)} of {len(between)} differences between trained arms are significant."
    gained = [one for one in found if one.a in untrained and one.b not in untrained]
    between_arms = "no difference between trained arms could be shown"
    return f"{_against_none(gained)}; {between_arms}." if gained else f"{between_arms.capitalize()}."


def _against_none(gained: Sequence[Comparison]) -> str:
    """In how many of these comparisons with the untrained policy training is better, in how many worse."""
    better, worse = (
        sum(one.significant and sign * one.difference.value > 0 for one in gained) for sign in (1, -1)
    )
    if not better and not worse:
        return "No arm differs significantly from no training"
    ways = [f"{word} than none in {count}" for word, count in (("better", better), ("worse", worse)) if count]
    return f"Training is {' and '.join(ways)} of {len(gained)} comparisons"


def _in_the_lead(between: Sequence[Comparison]) -> str:
    """Which arm has the highest figure on a benchmark, and from which others it differs significantly."""
    values = {name: value for one in between for name, value in ((one.a, one.value_a), (one.b, one.value_b))}
    lead = max(values, key=lambda name: values[name])
    others = {one.a if one.b == lead else one.b: one for one in between if lead in (one.a, one.b)}
    behind = [name for name, one in others.items() if one.significant]
    level = [name for name, one in others.items() if not one.significant]
    text = f"{lead} does best on {between[0].benchmark}, at {100 * values[lead]:.1f}%"
    if not behind:
        return f"{text}, but does not differ significantly from {some(level)}."
    text += f", significantly above {some(behind)}"
    return f"{text}; its difference from {some(level)} is not significant." if level else f"{text}."


def counted(found: Sequence[Comparison], baseline: str) -> str:
    """How many of the trained arms' differences from each other are significant; the tables say which."""
    pairs = [one for one in found if one.a != baseline]
    clear = sum(one.significant for one in pairs)
    return f"Of {len(pairs)} differences between trained arms {clear} are significant (see Comparisons)."
