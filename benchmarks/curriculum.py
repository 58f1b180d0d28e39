r"""Does a curriculum help? The embedded policy with and without one, at equal steps, from several seeds.

    python benchmarks/curriculum.py
    python benchmarks/curriculum.py --out runs/hard --steps 72 \
        --train "tiny-math:train[:200]" --benchmarks tiny-math       hard questions, many of them out of reach
    python benchmarks/curriculum.py --out runs/mixed --steps 72 --seeds 1 2 3 4 --arms plain band \
        --train "tiny-math:train[:200]" "gsm8k:train[:600]" --benchmarks tiny-math    most of them are

First the untrained policy is measured once on the training questions, eight samples each: their pass rates.
Then every arm is trained from every seed with the same number of steps and completions, and measured on
the benchmarks' questions. Printed: how many training questions a band keeps, the share of groups
with equal rewards, pass@1, and each arm's difference from the plain one with a 95% interval over seeds and
questions (Holm's correction over all arms). What the measurement of pass rates takes is told, not counted.
Runs that are there already are not trained again.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from statistics import fmean
from typing import Any

from evals.base import io
from evals.comparison.compare import Arm, compare_arms
from evals.comparison.evaluations import read_evaluations
from harness import Experiment, evaluate, train

TRAIN = ["tiny-aime:train[:300]", "tiny-math:train[:300]"]
ARMS: dict[str, dict[str, Any]] = {
    "plain": {},
    "band": {"band": [0.1, 0.9]},
    "band, easy first": {"band": [0.1, 0.9], "order": "easy_first"},
    "parked": {"park_steps": 6},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("runs/curriculum"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS))
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--train", nargs="+", default=TRAIN)
    parser.add_argument("--benchmarks", nargs="+", default=["tiny-aime", "tiny-math[:60]"])
    asked = parser.parse_args()
    rates = asked.out / "rates"
    measured = evaluate(
        "tiny", asked.train, folder=rates, samples=8, temperature=1.0, max_tokens=96, quiet=True
    )
    every = [question for scores in measured.scores.values() for question in scores.questions]
    inside = sum(0.1 <= question.correct / question.n <= 0.9 for question in every)
    tokens = sum(question.tokens or 0 for question in every)
    print(f"{inside} of {len(every)} questions are in the band; that took {tokens:,} tokens")
    arms = []
    for name in asked.arms:
        curriculum = ARMS[name]
        table = {**curriculum, "rates": str(rates)} if "band" in curriculum else curriculum
        runs = [_trained(asked, name, table, seed) for seed in asked.seeds]
        arms.append(Arm(name, tuple(read_evaluations(run / "evals" / "final") for run in runs)))
        rows = [row for run in runs for row in io.read_lines(run / "metrics.jsonl") if "zero_variance" in row]
        spent = sum(row["tokens"] for row in rows) / len(runs)
        print(f"{name}: {fmean(row['zero_variance'] for row in rows):.0%} equal, {spent:,.0f} tokens a run")
    for found in compare_arms(arms):
        print(found.sentence)


def _trained(asked: argparse.Namespace, name: str, curriculum: dict[str, Any], seed: int) -> Path:
    experiment = Experiment.model_validate(
        {
            "name": "curriculum",
            "seed": seed,
            "policy": {"model": "tiny", "template": "tags"},
            "data": {"train": asked.train, **({"curriculum": curriculum} if curriculum else {})},
            "stages": [
                {
                    "steps": asked.steps,
                    "completions_per_step": 32,
                    "learning_rate": 2e-4,
                    "max_tokens": 96,
                    "checkpoint_every": asked.steps,
                }
            ],
            "eval": {
                "benchmarks": asked.benchmarks,
                "samples": 8,
                "temperature": 1.0,
                "top_p": 1.0,
                "max_tokens": 96,
            },
            "tracking": {"wandb": "off"},
        }
    )
    folder = asked.out / f"{name.replace(', ', '-').replace(' ', '-')}-{seed}"
    return train(experiment, folder, quiet=True).folder


if __name__ == "__main__":
    main()
