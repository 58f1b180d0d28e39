"""Forecasts against real learning curves: what was known early, and what came.

    python benchmarks/forecast.py FOLDER [--bare]

FOLDER contains published learning curves as CSV files, of any name. Columns: ``accuracy/…`` (a column a
benchmark, a file a run or a part of one; LLM360/Reasoning360), ``critic/rewards/mean`` (training reward,
every step; the same), or ``run, step, benchmark, accuracy`` (knoveleng/open-rs). Each curve's first third,
then half, is forecast from: with an exponential alone, with the average over exponential and sigmoid without
drift that the pruner supposes, and with the drift that `harness forecast` adds. Printed of all later
evaluations: the share within the 80% and 95% interval, mean error (measured less forecast), mean absolute
error, the 80% interval's width. Then what `harness forecast` answers to whether going on is worth it, and how
many of those curves ended a point higher or more. Then, for each benchmark that several runs have: whether
the run that ends best would have been pruned at a third, by the default rule, against the others at that
place.

Standard errors are binomial: from the questions and samples that the benchmarks have. Those of rewards, and
of benchmarks that are not known here, are told by the differences of neighbours; with ``--bare`` all are, as
those of a CSV file without a column "stderr".
"""

from __future__ import annotations

import argparse
import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from harness.config import Sweep
from harness.sweep.evaluation import Evaluation
from harness.sweep.forecast import DEFAULT, PRUNING, Curve, Model
from harness.sweep.pruners import Rule
from reports.curve_files import read_curves
from reports.figures.ahead import WORTH
from reports.outlook import Track

ANSWERS = {
    **{"amc_repeated": 332, "aime_repeated": 240, "livecodebench": 279, "math__math": 500, "humaneval": 164},
    **{"graph_logical": 77, "ordering": 100, "gpqa": 198, "aime24": 30, "math_500": 500, "amc23": 40},
    **dict.fromkeys(("zebra_puzzle", "codeio", "arcagi1", "multihier", "hitab", "mbpp"), 200),
}
"""Questions times samples, as the values' denominators show."""
REWARD = "critic/rewards/mean"
EXPONENTIAL = replace(PRUNING, sigmoid=False)
MODELS = {"exponential": EXPONENTIAL, "without drift": PRUNING, "average": DEFAULT}


@dataclass(frozen=True)
class Real:
    """One run on one benchmark."""

    source: str
    run: str
    benchmark: str
    evaluations: list[Evaluation]


def real_curves(folder: Path) -> Iterator[Real]:
    """Every curve of at least three evaluations; a run's parts in several files are one curve."""
    tables: dict[tuple[str, str, str], dict[int, float]] = defaultdict(dict)
    for path in sorted(folder.glob("*.csv")):
        # accuracy-guru15k_math2.5k-050718: a run "guru15k_math" of the source "guru".
        part = re.sub(r"(?:[\d.]+k)?-\d+$", "", path.stem.removeprefix("accuracy-"))
        source = re.split(r"[\d_]", part)[0] or part
        for label, frame in read_curves(path):
            for name in frame.columns.drop("step"):
                kind, _, benchmark = str(name).partition("/")
                if name == REWARD:
                    key = "reward", path.stem, "reward"
                elif kind == "accuracy" and benchmark:
                    key = source, part, benchmark.split("/")[0]
                elif path.stem != label:  # a run of several in the file
                    key = path.stem, label, str(name)
                else:
                    continue
                for step, value in frame[["step", name]].dropna().itertuples(index=False):
                    tables[key].setdefault(int(step), float(value))
    for (source, run, benchmark), values in tables.items():
        if len(values) >= 3:
            yield Real(source, run, benchmark, list(_evaluations(values, benchmark)))


def _evaluations(values: Mapping[int, float], benchmark: str) -> Iterator[Evaluation]:
    count = next((n for name, n in ANSWERS.items() if name in benchmark), None)
    for step, value in sorted(values.items()):
        if count is None:
            yield Evaluation(step, value, 0.0)
        else:
            p = min(max(value, 0.5 / count), 1 - 0.5 / count)
            yield Evaluation(step, value, math.sqrt(p * (1 - p) / count))


def known_of(curve: Real, part: float) -> int:
    """How many evaluations its first ``part`` has."""
    return max(2, math.ceil(part * len(curve.evaluations)))


def judged(curve: Real, model: Model, part: float) -> pd.DataFrame:
    """A row for each later evaluation: the probability below it, error and width of the 80% interval."""
    known = known_of(curve, part)
    rest = curve.evaluations[known:]
    posterior = Curve(curve.evaluations[:known], model).posterior(curve.evaluations[-1].step)
    values, errors = np.array([(e.value, e.stderr or posterior.noise) for e in rest]).T
    ahead = posterior.ahead([e.step for e in rest], errors)
    width = ahead.quantile(0.9) - ahead.quantile(0.1)
    return pd.DataFrame({"below": ahead.below(values), "error": values - ahead.mean, "width": width})


def answer(curve: Real, part: float) -> tuple[str, bool]:
    """Whether going on is worth it, as asked after ``part``, and whether the end was that much higher."""
    columns = [(e.step, e.value, e.stderr) for e in curve.evaluations]
    frame = pd.DataFrame(columns, columns=["step", curve.benchmark, "stderr"])
    track = Track(frame, curve.benchmark, curve.evaluations[known_of(curve, part) - 1].step)
    found = track.outlook(curve.evaluations[-1].step, WORTH)
    return found.go_on, curve.evaluations[-1].value - found.now >= WORTH


def pruned(runs: list[Real], model: Model) -> tuple[int, list[int]]:
    """The run that ends best, and those that are pruned at a third of the way that all have."""
    last = min(run.evaluations[-1].step for run in runs)
    known = [Curve([e for e in run.evaluations if 3 * e.step <= last + 2], model) for run in runs]
    ends = [[e.value for e in run.evaluations if e.step <= last][-1] for run in runs]
    rule, ended = Rule.of(Sweep()), []
    for place, own in enumerate(known):
        others = [curve for other, curve in enumerate(known) if other != place]
        if rule.decide(place, own, own.evaluations[-1].step, others, last) is not None:
            ended.append(place)
    return int(np.argmax(ends)), ended


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--bare", action="store_true", help="as if no standard error were known")
    asked = parser.parse_args()
    curves = list(real_curves(asked.folder))
    if asked.bare:
        curves = [replace(c, evaluations=[replace(e, stderr=0.0) for e in c.evaluations]) for c in curves]
    print("| known | model | curves | n | in 80% | in 95% | bias | error | width |")
    print("|---|---|---|---|---|---|---|---|---|")
    for part, told in ((1 / 3, "1/3"), (1 / 2, "1/2")):
        for source in dict.fromkeys(curve.source for curve in curves):
            own = [curve for curve in curves if curve.source == source]
            for name, model in MODELS.items():
                rows = pd.concat([judged(curve, model, part) for curve in own])
                inside = [rows["below"].between((1 - p) / 2, (1 + p) / 2).mean() for p in (0.8, 0.95)]
                print(
                    f"| {told} | {name} | {source} | {len(rows)} | {inside[0]:.0%} | {inside[1]:.0%} | "
                    f"{rows['error'].mean():+.3f} | {rows['error'].abs().mean():.3f} | "
                    f"{rows['width'].mean():.2f} |"
                )
    print("\n| known | curves | answer | curves | ended higher |\n|---|---|---|---|---|")
    for part, told in ((1 / 3, "1/3"), (1 / 2, "1/2")):
        for source in dict.fromkeys(curve.source for curve in curves):
            answers = Counter(answer(curve, part) for curve in curves if curve.source == source)
            for said in ("yes", "uncertain", "no"):
                higher, all_of = answers[said, True], answers[said, True] + answers[said, False]
                print(f"| {told} | {source} | {said} | {all_of} | {higher} |")
    print()
    groups: dict[tuple[str, str], list[Real]] = defaultdict(list)
    for curve in curves:
        if curve.source != "reward":
            groups[curve.source, curve.benchmark].append(curve)
    for name, model in MODELS.items():
        for source in dict.fromkeys(of for of, _ in groups):
            several = [runs for (of, _), runs in groups.items() if of == source and len(runs) > 1]
            outcomes = [pruned(runs, model) for runs in several]
            kept = sum(best not in ended for best, ended in outcomes)
            ended = sum(len(ended) for _, ended in outcomes)
            arms = sum(map(len, several))
            print(
                f"{name}, {source}: {ended} of {arms} arms are pruned at a third; the one that ends best is "
                f"kept in {kept} of {len(outcomes)} benchmarks"
            )


if __name__ == "__main__":
    main()
