"""A sweep from ask to winner with a stand-in trainer: what goes right, and each thing that goes wrong."""

from __future__ import annotations

import csv
import json
import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import psutil
import pytest

from evals.base.errors import UsageError
from harness.config import Experiment, read_experiment, validate
from harness.sweep import attempts, scheduler
from harness.sweep.attempts import attempts_of
from harness.sweep.executors.local import LocalExecutor, LocalProcess
from harness.sweep.executors.registry import Launch
from harness.sweep.runner import terminable
from harness.train.run_dir import lock_folder

Make = Callable[..., Experiment]
Sweep = Callable[..., tuple[dict[str, Any], list[Any]]]
Fake = Callable[..., None]
Start = Callable[..., multiprocessing.process.BaseProcess]
RunsIn = Callable[[Path], list[psutil.Process]]


def states(summary: dict[str, Any]) -> list[str]:
    return [trial["state"] for trial in summary["trials"]]


def outcome(summary: dict[str, Any]) -> list[tuple[Any, ...]]:
    """What must not depend on how often anything was killed."""
    return [(t["number"], t["params"], t["state"], t["value"], t["history"]) for t in summary["trials"]]


def test_a_sweep_from_ask_to_winner(make_experiment: Make, sweep_it: Sweep, tmp_path: Path) -> None:
    experiment = make_experiment(trials=8, workers=2, confirm_seeds=2, confirm_steps=20)
    summary, events = sweep_it(experiment, tmp_path)
    assert summary == json.loads((tmp_path / "summary.json").read_text())
    assert [trial["number"] for trial in summary["trials"]] == list(range(8))
    assert "pruned" in states(summary)
    best = max((t for t in summary["trials"] if t["state"] == "complete"), key=lambda t: t["value"])
    assert summary["winner"]["trial"] == best["number"]
    assert summary["winner"]["selection"] == {"value": best["value"], "stderr": 0.01}
    assert summary["winner"]["base"]["value"] == pytest.approx(0.2, abs=0.002)
    assert [c["seed"] for c in summary["winner"]["confirmation"]] == [1001, 1002]
    winners = ["evals/winner-seed-1", "evals/winner-seed-2"]
    assert summary["evals"] == {"base": "evals/base", "winner": winners, "unconfirmed": []}
    assert set(summary["importances"]) == {"grpo.learning_rate", "grpo.group_size"}
    study = optuna.load_study(study_name="swept", storage=f"sqlite:///{tmp_path / 'study.db'}")
    assert study.metric_names == ["dev/pass@1"]
    assert study.user_attrs["verdict"] == summary["selection"]["verdict"]
    for fresh in summary["winner"]["confirmation"]:
        key = f"confirmed/trial-{best['number']}/seed-{fresh['seed']}"
        assert study.user_attrs[key] == fresh["value"]
    first = summary["trials"][0]
    assert first["params"] == {"grpo.learning_rate": 1e-3, "grpo.group_size": 4}
    assert [e["step"] for e in first["history"]] == [0, 2, 4, 6, 8, 10]

    trial = read_experiment([tmp_path / "trials/0/experiment.toml"])
    assert (trial.name, trial.seed, trial.sweep, trial.eval.benchmarks) == ("swept-trial-0", 0, None, [])
    assert trial.sweep_of == "swept"
    fresh = tmp_path / f"confirm/trial-{summary['winner']['trial']}/seed-2"
    confirmed = read_experiment([fresh / "experiment.toml"])
    assert (confirmed.seed, confirmed.stages[0].steps) == (1002, 20)
    assert (tmp_path / summary["winner"]["confirmation"][0]["run"] / "metrics.jsonl").exists()
    rows = list(csv.DictReader((tmp_path / "trials.csv").open()))
    assert [float(row["grpo.learning_rate"]) for row in rows] == [
        t["params"]["grpo.learning_rate"] for t in summary["trials"]
    ]
    kinds = [event.kind for event in events]
    assert kinds.count("started") == 10
    assert kinds.count("confirmed") == 2
    assert kinds[-1] == "selected"
    assert events[-1].counts.finished == events[-1].counts.total == 8


def test_a_pruned_trial_ends_early_and_says_why(
    make_experiment: Make, sweep_it: Sweep, fake: Fake, tmp_path: Path
) -> None:
    fake(delay=0.05)
    summary, events = sweep_it(make_experiment(trials=7), tmp_path)
    pruned = next(trial for trial in summary["trials"] if trial["state"] == "pruned")
    last = pruned["history"][-1]["step"]
    assert last < 10
    assert pruned["reason"].startswith(f"step {last}: ")
    rows = (tmp_path / pruned["run"] / "metrics.jsonl").read_text().splitlines()
    assert json.loads(rows[-1])["step"] < 10  # the run noticed
    assert any(event.kind == "pruned" and event.reason == pruned["reason"] for event in events)


def test_the_decision_to_prune_stands_though_the_run_came_to_its_end(
    make_experiment: Make, sweep_it: Sweep, fake: Fake, tmp_path: Path
) -> None:
    """So that a sweep does not depend on how fast its dispatcher looks."""
    (tmp_path / "slow").mkdir()
    fake(delay=0.05)
    noticed, _ = sweep_it(make_experiment(trials=7), tmp_path / "slow")
    fake(ignore_stop=True)
    ignored, _ = sweep_it(make_experiment(trials=7), tmp_path / "fast", poll_seconds=0.2)
    assert outcome(noticed) == outcome(ignored)
    assert "pruned" in states(noticed)


def test_the_same_seed_gives_the_same_sweep(make_experiment: Make, sweep_it: Sweep, tmp_path: Path) -> None:
    first, _ = sweep_it(make_experiment(trials=6), tmp_path / "a")
    again, _ = sweep_it(make_experiment(trials=6), tmp_path / "b")
    other, _ = sweep_it(make_experiment(trials=6, seed=1), tmp_path / "c")
    assert outcome(first) == outcome(again)
    assert [t["params"] for t in first["trials"]] != [t["params"] for t in other["trials"]]


@pytest.mark.parametrize("workers", [2, 3])
def test_a_repeatable_sweep_does_not_depend_on_how_fast_its_trials_are(
    make_experiment: Make, sweep_it: Sweep, fake: Fake, tmp_path: Path, workers: int
) -> None:
    outcomes = []
    for name in ("a", "b"):  # each trial takes between nothing and four times as long as another
        fake(delay=0.08, uneven=name)
        experiment = make_experiment(trials=12, workers=workers, deterministic=True, startup_trials=3)
        summary, events = sweep_it(experiment, tmp_path / name)
        outcomes.append((outcome(summary), [e.trial for e in events if e.kind in ("complete", "pruned")]))
    (first, order), (second, other_order) = outcomes
    assert first == second
    assert {state for _, _, state, *_ in first} == {"complete", "pruned"}
    assert order != other_order  # they did end in another order


def test_a_budget_ends_the_search_and_the_winner_is_confirmed(
    make_experiment: Make, sweep_it: Sweep, fake: Fake, tmp_path: Path
) -> None:
    fake(delay=0.05)  # ten steps: half a second a trial
    capped = make_experiment(trials=30, pruner="none", confirm_seeds=1, max_device_hours=5 / 3600)
    summary, _ = sweep_it(capped, tmp_path)
    assert 1 <= len(summary["trials"]) <= 11
    assert sum(trial["seconds"] for trial in summary["trials"]) >= 5
    ended = [trial for trial in summary["trials"] if trial["state"] == "pruned"]
    assert all(trial["reason"] == "the budget of 0.00138889 device-hours is spent" for trial in ended)
    assert len(summary["winner"]["confirmation"]) == 1
    again, events = sweep_it(capped, tmp_path)
    assert outcome(again) == outcome(summary)
    assert "started" not in [event.kind for event in events]
    total = len(summary["trials"]) + 2
    more, _ = sweep_it(make_experiment(trials=total, pruner="none"), tmp_path)
    assert outcome(more)[:-2] == outcome(summary)
    assert len(more["trials"]) == total


class Devices(LocalExecutor):
    """Processes of this machine that are paid for as so many devices each."""

    def __init__(self, each: float, slots: int = 1) -> None:
        super().__init__(slots, devices=[])
        self.devices_per_launch = each


def test_a_budget_ends_trials_at_work_by_their_seconds_and_devices(
    make_experiment: Make, sweep_it: Sweep, fake: Fake, tmp_path: Path
) -> None:
    fake(delay=3)  # half a minute in all: only the budget ends it before
    capped = make_experiment(trials=1, pruner="none", max_device_hours=100 / 3600)
    began = time.monotonic()
    summary, _ = sweep_it(capped, tmp_path / "many", executor=Devices(100.0))
    assert states(summary) == ["pruned"]
    assert "budget of 0.0277778 device-hours is spent" in summary["trials"][0]["reason"]
    assert 1.0 <= summary["trials"][0]["seconds"] < time.monotonic() - began


def test_a_budget_counts_what_earlier_launches_paid_whatever_launches_now(
    make_experiment: Make, sweep_it: Sweep, fake: Fake, tmp_path: Path
) -> None:
    """The ledger and the cap are one account: a resume on fewer devices does not make the past cheaper."""
    fake(delay=0.05)
    sweep_it(make_experiment(trials=2, pruner="none"), tmp_path, executor=Devices(100.0))
    paid = json.loads((tmp_path / "ledger.json").read_text())["total"]["device_seconds"]
    assert paid > 100
    capped = make_experiment(trials=9, pruner="none", workers=2, max_device_hours=0.9 * paid / 3600)
    summary, events = sweep_it(capped, tmp_path, executor=Devices(1.0, slots=2))
    assert len(summary["trials"]) == 2
    assert "started" not in [event.kind for event in events]
    roomier = make_experiment(trials=9, pruner="none", workers=2, max_device_hours=(paid + 1.0) / 3600)
    summary, _ = sweep_it(roomier, tmp_path, executor=Devices(1.0, slots=2))
    assert 2 < len(summary["trials"]) < 9


def test_looking_after_runs_reads_no_attempt_again(
    make_experiment: Make, sweep_it: Sweep, fake: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Path] = []
    real = attempts.attempts_of

    def counting(job: Path) -> list[attempts.Attempt]:
        read.append(job)
        return real(job)

    monkeypatch.setattr(attempts, "attempts_of", counting)
    fake(delay=0.2)
    sweep_it(make_experiment(trials=1, pruner="none", max_device_hours=1.0), tmp_path)
    assert len(read) <= 3  # as it is taken on, launched and summed up, not a hundred times a second


def test_a_price_makes_a_cost_a_budget(make_experiment: Make) -> None:
    sweep = make_experiment(max_cost=3.0, device_hour_price=1.5).sweep
    assert sweep is not None
    assert sweep.device_hours == 2.0
    tighter = make_experiment(max_cost=3.0, device_hour_price=1.5, max_device_hours=1.0).sweep
    assert tighter is not None
    assert tighter.device_hours == 1.0
    with pytest.raises(UsageError, match="max_cost needs device_hour_price"):
        make_experiment(max_cost=3.0)


def test_trials_is_the_total(make_experiment: Make, sweep_it: Sweep, tmp_path: Path) -> None:
    whole, _ = sweep_it(make_experiment(trials=6), tmp_path / "whole")
    sweep_it(make_experiment(trials=2), tmp_path / "parts")
    _, events = sweep_it(make_experiment(trials=2), tmp_path / "parts")
    assert "started" not in [event.kind for event in events]
    parts, _ = sweep_it(make_experiment(trials=6), tmp_path / "parts")
    assert outcome(parts) == outcome(whole)


def test_a_trial_that_crashes_once_goes_on_from_its_checkpoint(
    make_experiment: Make, sweep_it: Sweep, fake: Fake, tmp_path: Path
) -> None:
    plain, _ = sweep_it(make_experiment(trials=4), tmp_path / "plain")
    fake(crash_at=5)
    crashed, events = sweep_it(make_experiment(trials=4), tmp_path / "crashed")
    assert outcome(crashed) == outcome(plain)
    assert crashed["trials"][0]["attempts"] == 2
    assert crashed["trials"][0]["run"] == "trials/0/attempt-2"
    assert sum(event.kind == "resumed" for event in events) >= 1
    first, second = attempts_of(tmp_path / "crashed/trials/0")
    assert (first.outcome, first.reason) == ("died", "ended with exit code 3, without a status")
    assert second.start == 4


def test_a_trial_that_always_crashes_fails_and_the_sweep_goes_on(
    make_experiment: Make, sweep_it: Sweep, fake: Fake, tmp_path: Path
) -> None:
    fake(always_crash=True, only="trial-1")
    summary, _ = sweep_it(make_experiment(trials=4, max_attempts=3, pruner="none"), tmp_path)
    assert states(summary) == ["complete", "failed", "complete", "complete"]
    assert summary["trials"][1]["attempts"] == 3
    assert summary["trials"][1]["reason"] == "ended with exit code 1, without a status: it always crashes"
    assert summary["trials"][1]["value"] is None
    assert summary["winner"]["trial"] != 1


def test_a_run_that_says_twice_that_it_failed_is_believed(
    make_experiment: Make, sweep_it: Sweep, fake: Fake, tmp_path: Path
) -> None:
    fake(diverge=4, only="trial-0")
    summary, _ = sweep_it(make_experiment(trials=2, max_attempts=9), tmp_path)
    assert summary["trials"][0]["state"] == "failed"
    assert summary["trials"][0]["reason"] == "the loss is not a number"
    assert summary["trials"][0]["attempts"] == 2


def test_an_objective_that_is_no_number_fails_the_trial(
    make_experiment: Make, sweep_it: Sweep, fake: Fake, tmp_path: Path
) -> None:
    fake(nan=True, only="trial-1")
    summary, _ = sweep_it(make_experiment(trials=3, pruner="none"), tmp_path)
    assert states(summary) == ["complete", "failed", "complete"]
    assert summary["trials"][1]["reason"] == "dev/pass@1 was not a number at step 10"


def test_an_objective_that_nothing_reports_ends_the_sweep(
    make_experiment: Make, sweep_it: Sweep, fake: Fake, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="dev/pass@1"):
        sweep_it(make_experiment(objective="dev/pass@2"), tmp_path / "typo")
    fake(silent=True)
    with pytest.raises(UsageError, match="no dev evaluation at all"):
        sweep_it(make_experiment(), tmp_path / "silent")


def test_a_run_that_hangs_is_killed_and_goes_on(
    make_experiment: Make, sweep_it: Sweep, runs_in: RunsIn, fake: Fake, tmp_path: Path
) -> None:
    fake(hang=5, only="trial-1")
    experiment = make_experiment(trials=3, pruner="none", hang_minutes=0.01, max_attempts=2)
    summary, _ = sweep_it(experiment, tmp_path)
    assert states(summary) == ["complete", "failed", "complete"]
    assert summary["trials"][1]["reason"] == "wrote nothing for 0.01 minutes"
    assert runs_in(tmp_path) == []


@pytest.mark.parametrize("how", ["samples_for", "writes_for"])
def test_a_run_that_samples_for_longer_than_it_may_hang_is_left_alone(
    make_experiment: Make, sweep_it: Sweep, fake: Fake, tmp_path: Path, how: str
) -> None:
    fake(**{how: 4.0}, only="trial-0")
    summary, _ = sweep_it(make_experiment(trials=1, pruner="none", hang_minutes=1 / 60), tmp_path)
    assert states(summary) == ["complete"]
    assert summary["trials"][0]["attempts"] == 1


def test_a_run_that_falls_silent_after_a_heartbeat_is_killed(
    make_experiment: Make, sweep_it: Sweep, fake: Fake, tmp_path: Path
) -> None:
    fake(samples_for=1.0, hang=5, only="trial-0")
    experiment = make_experiment(trials=1, pruner="none", hang_minutes=1 / 60, max_attempts=1)
    summary, _ = sweep_it(experiment, tmp_path)
    assert states(summary) == ["failed"]
    assert summary["trials"][0]["reason"] == "wrote nothing for 0.0167 minutes"


def test_a_run_that_does_not_heed_its_stop_is_killed(
    make_experiment: Make, sweep_it: Sweep, fake: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scheduler, "STOP_GRACE", 0.2)
    fake(ignore_stop=True, delay=0.1)
    experiment = make_experiment(trials=8, stage={"steps": 24, "eval_every": 1}, workers=1)
    summary, _ = sweep_it(experiment, tmp_path)
    pruned = [trial for trial in summary["trials"] if trial["state"] == "pruned"]
    killed = [trial for trial in pruned if not (tmp_path / trial["run"] / "checkpoints/step-24").exists()]
    assert killed


def test_a_second_dispatcher_is_refused_by_name(
    make_experiment: Make, sweep_it: Sweep, tmp_path: Path
) -> None:
    lock = lock_folder(tmp_path)
    with pytest.raises(UsageError, match=f"process {os.getpid()} on "):
        sweep_it(make_experiment(), tmp_path)
    lock.release()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"space": {"grpo.group_size": [2, 4]}}, "sweep.space.grpo.group_size: [2, 4, 8] -> [2, 4]"),
        ({"stage": {"steps": 20}}, "stages.grpo.steps: 10 -> 20"),
        ({"seed": 7}, "seed: 0 -> 7"),
        ({"objective": "dev/cons@k"}, 'sweep.objective: "dev/pass@1" -> "dev/cons@k"'),
    ],
)
def test_a_resumed_sweep_must_be_the_same(
    make_experiment: Make, sweep_it: Sweep, tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    sweep_it(make_experiment(trials=1), tmp_path)
    with pytest.raises(UsageError) as caught:
        sweep_it(make_experiment(trials=1, **change), tmp_path)
    assert words in str(caught.value)
    sweep_it(make_experiment(trials=2, workers=2, pruner="none", confirm_seeds=1), tmp_path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"space": {}}, "sweep.space is empty"),
        ({"space": {"grpo.group_size": [3]}}, "grpo.group_size = 3"),
        ({"objective": "reward"}, "sweep.objective: must be a dev metric"),
    ],
)
def test_a_sweep_that_cannot_work_is_refused_before_any_compute(
    make_experiment: Make, sweep_it: Sweep, tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    with pytest.raises(UsageError) as caught:
        sweep_it(make_experiment(**change), tmp_path / "sweep")
    assert words in str(caught.value)
    assert not (tmp_path / "sweep").exists()


def test_more_trials_may_bring_another_winner(make_experiment: Make, sweep_it: Sweep, tmp_path: Path) -> None:
    stage = {"learning_rate": 1e-5}  # a poor first trial
    poor, _ = sweep_it(make_experiment(trials=1, confirm_seeds=1, stage=stage), tmp_path)
    assert poor["winner"]["trial"] == 0
    better, _ = sweep_it(make_experiment(trials=8, confirm_seeds=1, stage=stage), tmp_path)
    assert better["winner"]["trial"] > 0
    numbers = sorted(int(path.name.removeprefix("trial-")) for path in (tmp_path / "confirm").iterdir())
    assert numbers == [0, better["winner"]["trial"]]


def test_the_best_trials_are_all_trained_again_and_the_best_of_them_wins(
    make_experiment: Make, sweep_it: Sweep, tmp_path: Path
) -> None:
    experiment = make_experiment(trials=6, confirm_seeds=2, confirm_top=3, pruner="none")
    summary, events = sweep_it(experiment, tmp_path)
    ranked = sorted(summary["trials"], key=lambda trial: -trial["value"])[:3]
    judged = [summary["winner"], *summary["selection"]["others"]]
    assert {each["trial"] for each in judged} == {trial["number"] for trial in ranked}
    assert all(len(each["confirmation"]) == 2 for each in judged)
    means = {each["trial"]: sum(run["value"] for run in each["confirmation"]) for each in judged}
    assert summary["winner"]["trial"] == max(means, key=lambda number: means[number])
    assert [event.kind for event in events].count("confirmed") == 6
    again, events = sweep_it(experiment, tmp_path)
    assert again == summary
    assert "started" not in [event.kind for event in events]


def test_a_confirmation_of_other_steps_is_set_aside(
    make_experiment: Make, sweep_it: Sweep, tmp_path: Path
) -> None:
    sweep_it(make_experiment(trials=1, confirm_seeds=1), tmp_path)
    sweep_it(make_experiment(trials=1, confirm_seeds=1, confirm_steps=20), tmp_path)
    assert (tmp_path / "confirm/trial-0/seed-1-earlier-1").is_dir()


def let_go(folder: Path, trial: int | None) -> None:
    if trial is not None:
        (folder / "trials" / str(trial) / "go").touch()


def test_under_nohup_a_closed_terminal_is_still_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    term = signal.getsignal(signal.SIGTERM)  # not the default where Ray has been at work in this process
    try:
        with terminable():
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
            assert signal.getsignal(signal.SIGTERM) is not term
        assert signal.getsignal(signal.SIGTERM) is term
    finally:
        signal.signal(signal.SIGHUP, before)


def test_no_password_of_a_storage_is_written(
    make_experiment: Make, sweep_it: Sweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = "postgresql+psycopg://ann:PA55@127.0.0.1:1/db?sslpassword=PA55"
    for bad in (
        address,
        address.replace(":1/", ":one/"),
        address.replace("psycopg", "odd"),
        f"{address}=PA55",
    ):
        with pytest.raises(UsageError, match=r"storage postgresql\+\w+://ann:\*\*\*@127.0.0.1") as caught:
            sweep_it(make_experiment(), tmp_path / "refused", storage=bad)
        assert "PA55" not in str(caught.value)
        assert "\n" not in str(caught.value)
    assert not (tmp_path / "refused").exists()
    monkeypatch.setattr(
        "sys.argv", ["harness", "sweep", "x.toml", "--storage", address, f"--storage={address}"]
    )
    raw = make_experiment(trials=1).model_dump(mode="json", exclude_none=True)
    raw["sweep"] |= {"executor": "ray", "run_address": "ftp://ann:PA55@127.0.0.1/runs"}
    carried = validate(raw, "test")
    sweep_it(carried, tmp_path / "sweep", executor=LocalExecutor(1))
    sweep_it(carried, tmp_path / "sweep", executor=LocalExecutor(1))  # the same experiment as it recorded
    texts = {p: p.read_bytes() for p in (tmp_path / "sweep").rglob("*") if p.is_file()}
    assert [str(path) for path, text in texts.items() if b"PA55" in text] == []
    command = json.loads((tmp_path / "sweep/manifest.json").read_text())["command"]
    assert command[-2] == "postgresql+psycopg://ann:***@127.0.0.1:1/db?sslpassword=***"


def test_jobs_share_the_cores_with_as_many_as_there_are(
    make_experiment: Make, sweep_it: Sweep, tmp_path: Path
) -> None:
    """One confirmation is alone and gets all cores of three workers; each of two trials gets half."""
    launched: dict[str, int] = {}

    class Watching(LocalExecutor):
        def launch(self, launch: Launch) -> LocalProcess:
            launched[launch.folder.parent.relative_to(tmp_path).parts[0]] = launch.beside
            return super().launch(launch)

    sweep_it(make_experiment(trials=2, workers=3, confirm_seeds=1), tmp_path, executor=Watching(3))
    assert launched == {"trials": 2, "confirm": 1}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupt_ends_the_runs_and_leaves_a_sweep_to_resume(
    make_experiment: Make,
    sweep_it: Sweep,
    start_dispatcher: Start,
    runs_in: RunsIn,
    fake: Fake,
    tmp_path: Path,
    number: signal.Signals,
) -> None:
    experiment = make_experiment(trials=3)
    plain, _ = sweep_it(experiment, tmp_path / "plain")
    folder = tmp_path / "interrupted"
    fake(delay=0.1)
    dispatcher = start_dispatcher(experiment, folder)
    while not (folder / "trials/0/attempt-1/checkpoints/step-3").exists():
        assert dispatcher.is_alive()
        time.sleep(0.01)
    os.kill(dispatcher.pid, number)
    dispatcher.join()
    assert dispatcher.exitcode == 130
    assert runs_in(folder) == []
    assert attempts_of(folder / "trials/0")[-1].outcome == "interrupted"
    assert json.loads((folder / "summary.json").read_text())["winner"] is None
    fake()
    resumed, _ = sweep_it(experiment, folder)
    assert outcome(resumed) == outcome(plain)


def test_a_dispatcher_killed_is_followed_by_one_that_adopts_its_run(
    make_experiment: Make,
    sweep_it: Sweep,
    start_dispatcher: Start,
    runs_in: RunsIn,
    fake: Fake,
    tmp_path: Path,
) -> None:
    experiment = make_experiment(trials=2)
    plain, _ = sweep_it(experiment, tmp_path / "plain")
    folder = tmp_path / "killed"
    fake(hold=5)
    dispatcher = start_dispatcher(experiment, folder)
    while not (folder / "trials/0/attempt-1/checkpoints/step-4").exists():
        time.sleep(0.01)
    dispatcher.kill()
    dispatcher.join()
    assert len(runs_in(folder)) == 1
    resumed, _ = sweep_it(experiment, folder, on_event=lambda event: let_go(folder, event.trial))
    assert outcome(resumed) == outcome(plain)
    assert resumed["trials"][0]["attempts"] == 1  # adopted, not launched again
    assert attempts.attempts_of(folder / "trials/0")[0].outcome == "done"
