"""Does a warm start from a smaller policy pay? Sweeps, replayed on what every point of a grid came to.

    python benchmarks/warm_start.py runs/transfer-small runs/transfer-large
    python benchmarks/warm_start.py runs/transfer-tiny-small runs/transfer-tiny runs/transfer-tiny-teacher

experiments/tiny-transfer.toml says how to make the folders: finished grid sweeps of the same points, of
policies from the smallest to the largest. They are looked up in place of training. Sweeps by TPE run on them,
from many seeds: of the largest policy alone, and of each policy warm-started from the sweep of the one
before, at equal compute by the FLOPs of all ledgers. Regret is the best value of the large policy's points
less that of the best trial: both have the noise of their dev evaluations.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path

from harness.config import Experiment, dump_toml, read_experiment, validate
from harness.sweep import tabulate
from harness.sweep.costs import ledger
from harness.sweep.selection import Selected
from harness.sweep.space import Params
from harness.sweep.space_table import parse_space
from harness.sweep.status import read_summary
from harness.sweep.study import Record, Study
from harness.sweep.summary import Selection
from harness.sweep.warm_start import translate

TRIALS = ((6, 3, 4), (8, 3, 4), (8, 4, 6))
"""Trials of the smallest policy, of each between, and of the largest."""


class Table:
    """What each point of a grid came to, and what a trial costs."""

    def __init__(self, folder: Path) -> None:
        self.experiment = read_experiment([folder / "experiment.toml"])
        trials = [trial for trial in read_summary(folder).trials if trial.state == "complete"]
        self.points = {_key(trial.params): trial.history[-1] for trial in trials}
        self.flops = ledger(folder).total.flops / len(trials)

    @property
    def model(self) -> str:
        return self.experiment.policy.model

    @property
    def best(self) -> float:
        return max(evaluation.value for evaluation in self.points.values())

    def sweep(self, trials: int, seed: int, warm: Path | None, folder: Path) -> list[float]:
        """Sweeps the table by TPE, into ``folder``; the values of the trials in their order."""
        experiment = self._of(trials, seed, warm)
        assert experiment.sweep is not None
        space = parse_space(experiment.sweep.space)
        proposed = [] if warm is None else [each.params for each in translate(experiment, space).proposals]
        study = Study(experiment, space, f"sqlite:///{folder / 'study.db'}", "replayed", proposed=proposed)
        found = []
        for _ in range(trials):
            number, params = study.ask()
            evaluation = self.points[_key(params)]
            study.report(number, evaluation)
            study.tell(number, "complete", Record(history=[evaluation]))
            found.append(evaluation.value)
        (folder / "experiment.toml").write_text(dump_toml(experiment))
        done = Selected(None, Selection(complete_trials=trials))
        tabulate.write(folder, experiment, study, tabulate.trials_of(study, {}), done, {})
        return found

    def _of(self, trials: int, seed: int, warm: Path | None) -> Experiment:
        raw = self.experiment.model_dump(mode="json", exclude_none=True)
        raw["seed"] = seed
        raw["sweep"] |= {"sampler": "tpe", "trials": trials, "startup_trials": 3}
        if warm is not None:
            raw["sweep"]["warm_start"] = str(warm)
        # A random point in place of the experiment's own settings: nobody knows good ones beforehand.
        first = sorted(self.points)[(seed * 7919) % len(self.points)]
        for key, value in json.loads(first).items():
            stage, _, setting = key.partition(".")
            next(each for each in raw["stages"] if each["name"] == stage)[setting] = value
        return validate(raw, where="replayed")


def _key(params: Params) -> str:
    return json.dumps(params, sort_keys=True)


def replay(tables: Sequence[Table], trials: Sequence[int], sweeps: int) -> None:
    """``trials`` of each policy, the smallest first."""
    *smaller, large = tables
    spent = sum(count * table.flops for count, table in zip(trials[:-1], smaller, strict=True)) / large.flops
    equal = round(trials[-1] + spent)
    ways: dict[str, list[list[float]]] = {
        "alone": [],
        "warm": [],
        "alone, without the smaller sweeps' cost": [],
    }
    for seed in range(sweeps):
        with tempfile.TemporaryDirectory() as name:
            before = None
            for place, (table, count) in enumerate(zip(tables, trials, strict=True)):
                folder = Path(name) / str(place)
                folder.mkdir()
                found = table.sweep(count, seed, before, folder)
                before = folder
            (Path(name) / "alone").mkdir()
            alone = large.sweep(equal, seed, None, Path(name) / "alone")
        ways["warm"].append(found)
        ways["alone"].append(alone)
        ways["alone, without the smaller sweeps' cost"].append(alone[: trials[-1]])
    asked = ", ".join(f"{count} of {table.model}" for count, table in zip(trials, tables, strict=True))
    print(f"trials: {asked}; the smaller ones cost as much as {spent:.1f} of the last; {sweeps} sweeps")
    for way, sweeps_of in ways.items():
        regrets = [large.best - max(values) for values in sweeps_of]
        print(
            f"  {way}: {len(sweeps_of[0])} trials of {large.model}, regret "
            f"{statistics.mean(regrets):.4f} ± {_stderr(regrets):.4f}, "
            f"best point found in {sum(regret == 0 for regret in regrets) / sweeps:.0%}"
        )


def _stderr(values: list[float]) -> float:
    return statistics.stdev(values) / len(values) ** 0.5


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", type=Path, nargs="+", help="grid sweeps, of the smallest policy first")
    parser.add_argument("--sweeps", type=int, default=60)
    chosen = parser.parse_args()
    if len(chosen.folders) < 2:
        parser.error("name at least two folders: of a smaller policy, and of a larger one")
    tables = [Table(folder) for folder in chosen.folders]
    for table in tables:
        for point, evaluation in sorted(table.points.items(), key=lambda each: -each[1].value):
            print(f"{table.model}: {point} {evaluation.value:.3f} ± {evaluation.stderr:.3f}")
    for first, between, last in TRIALS:
        replay(tables, [first, *[between] * (len(tables) - 2), last], chosen.sweeps)


if __name__ == "__main__":
    main()
