"""SWEEP/winner.toml: the experiment with the winner's settings, to train with, or to start the next "
"one from."""

from __future__ import annotations

from pathlib import Path

from evals.base import io
from evals.base.errors import UsageError
from harness.config import Experiment, dump_toml, validate
from harness.sweep.selection import confirmation_experiment
from harness.sweep.space_table import parse_space
from harness.sweep.summary import Summary

WINNER = "winner.toml"


def write_winner(experiment: Experiment, folder: Path, summary: Summary) -> None:
    """Writes winner.toml: what the fresh seeds trained, under the experiment's own seed and with its
    benchmarks; where there is no winner, an earlier one's goes."""
    path = folder / WINNER
    if summary.winner is None:
        path.unlink(missing_ok=True)
        return
    head = (
        f"# Trial {summary.winner.trial} of the sweep {experiment.name!r}, its winner.\n"
        "# harness train winner.toml --out runs/NAME\n\n"
    )
    io.write_text(path, head + dump_toml(winner_experiment(experiment, summary)))


def winner_experiment(experiment: Experiment, summary: Summary) -> Experiment:
    """The experiment with the winner's settings, without a sweep."""
    assert experiment.sweep is not None
    assert summary.winner is not None
    chosen = parse_space(experiment.sweep.space).apply(experiment, summary.winner.params)
    raw = confirmation_experiment(experiment, chosen, 1).model_dump(mode="json", exclude_none=True)
    raw |= {
        "name": f"{experiment.name}-winner",
        "seed": experiment.seed,
        "eval": experiment.model_dump(mode="json", exclude_none=True)["eval"],
    }
    plain = {key: value for key, value in raw.items() if key != "sweep_of"}
    try:
        return validate(plain, where=WINNER)
    except UsageError:  # it switches off something whose settings it has: allowed in a trial only
        return validate(raw, where=WINNER)
