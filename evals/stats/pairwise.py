"""The win rate of duels: responses that a judge compared with a baseline's answers, question by question."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from evals.stats.intervals import PSEUDO_QUESTIONS
from evals.stats.metrics import QuestionStats
from evals.stats.tables import FigureTable

RESAMPLES = 2000
BLOCK = 100  # resamples drawn at once: memory stays small for any number of questions


def win_rate(questions: Sequence[QuestionStats], seed: int = 0) -> FigureTable | None:
    """Points won over points fought for, with a bootstrap interval; None where nothing was judged.

    Against a single baseline this is what a Bradley-Terry model predicts: with one strength to fit, and a
    tie as half a win, the likelihood is greatest where the predicted win rate is the observed one. Verdicts
    of more weight count for more, so it may differ a little from pass@1, where every question counts alike.

    Questions are drawn with replacement, 95% percentiles. Besides the real ones there are
    ``PSEUDO_QUESTIONS`` lost and as many won, as in ``statistics.mean_estimate``: without them a response
    that won everything would have an interval of no width. What was not judged is left out here
    (``ungraded`` says how much); the bounds of pass@1 say what it could come to.
    """
    won = np.array([sum(duel.won for duel in question.duels) for question in questions])
    weight = np.array([sum(duel.weight for duel in question.duels) for question in questions])
    judged = weight > 0
    if not judged.any():
        return None
    won, weight = won[judged], weight[judged]
    value = float(won.sum() / weight.sum())
    imagined = PSEUDO_QUESTIONS * weight.mean()
    won, weight = np.append(won, [0.0, imagined]), np.append(weight, [imagined, imagined])
    rng = np.random.default_rng(seed)
    rates = []
    for _ in range(RESAMPLES // BLOCK):
        drawn = rng.integers(0, len(won), size=(BLOCK, len(won)))
        rates.append(won[drawn].sum(axis=1) / weight[drawn].sum(axis=1))
    drawn_rates = np.concatenate(rates)
    low, high = np.quantile(drawn_rates, [0.025, 0.975])
    return {
        "value": value,
        "stderr": float(drawn_rates.std(ddof=1)),
        "ci95": [min(float(low), value), max(float(high), value)],
        "judged": sum(len(question.duels) for question in questions),
        "ungraded": sum(question.grader_errors for question in questions),
    }
