"""Choosing a winner honestly: the best of N looks better than it is, so it is trained again before it is
believed.

The selection figure (the best trial's dev value) is biased upwards by the luck of the draw; ``expected_luck``
says by how much if all N were equal. The confirmation figures come from fresh training seeds and fresh
samples, and there is a winner only if their interval excludes "no better than the base policy".
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import integrate, special

from evals.base.errors import UsageError
from harness.config import Experiment, confirmed_stage, validate
from harness.config.controls import controlled
from harness.sweep.evaluation import Evaluation, is_share
from harness.sweep.summary import Chosen, Figure, Fresh, Improvement, Selection, Trial

CONFIRM_SEED_OFFSET = 1000


@dataclass(frozen=True)
class Confirmation:
    """One fresh training of the winner's settings."""

    seed: int
    run: str
    """Its run folder, relative to the sweep's."""
    final: Evaluation
    base: Evaluation | None
    """The same run's evaluation before its first step."""


@dataclass(frozen=True)
class Candidate:
    """One of the best trials, and its fresh trainings."""

    trial: Trial
    confirmations: Sequence[Confirmation]


@dataclass(frozen=True)
class Selected:
    """The summary's ``winner`` and ``selection``."""

    winner: Chosen | None
    selection: Selection


def expected_luck(trials: int, stderr: float) -> float:
    """How far the best of ``trials`` equally good configurations exceeds their true value, on average.

    The expected maximum of N independent normals: E = integral of (1 - F(x)^N) over x > 0 minus that of
    F(x)^N over x < 0, times the standard error of one evaluation.
    """
    if trials < 1:
        return 0.0
    above, _ = integrate.quad(lambda x: -math.expm1(trials * special.log_ndtr(x)), 0, 12)
    below, _ = integrate.quad(lambda x: special.ndtr(x) ** trials, -12, 0)
    return float(stderr * (above - below))


def improvement(
    confirmations: Sequence[Confirmation], base: Evaluation, maximize: bool, candidates: int = 1
) -> Improvement:
    """The confirmed gain over the base policy.

    The variance of the mean over K seeds is the sampling variance of one evaluation (the seeds share their
    dev questions, so it does not shrink with K) plus the variance between seeds over K; the base adds its
    own. Both evaluations use the same questions, which makes the interval wide rather than narrow. Only the
    variance between seeds is estimated from few numbers: its degrees of freedom are carried over by Welch and
    Satterthwaite's formula. With a single seed the variance between seeds cannot be known, and is left out.
    The best of several ``candidates`` was chosen by these very figures: its interval is Bonferroni's.
    """
    level = 1 - 0.025 / candidates
    values = np.array([c.final.value for c in confirmations])
    between = float(values.var(ddof=1)) / len(values) if len(values) > 1 else 0.0
    sampling = float(np.mean([c.final.stderr**2 for c in confirmations]))
    variance = between + sampling + base.stderr**2
    freedom = variance**2 / (between**2 / (len(values) - 1)) if between > 0 else math.inf
    quantile = special.stdtrit(freedom, level) if math.isfinite(freedom) else special.ndtri(level)
    gain = (float(values.mean()) - base.value) * (1 if maximize else -1)
    stderr = math.sqrt(variance)
    reach = float(quantile) * stderr
    return Improvement(value=gain, stderr=stderr, ci95=(gain - reach, gain + reach))


def confirmation_experiment(experiment: Experiment, chosen: Experiment, place: int) -> Experiment:
    """The winner's settings with the ``place``-th fresh seed, and the sweep's ``confirm_steps``.

    Raises:
        UsageError: no stage has steps to set, or the schema refuses so many.
    """
    assert experiment.sweep is not None
    raw = chosen.model_dump(mode="json", exclude_none=True)
    raw["seed"] = experiment.seed + CONFIRM_SEED_OFFSET + place
    raw["name"] = f"{experiment.name}-confirm-{place}"
    if experiment.sweep.confirm_steps is not None:
        stage = confirmed_stage(raw["stages"])
        if stage is None:
            raise UsageError("sweep.confirm_steps: no stage trains, so none has steps to set")
        stage["steps"] = experiment.sweep.confirm_steps
    return validate(raw, where="sweep.confirm_steps")


def control_experiment(fresh: Experiment, reward: str) -> Experiment:
    """A training of the winner with a fresh seed, for ``reward`` in place of its own rewards."""
    raw = fresh.model_dump(mode="json", exclude_none=True)
    raw["stages"] = controlled(raw["stages"], reward)
    raw["name"] = f"{fresh.name}-{reward}"
    return validate(raw, where="controls")


def verdict(
    candidates: Sequence[Candidate], wanted: int, complete: int, maximize: bool, objective: str,
    out_of_bounds: int = 0,
) -> Selected:  # fmt: skip
    """The ``selection`` and ``winner`` entries of the summary.

    Of several candidates the one with the best mean over its fresh trainings is judged.

    Args:
        candidates: The best complete trials, best first.
        wanted: How many fresh trainings of each there were to be.
        complete: How many complete trials they were chosen among.
        out_of_bounds: How many further ones exceed a constraint.
        maximize: Whether more of the objective is better.
        objective: Its name, by which shares are told in percentage points.
    """
    if not candidates:
        why = f"none of the {out_of_bounds} complete trials keeps within the constraints"
        why = why if out_of_bounds else "no trial finished"
        return Selected(None, Selection(verdict=f"No winner: {why}."))
    sign = 1 if maximize else -1
    tried = [each for each in candidates if each.confirmations]
    judged = max(tried, key=lambda each: sign * _confirmed(each), default=candidates[0])
    fresh, trial = judged.confirmations, judged.trial
    base = _base(judged)
    gain = improvement(fresh, base, maximize, len(candidates)) if fresh and base is not None else None
    figures = "" if gain is None else _told(gain, is_share(objective))
    won, sentence = _sentence(trial.number, gain, figures, len(fresh), wanted, len(candidates))
    entry = _entry(judged)
    chosen = Selection(
        verdict=sentence,
        candidate=entry,
        others=tuple(_entry(each) for each in candidates if each is not judged),
        complete_trials=complete,
        expected_luck=expected_luck(complete, trial.history[-1].stderr),
        improvement=gain,
    )
    return Selected(entry if won else None, chosen)


def _confirmed(candidate: Candidate) -> float:
    return float(np.mean([c.final.value for c in candidate.confirmations]))


def _base(candidate: Candidate) -> Evaluation | None:
    """What the base policy came to: at step 0 of the fresh trainings, or of the trial itself."""
    bases = [c.base for c in candidate.confirmations if c.base is not None]
    if bases:
        return _mean(bases)
    history = candidate.trial.history
    return history[0] if history[0].step == 0 and len(history) > 1 else None


def _entry(candidate: Candidate) -> Chosen:
    """A candidate as the summary has it."""
    trial, base = candidate.trial, _base(candidate)
    return Chosen(
        trial=trial.number,
        params=trial.params,
        selection=_figure(trial.history[-1]),
        base=None if base is None else _figure(base),
        confirmation=tuple(
            Fresh(seed=c.seed, run=c.run, value=c.final.value, stderr=c.final.stderr)
            for c in candidate.confirmations
        ),
    )


def _figure(evaluation: Evaluation) -> Figure:
    return Figure(value=evaluation.value, stderr=evaluation.stderr)


def _sentence(
    number: int, gain: Improvement | None, figures: str, confirmed: int, wanted: int, candidates: int
) -> tuple[bool, str]:
    if wanted == 0:
        return True, f"Trial {number} did best; it was not confirmed (confirm_seeds = 0)."
    if confirmed == 0:
        return False, f"No winner: none of the {wanted} fresh trainings of trial {number} finished."
    if gain is None:
        return (
            True,
            f"Trial {number} did best; no run evaluated the base policy at step 0 to compare it with.",
        )
    seeds = f"{confirmed} fresh seed" + ("s" if confirmed > 1 else "")
    seeds += f", the best of {candidates} trials that were trained again" if candidates > 1 else ""
    if gain.excludes_zero:
        return True, f"Trial {number} wins: on {seeds}, {figures}."
    return False, f"No winner: on {seeds}, trial {number} comes to {figures}, which does not exclude zero."


def _told(gain: Improvement, share: bool) -> str:
    """ "+73.8 points over the base policy, 95% interval [+66.7, +80.8]"; not a share, "+31.2 over …"."""
    value, low, high = (
        f"{100 * each:+.1f}" if share else f"{each:+.4g}" for each in (gain.value, *gain.ci95)
    )
    return f"{value}{' points' if share else ''} over the base policy, 95% interval [{low}, {high}]"


def _mean(evaluations: Sequence[Evaluation]) -> Evaluation:
    """Their mean; its standard error stays that of one, for they share their questions."""
    value = float(np.mean([e.value for e in evaluations]))
    return Evaluation(0, value, math.sqrt(float(np.mean([e.stderr**2 for e in evaluations]))))
