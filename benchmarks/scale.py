"""A sweep of 1,000 trials on 512 devices in virtual time: the real dispatcher over a simulated cluster.

    python benchmarks/scale.py [--trials 1000 --nodes 64]
    python benchmarks/scale.py --past 10000        what one decision takes with so many trials behind it

Eight devices a node; a node is lost every 6 hours and away for half an hour; the steps of one node in twenty
take half as long again. Trials are 100 steps of 5 minutes with a checkpoint every 10. Printed: what became of
the trials, goodput (device-seconds of steps that did not have to be computed again, over those paid for and
those that stood idle while trials were left) beside the most that failures, start-ups and the checkpoints'
interval allow, and the dispatcher's own time.
"""

from __future__ import annotations

import argparse
import math
import random
import statistics
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import optuna

from harness.config import Experiment, validate
from harness.sweep.evaluation import Evaluation
from harness.sweep.executors.virtual import Hardware, VirtualCluster
from harness.sweep.runner import run_sweep
from harness.sweep.space_table import parse_space
from harness.sweep.study import Record, Study

POLL = 60.0
STEPS = 100


def curve(experiment: dict[str, Any], step: int) -> tuple[float, float]:
    """A saturating rise whose height depends on the learning rate, measured with an error of 2 points."""
    rate = experiment["stages"][0]["learning_rate"]
    height = 0.5 * math.exp(-((math.log10(rate) + 4) ** 2) / 2)
    noise = random.Random(f"{experiment['name']}{step}").gauss(0, 0.02)
    return 0.2 + height * (1 - math.exp(-4 * step / STEPS)) + noise, 0.02


def experiment_of(trials: int, workers: int) -> Experiment:
    space = {
        "grpo.learning_rate": {"low": 1e-6, "high": 1e-2, "log": True},
        "grpo.beta": {"low": 0.0, "high": 0.1},
        "grpo.group_size": [2, 4, 8],
    }
    sweep = {"trials": trials, "workers": workers, "confirm_seeds": 0, "max_attempts": 20, "space": space}
    stage = {"kind": "grpo", "steps": STEPS, "eval_every": 10}
    raw = {
        "name": "scale",
        "policy": {"model": "tiny"},
        "data": {"train": "tiny-aime:train", "dev": "tiny-aime:dev"},
        "stages": [stage],
        "sweep": sweep,
    }
    return validate(raw, where="benchmark")


def rehearse(trials: int, nodes: int, folder: Path) -> None:
    hardware = Hardware(nodes=nodes)
    cluster = VirtualCluster(hardware, curve, trials)
    began = time.perf_counter()
    experiment = experiment_of(trials, hardware.devices)
    summary = run_sweep(experiment, folder, executor=cluster, clock=cluster.clock, poll_seconds=POLL)
    took = time.perf_counter() - began
    states = Counter(trial.state for trial in summary.trials)
    attempts = sum(trial.attempts for trial in summary.trials)
    goodput = cluster.useful / (cluster.paid + cluster.idle)
    mean = cluster.useful / len(summary.trials)
    most = hardware.attainable(mean)
    hours = cluster.now / 3600
    print(f"{dict(states)}, {attempts} launches, {cluster.nodes_lost} nodes lost in {hours:.0f} hours")
    print(f"goodput {100 * goodput:.1f}% of {100 * most:.1f}% attainable: {100 * goodput / most:.1f}%")
    a_trial = 1000 * took / trials
    print(f"{took:.0f} s for all of it, {a_trial:.0f} ms a trial, the cluster's simulation included")


def decide(past: int, folder: Path, asked: int = 20) -> None:
    """How long asking for a trial and telling its end take with ``past`` finished ones."""
    experiment = experiment_of(past + asked + 1, 8)
    assert experiment.sweep is not None
    space = parse_space(experiment.sweep.space)
    study = Study(experiment, space, f"sqlite:///{folder / 'study.db'}", "scale")
    first, _ = study.ask()
    study.tell(first, "complete", Record([Evaluation(STEPS, 0.3, 0.02)]))
    (like,) = study.trials()
    rng = random.Random(0)
    finished = []
    for _ in range(past):
        params = {name: drawn(rng, kind) for name, kind in like.distributions.items()}
        finished.append(
            optuna.trial.create_trial(
                params=params,
                distributions=like.distributions,
                value=rng.random(),
                user_attrs=like.user_attrs,
            )
        )
    optuna.load_study(study_name="scale", storage=study._study._storage).add_trials(finished)
    del study, finished  # a dispatcher that was started again has none of this
    study = Study(experiment, space, f"sqlite:///{folder / 'study.db'}", "scale")
    study.tell(study.ask()[0], "complete", Record([Evaluation(STEPS, 0.3, 0.02)]))  # reads them all, once
    asking, telling = [], []
    for _ in range(asked):
        began = time.perf_counter()
        number, _ = study.ask()
        answered = time.perf_counter()
        study.tell(number, "complete", Record([Evaluation(STEPS, 0.3, 0.02)]))
        asking.append(answered - began)
        telling.append(time.perf_counter() - answered)
    ask, tell = (1000 * statistics.median(seconds) for seconds in (asking, telling))
    print(f"{past} past trials: {ask:.0f} ms to ask for one, {tell:.0f} ms to tell its end")


def drawn(rng: random.Random, kind: optuna.distributions.BaseDistribution) -> Any:
    match kind:
        case optuna.distributions.CategoricalDistribution():
            return rng.choice(kind.choices)
        case optuna.distributions.IntDistribution():
            return rng.randint(kind.low, kind.high)
        case optuna.distributions.FloatDistribution(log=True):
            return math.exp(rng.uniform(math.log(kind.low), math.log(kind.high)))
        case optuna.distributions.FloatDistribution():
            return rng.uniform(kind.low, kind.high)
        case _:
            raise TypeError(kind)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--nodes", type=int, default=64)
    parser.add_argument("--past", type=int, default=0)
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        if options.past:
            decide(options.past, Path(folder))
        else:
            rehearse(options.trials, options.nodes, Path(folder) / "sweep")


if __name__ == "__main__":
    main()
