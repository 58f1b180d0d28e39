"""What only Slurm jobs have: a queue, preemption, lost nodes, and submitit around the process."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evals.base.errors import JobError, UsageError
from harness.config import Experiment, Sweep
from harness.sweep.executors.built_in import SlurmSettings
from harness.sweep.executors.registry import Exit, Launch, make_executor

submitit = pytest.importorskip("submitit", reason="submitit is not installed (the extra `slurm`)")
from harness.sweep.executors.slurm import SlurmExecutor, SlurmJob, run_here  # noqa: E402


def executor(**settings: Any) -> SlurmExecutor:
    return SlurmExecutor(SlurmSettings(**settings).parameters(cpus=1, gpus=0), ask_seconds=0.1)


def launch(folder: Path, code: str) -> Launch:
    folder.mkdir(parents=True, exist_ok=True)
    return Launch((sys.executable, "-S", "-c", code), folder, "token", 0)


def ended(executor: SlurmExecutor, job: SlurmJob) -> Exit:
    while (how := executor.poll(job)) is None:
        time.sleep(0.01)
    return how


def job_folder(home: Path) -> Path:
    [folder] = [path for path in home.iterdir() if path.name.isdigit()]
    return folder


def test_the_node_runs_the_process_and_returns_its_exit_code(tmp_path: Path) -> None:
    """By submitit's debug executor, in this process, and by its local one, in another."""
    code = "import sys; print('hello'); sys.exit(3)"
    for number, kind in enumerate((submitit.DebugExecutor, submitit.LocalExecutor)):
        one = launch(tmp_path / str(number), code)
        (one.folder / "slurm").mkdir()
        assert kind(one.folder / "slurm").submit(run_here, one, False).result() == 3
        assert (one.folder / "log.txt").read_text() == "hello\n"


def test_a_job_waits_in_the_queue_and_can_be_taken_back(fake_slurm: Path, tmp_path: Path) -> None:
    (fake_slurm / "full").touch()
    one, dispatcher = launch(tmp_path / "attempt-1", "open('ran', 'w')"), executor()
    job = dispatcher.launch(one)
    assert dispatcher.poll(job) is None
    assert dispatcher.waits(job)
    again = executor().adopt(one)  # a dispatcher that finds it waiting
    assert again is not None
    dispatcher.stop(job, force=True)
    assert ended(dispatcher, job) == Exit(None)
    (fake_slurm / "full").unlink()
    time.sleep(0.2)
    assert not (one.folder / "process").exists()


def test_a_job_that_loses_its_node_ends_without_an_exit_code(fake_slurm: Path, tmp_path: Path) -> None:
    one, dispatcher = launch(tmp_path / "attempt-1", "import time; time.sleep(1000)"), executor()
    job = dispatcher.launch(one)
    while dispatcher.waits(job):
        time.sleep(0.01)
    (job_folder(fake_slurm) / "state").write_text("NODE_FAIL")
    os.killpg(int((job_folder(fake_slurm) / "step").read_text()), signal.SIGKILL)
    assert ended(dispatcher, job) == Exit(None)
    assert executor().adopt(one) is None


def test_a_preempted_job_ends_its_process_and_is_not_requeued(fake_slurm: Path, tmp_path: Path) -> None:
    """Slurm's word is SIGUSR2 to every process of the step; submitit's own answer would be to requeue."""
    stubborn = "import signal, time; signal.signal(signal.SIGUSR2, signal.SIG_IGN); time.sleep(1000)"
    one, dispatcher = launch(tmp_path / "attempt-1", stubborn), executor()
    job = dispatcher.launch(one)
    while dispatcher.waits(job):
        time.sleep(0.01)
    runner = int((one.folder / "process").read_text().rpartition(")")[2].split()[1])  # its parent
    os.kill(runner, signal.SIGUSR2)
    assert ended(dispatcher, job) == Exit(None)
    assert "not requeued" in job.job.stderr()


def test_what_sbatch_is_told(fake_slurm: Path, tmp_path: Path) -> None:
    sweep = Sweep.model_validate(
        {
            "executor": {
                "kind": "slurm",
                "partition": "gpu",
                "time": 90,
                "mem": "64G",
                "setup": ["module load cuda"],
                "options": {"exclude": "node7"},
            },
            "gpus_per_trial": 2,
            "cpus_per_trial": 8,
        }
    )
    made = make_executor(sweep)
    assert made.devices_per_launch == 2
    job = made.launch(launch(tmp_path / "trial-3" / "attempt-1", "pass"))
    script = (job_folder(fake_slurm) / "script").read_text().splitlines()
    told = {line.partition("--")[2] for line in script}
    expected = {"partition=gpu", "time=90", "mem=64G", "gpus-per-node=2", "cpus-per-task=8", "exclude=node7"}
    assert expected | {"no-requeue", "job-name=harness-trial-3"} <= told
    assert "module load cuda" in script
    made.stop(job, force=True)
    ended(made, job)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"gpus_per_trial": 0.5}, "sweep.gpus_per_trial: Slurm reserves whole ones, got 0.5"),
        ({"processes_per_trial": 2, "gpus_per_trial": 1}, "2 processes need a GPU each"),
        ({"executor": {"kind": "slurm", "partion": "a"}}, "unknown key 'partion'; did you mean 'partition'"),
    ],
)
def test_what_cannot_be_is_said(settings: dict[str, Any], sentence: str, fake_slurm: Path) -> None:
    with pytest.raises(UsageError, match=sentence):
        make_executor(Sweep.model_validate({"executor": "slurm", **settings}))


def test_without_slurm_it_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match="no srun on this machine"):
        make_executor(Sweep(executor="slurm"))  # type: ignore[arg-type]


def test_a_job_that_sbatch_refuses(fake_slurm: Path, tmp_path: Path) -> None:
    refusing = fake_slurm / "bin" / "sbatch"
    refusing.write_text("#!/bin/sh\necho 'sbatch: error: invalid partition specified: gpuu' >&2\nexit 1\n")
    with pytest.raises(JobError, match="Slurm does not take the job"):
        executor(partition="gpuu").launch(launch(tmp_path / "attempt-1", "pass"))


@pytest.mark.slow
def test_a_sweep_on_slurm_is_the_sweep_on_this_machine(
    fake_slurm: Path,
    make_experiment: Callable[..., Experiment],
    sweep_it: Any,
    tmp_path: Path,
) -> None:
    found = {}
    for kind in ("local", "slurm"):
        experiment = make_experiment(trials=2, workers=1, executor=kind)
        sweep_it(experiment, tmp_path / kind)
        summary = json.loads((tmp_path / kind / "summary.json").read_text())
        found[kind] = [(trial["params"], trial["value"], trial["attempts"]) for trial in summary["trials"]]
    assert found["slurm"] == found["local"]
