"""Does a warm start from a smaller policy pay? Sweeps, replayed on what every point of a grid came to.

    python benchmarks/warm_start.py runs/transfer-small runs/transfer-large

experiments/tiny-transfer.toml says how to make the two folders: finished grid sweeps of the same points,
of a small and of a large policy. They are looked up in place of training. Sweeps by TPE run on them, from
many seeds: of the large policy alone, and warm-started from a sweep of the small one, at equal compute by the
FLOPs of both ledgers. Regret is the best value of the large policy's points less that of the best trial: both
have the noise of their dev evaluations.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
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


class Table:
    """What each point of a grid came to, and what a trial costs."""

    def __init__(self, folder: Path) -> None:
        self.experiment = read_experiment([folder / "experiment.toml"])
        trials = [trial for trial in read_summary(folder).trials if trial.state == "complete"]
        self.points = {_key(trial.params): trial.history[-1] for trial in trials}
        self.flops = ledger(folder).total.flops / len(trials)

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


def replay(small: Table, large: Table, small_trials: int, large_trials: int, sweeps: int) -> None:
    equal = round(large_trials + small_trials * small.flops / large.flops)
    ways: dict[str, list[list[float]]] = {
        "alone": [],
        "warm": [],
        "alone, without the small sweep's cost": [],
    }
    for seed in range(sweeps):
        with tempfile.TemporaryDirectory() as name:
            folders = {each: Path(name) / each for each in ("small", "warm", "alone")}
            for folder in folders.values():
                folder.mkdir()
            small.sweep(small_trials, seed, None, folders["small"])
            ways["warm"].append(large.sweep(large_trials, seed, folders["small"], folders["warm"]))
            alone = large.sweep(equal, seed, None, folders["alone"])
        ways["alone"].append(alone)
        ways["alone, without the small sweep's cost"].append(alone[:large_trials])
    print(
        f"{small_trials} trials of the small policy cost as much as {equal - large_trials} of the large "
        f"({small.flops / large.flops:.2f} each); {sweeps} sweeps"
    )
    for way, sweeps_of in ways.items():
        regrets = [large.best - max(values) for values in sweeps_of]
        print(
            f"  {way}: {len(sweeps_of[0])} trials of the large policy, regret "
            f"{statistics.mean(regrets):.4f} ± {_stderr(regrets):.4f}, "
            f"best point found in {sum(regret == 0 for regret in regrets) / sweeps:.0%}"
        )


def _stderr(values: list[float]) -> float:
    return statistics.stdev(values) / len(values) ** 0.5


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("small", type=Path, help="the folder of the small policy's grid sweep")
    parser.add_argument("large", type=Path, help="the folder of the large policy's")
    parser.add_argument("--sweeps", type=int, default=60)
    chosen = parser.parse_args()
    small, large = Table(chosen.small), Table(chosen.large)
    print(f"best: {small.best:.3f} (small), {large.best:.3f} (large)")
    for table in (small, large):
        for point, evaluation in sorted(table.points.items(), key=lambda each: -each[1].value):
            print(
                f"  {table.experiment.policy.model}: {point} {evaluation.value:.3f} ± {evaluation.stderr:.3f}"
            )
    for small_trials, large_trials in ((6, 4), (8, 4), (8, 6)):
        replay(small, large, small_trials, large_trials, chosen.sweeps)


if __name__ == "__main__":
    main()
