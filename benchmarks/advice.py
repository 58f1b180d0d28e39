"""Live advice against runs that were made to fail: which warnings come when they should, and when not.

    python benchmarks/advice.py [--out runs/advice] [--seeds 1 2] [--kinds "sampled hotter"] [--curves FOLDER]

The embedded policy is trained in every way of ``KINDS``: healthy ones, and one for each trouble, made so on
purpose. Then the warnings of `harness/train/advice.py` are read off every run's metrics.jsonl. Printed: how
many runs of each kind gave each warning; and for each warning its recall over the runs that were made for
it, and its precision over all runs, where a kind that has it as a consequence counts neither way. Runs that
are there already are not trained again. Limits were set by runs with seed 0, so the default seeds are others.

``--curves`` reads published curves besides (LLM360/Reasoning360: reward, length and truncation at every step
of runs that went well, ``steps-*.csv``): every warning there is a false alarm.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

from evals.base import io
from evals.engine import Group, Request, Sampling
from evals.rollout import Rollout
from harness import Experiment, train
from harness.engines.hf import TransformersEngine
from harness.engines.registry import Place
from harness.models.policy import Policy
from harness.train.advice import advice_on

STEPS = 24
HEALTHY: dict[str, Any] = {
    "steps": STEPS,
    "completions_per_step": 32,
    "group_size": 8,
    "learning_rate": 2e-4,
    "max_tokens": 96,
    "eval_every": 8,
    "checkpoint_every": STEPS,
    "rewards": {"accuracy": 1.0},
}


def tokens(rollout: Rollout) -> float:
    """A reward that pays for length, whatever is said."""
    return rollout.tokens / rollout.max_tokens


def brief(rollout: Rollout) -> float:
    """A reward that can be had without thinking: a number between the tags, in as few tokens as possible."""
    return 1 - rollout.tokens / rollout.max_tokens if rollout.verdict.status != "unparsed" else 0.0


def repeats(rollout: Rollout) -> float:
    """A reward that pays for saying one thing over and over."""
    words = rollout.text.split()
    return 1 - len(set(words)) / len(words) if len(words) > 4 else 0.0


class Hotter(TransformersEngine):
    """An engine that samples at a higher temperature than it is asked for."""

    name = "hotter"

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[Group]:
        return super().generate(requests, replace(sampling, temperature=1.25 * sampling.temperature))


def hotter(policy: Policy, place: Place) -> Hotter:
    return Hotter(policy, own_weights=place.own_weights)


@dataclass(frozen=True)
class Kind:
    """What differs from ``HEALTHY``, the warning that this was made for, and what may come with it."""

    settings: dict[str, Any]
    made_for: str = ""
    besides: tuple[str, ...] = ()
    policy: dict[str, Any] = field(default_factory=dict)


HERE = str(Path(__file__).resolve())
SHORT = {"max_tokens": 64}
KINDS = {
    "healthy": Kind({}),
    "healthy, KL": Kind({"beta": 0.01, "rewards": {"accuracy": 1.0, "format": 0.2}}),
    "healthy, brief": Kind({"rewards": {"accuracy": 1.0, "length": 0.5}}),
    "healthy, slow": Kind({"learning_rate": 5e-5}),
    "rate 30 x, weak KL": Kind(
        {**SHORT, "learning_rate": 6e-3, "beta": 1e-3},
        "kl",
        ("reward", "entropy", "length", "groups", "hacking"),
    ),
    "rate 100 x": Kind(
        {**SHORT, "learning_rate": 2e-2}, "reward", ("entropy", "length", "groups", "hacking")
    ),
    "pays for repetition": Kind(
        {**SHORT, "learning_rate": 1e-3, "rewards": {f"{HERE}:repeats": 1.0}},
        "entropy",
        ("hacking", "length", "groups"),
    ),
    "pays for brevity alone": Kind({**SHORT, "rewards": {f"{HERE}:brief": 1.0}}, "hacking", ("entropy",)),
    "pays for length alone": Kind(
        {**SHORT, "rewards": {f"{HERE}:tokens": 1.0}}, "length", ("hacking", "entropy", "groups")
    ),
    "temperature 0.1": Kind({**SHORT, "temperature": 0.1}, "groups", ("entropy", "length")),
    "cut at 8 tokens": Kind({"max_tokens": 8}, "groups", ("entropy",)),
    # Where float32 and the probe's own limit leave it a chance: usually such a run is ended at once.
    "sampled hotter": Kind(
        {"probe_limit": 2.0}, "drift", policy={"dtype": "bfloat16", "engine": f"{HERE}:hotter"}
    ),
}


def trained(out: Path, seeds: list[int], kinds: list[str]) -> Iterator[tuple[str, int, list[dict[str, Any]]]]:
    """Every run's kind, seed and rows of metrics; what is missing is trained first."""
    for seed in seeds:
        for name in kinds:
            kind = KINDS[name]
            experiment = Experiment.model_validate(
                {
                    "name": "advice",
                    "seed": seed,
                    "policy": {"model": "tiny", "template": "tags", **kind.policy},
                    "data": {
                        "train": ["tiny-aime:train", "tiny-math:train[:4000]"],
                        "dev": ["tiny-aime:dev[:30]", "tiny-math:dev[:10]"],
                        "dev_samples": 4,
                    },
                    "stages": [HEALTHY | kind.settings],
                    "tracking": {"wandb": "off"},
                }
            )
            folder = out / f"{name.replace(' ', '-').replace(',', '')}-{seed}"
            run = train(experiment, folder, quiet=True)
            yield name, seed, list(io.read_lines(run.folder / "metrics.jsonl"))


def published(folder: Path) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Rows of metrics of the published curves, by file."""
    for path in sorted(folder.glob("steps-*.csv")):
        frame = pd.read_csv(path)
        names = {
            "_step": "step",
            "critic/rewards/mean": "reward",
            "response_length/mean": "length",
            "response_length/clip_ratio": "truncated",
        }
        frame = frame[list(names)].rename(columns=names).dropna()
        yield path.stem, [{**row, "step": int(row["step"])} for row in frame.to_dict("records")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("runs/advice"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--kinds", nargs="+", choices=list(KINDS), default=list(KINDS))
    parser.add_argument("--curves", type=Path)
    asked = parser.parse_args()
    given: dict[str, list[set[str]]] = defaultdict(list)
    for name, seed, rows in trained(asked.out, asked.seeds, asked.kinds):
        found = advice_on(rows)
        given[name].append({each.kind for each in found})
        for each in found:
            print(f"{name}, seed {seed}: {each}")
    names = list(dict.fromkeys(kind.made_for for kind in KINDS.values() if kind.made_for))
    print(f"\n| run | runs | {' | '.join(names)} |\n|---|---|{'---|' * len(names)}")
    for kind, runs in given.items():
        shares = [sum(name in run for run in runs) for name in names]
        cells = [
            f"**{n}**" if name == KINDS[kind].made_for else str(n)
            for name, n in zip(names, shares, strict=True)
        ]
        print(f"| {kind} | {len(runs)} | {' | '.join(cells)} |")
    print("\n| warning | precision | recall | other runs | false alarms |\n|---|---|---|---|---|")
    for name in names:
        own = [name in run for kind, runs in given.items() if KINDS[kind].made_for == name for run in runs]
        false = [
            name in run
            for kind, runs in given.items()
            if KINDS[kind].made_for != name and name not in KINDS[kind].besides
            for run in runs
        ]
        told = sum(own) + sum(false)
        precision = f"{sum(own)}/{told}" if told else "–"
        print(f"| {name} | {precision} | {sum(own)}/{len(own)} | {len(false)} | {sum(false)} |")
    if asked.curves:
        for name, rows in published(asked.curves):
            found = advice_on(rows)
            print(f"{name}: {len(rows)} steps, {len(found)} warnings {'; '.join(map(str, found))}")


if __name__ == "__main__":
    main()
