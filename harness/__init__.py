"""Trains, sweeps and measures from Python as the commands do from a shell.

    from harness import Experiment, GRPO, train, evaluate

    run = train(Experiment(model="tiny", data="tiny-math:train", stages=[GRPO(steps=20)]), "runs/a")
    evaluate(run, ["tiny-math"], samples=16)

Importing this costs nothing: what is behind a name is imported when it is asked for. Bad input raises
``UsageError``, a job that failed ``JobError``, each with one sentence.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from evals.base.lazy import lazily

if TYPE_CHECKING:
    from evals.base.errors import JobError, UsageError
    from evals.scored import score
    from harness.api.comparison import compare
    from harness.api.evaluation import evaluate
    from harness.api.experiment import GRPO, SFT, Experiment
    from harness.api.plan import plan
    from harness.api.report import report
    from harness.api.reward import reward
    from harness.api.run import train
    from harness.api.sweep import sweep

__all__ = [
    "GRPO",
    "SFT",
    "Experiment",
    "JobError",
    "UsageError",
    "compare",
    "evaluate",
    "plan",
    "report",
    "reward",
    "score",
    "sweep",
    "train",
]

_PLACES = {
    "Experiment": "harness.api.experiment",
    "GRPO": "harness.api.experiment",
    "JobError": "evals.base.errors",
    "SFT": "harness.api.experiment",
    "UsageError": "evals.base.errors",
    "compare": "harness.api.comparison",
    "evaluate": "harness.api.evaluation",
    "plan": "harness.plan",
    "report": "harness.api.report",
    "reward": "harness.api.reward",
    "score": "evals.scored",
    "sweep": "harness.sweep",
    "train": "harness.train",
}


def __getattr__(name: str) -> Any:
    return lazily(__name__, name, _PLACES)


def __dir__() -> list[str]:
    return sorted(__all__)
