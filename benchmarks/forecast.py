"""Forecasts against real learning curves: what was known early, and what came.

    python benchmarks/forecast.py FOLDER

FOLDER has published curves as CSV: ``accuracy-*.csv`` (a column a benchmark, a file a run or a part of one;
LLM360/Reasoning360), ``steps-*.csv`` (training reward, every step; the same) and ``open-rs.csv`` (run, step,
benchmark, accuracy; knoveleng/open-rs). Each curve's first third, then half, is forecast from, with the
exponential that the pruner supposes and with the average that `harness forecast` uses. Printed of all later
evaluations:
the share within the 80% and 95% interval, mean error (measured less forecast), mean absolute error, the 80%
interval's width. Then, for each benchmark that several runs have: whether the run that ends best would have
been pruned at a third, by the default rule, against the others at that place.

Standard errors are binomial: from the questions and samples that the benchmarks have. The rewards' is told
by the differences of neighbours.
"""

from __future__ import annotations

import argparse
import math
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from harness.config import Sweep
from harness.sweep.evaluation import Evaluation
from harness.sweep.forecast import DEFAULT, PRUNING, Curve, Model
from harness.sweep.pruners import Rule

ANSWERS = {
    **{"amc_repeated": 332, "aime_repeated": 240, "livecodebench": 279, "math__math": 500, "humaneval": 164},
    **{"graph_logical": 77, "ordering": 100, "gpqa": 198, "aime24": 30, "math_500": 500, "amc23": 40},
}
"""Questions times samples, as the values' denominators show; 200 for the others."""
MODELS = {"exponential": PRUNING, "average": DEFAULT}


@dataclass(frozen=True)
class Real:
    """One run on one benchmark."""

    source: str
    run: str
    benchmark: str
    evaluations: list[Evaluation]


def real_curves(folder: Path) -> Iterator[Real]:
    """Every curve of at least three evaluations."""
    tables: dict[tuple[str, str, str], dict[int, float]] = defaultdict(dict)
    for path in sorted(folder.glob("accuracy-*.csv")):
        domain = re.sub(r"[\d.]+k$", "", path.stem.rpartition("-")[0].rpartition("_")[2])
        frame = pd.read_csv(path)
        for name in frame.columns[frame.columns.str.startswith("accuracy/")]:
            for step, value in frame[["_step", name]].dropna().itertuples(index=False):
                tables["guru", domain, name.split("/")[1]].setdefault(int(step), float(value))
    for row in pd.read_csv(folder / "open-rs.csv").itertuples():
        tables["open-rs", str(row.run), str(row.benchmark)][int(row.step)] = float(row.accuracy)
    for path in sorted(folder.glob("steps-*.csv")):
        frame = pd.read_csv(path)[["_step", "critic/rewards/mean"]].dropna()
        tables["reward", path.stem, "reward"] = {int(s): float(v) for s, v in frame.itertuples(index=False)}
    for (source, run, benchmark), values in tables.items():
        if len(values) >= 3:
            error = 0.0 if source == "reward" else None
            yield Real(source, run, benchmark, list(_evaluations(values, benchmark, error)))


def _evaluations(values: Mapping[int, float], benchmark: str, error: float | None) -> Iterator[Evaluation]:
    count = next((n for name, n in ANSWERS.items() if name in benchmark), 200)
    for step, value in sorted(values.items()):
        p = min(max(value, 0.5 / count), 1 - 0.5 / count)
        yield Evaluation(step, value, math.sqrt(p * (1 - p) / count) if error is None else error)


def judged(curve: Real, model: Model, part: float) -> pd.DataFrame:
    """A row for each later evaluation: the probability below it, error and width of the 80% interval."""
    known = max(2, math.ceil(part * len(curve.evaluations)))
    rest = curve.evaluations[known:]
    posterior = Curve(curve.evaluations[:known], model).posterior(curve.evaluations[-1].step)
    values, errors = np.array([(e.value, e.stderr or posterior.noise) for e in rest]).T
    ahead = posterior.ahead([e.step for e in rest], errors)
    width = ahead.quantile(0.9) - ahead.quantile(0.1)
    return pd.DataFrame({"below": ahead.below(values), "error": values - ahead.mean, "width": width})


def pruned(runs: list[Real], model: Model) -> tuple[int, list[int]]:
    """The run that ends best, and those that are pruned at a third of the way that all have."""
    last = min(run.evaluations[-1].step for run in runs)
    known = [Curve([e for e in run.evaluations if 3 * e.step <= last + 2], model) for run in runs]
    ends = [max(e.value for e in run.evaluations if e.step == last) for run in runs]
    rule, ended = Rule.of(Sweep()), []
    for place, own in enumerate(known):
        others = [curve for other, curve in enumerate(known) if other != place]
        if rule.decide(place, own, own.evaluations[-1].step, others, last) is not None:
            ended.append(place)
    return int(np.argmax(ends)), ended


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    curves = list(real_curves(parser.parse_args().folder))
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
    groups: dict[tuple[str, str], list[Real]] = defaultdict(list)
    for curve in curves:
        if curve.source != "reward":
            groups[curve.source, curve.benchmark].append(curve)
    for name, model in MODELS.items():
        for source in ("guru", "open-rs"):
            outcomes = [pruned(runs, model) for (of, _), runs in groups.items() if of == source]
            kept = sum(best not in ended for best, ended in outcomes)
            ended = sum(len(ended) for _, ended in outcomes)
            arms = sum(len(runs) for (of, _), runs in groups.items() if of == source)
            print(
                f"{name}, {source}: {ended} of {arms} arms are pruned at a third; the one that ends best is "
                f"kept in {kept} of {len(outcomes)} benchmarks"
            )


if __name__ == "__main__":
    main()
