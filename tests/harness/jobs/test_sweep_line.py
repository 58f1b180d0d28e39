"""The line that a terminal shows while a sweep is at work."""

from __future__ import annotations

from harness.config import read_experiment
from harness.config.shipped import experiment_file
from harness.jobs.sweep_line import SweepLine, title
from harness.sweep.events import Counts, Event


def line(*overrides: str) -> SweepLine:
    sweep = read_experiment([experiment_file("tiny-quickstart")], overrides).sweep
    assert sweep is not None
    return SweepLine(sweep)


def test_what_is_at_work_and_what_was_best() -> None:
    told = line()
    at_work = Counts(complete=0, pruned=0, failed=0, running=2, total=3)
    told.take(Event("started", at_work, trial=0, steps=18, job="trials/0"))
    assert str(told) == "2 running, 0 pruned"
    told.take(Event("step", at_work, trial=0, step=4, steps=18, job="trials/0"))
    assert str(told) == "trial 0: step 4/18 · 2 running, 0 pruned"
    told.take(Event("reported", at_work, trial=0, step=6, value=0.25, job="trials/0"))
    told.take(Event("step", at_work, trial=0, step=7, job="trials/0"))
    assert str(told) == "trial 0: step 7/18, dev 25.0% · 2 running, 0 pruned"
    told.take(Event("step", at_work, trial=0, step=8, job="trials/0", reward=0.9037))
    assert str(told) == "trial 0: step 8/18, reward 0.904, dev 25.0% · 2 running, 0 pruned"
    later = Counts(complete=2, pruned=1, failed=0, running=0, total=3)
    told.take(Event("complete", later, trial=1, step=18, value=0.339, job="trials/1"))
    told.take(Event("complete", later, trial=0, step=18, value=0.3, job="trials/0"))
    told.take(Event("step", later, seed=11, step=2, steps=30, job="confirm/trial-1/seed-11"))
    assert str(told) == "seed 11: step 2/30 · best 33.9% (trial 1) · confirming"


def test_the_best_of_what_shall_be_small() -> None:
    told = line("sweep.objective=dev/length", "sweep.direction=minimize")
    counts = Counts(complete=1, pruned=0, failed=0, running=1, total=3)
    for trial, value in enumerate((352.0, 120.5, 200.0)):
        told.take(Event("complete", counts, trial=trial, step=18, value=value, job=f"trials/{trial}"))
    assert "best 120.5 (trial 1)" in str(told)


def test_the_bar_says_what_it_counts() -> None:
    assert title(8, 2) == "sweep, 8 trials + 2 runs to confirm"
    assert title(8, 0) == "sweep, 8 trials"
