"""The run folder: one owner, one experiment, metrics that survive a kill."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from evals.base import io
from evals.base.errors import UsageError
from harness.cli import doctor
from harness.config import Experiment, read_experiment
from harness.config.shipped import experiment_file
from harness.train.manifest import hardware
from harness.train.run_dir import Run
from harness.train.status import read_status


@pytest.fixture
def experiment() -> Experiment:
    return read_experiment([experiment_file("tiny-quickstart")])


def test_a_run_leaves_what_it_takes_to_do_it_again(tmp_path: Path, experiment: Experiment) -> None:
    run = Run(tmp_path, experiment, ["harness", "train"])
    run.set_status("done")
    run.close()
    manifest = io.read_json(tmp_path / "manifest.json")
    assert manifest["command"] == ["harness", "train"]
    assert {"torch", "transformers", "optuna"} <= set(manifest["versions"])
    assert manifest["hardware"]["cores"] >= 1
    assert read_experiment([tmp_path / "experiment.toml"]) == experiment
    status = read_status(tmp_path)
    assert status is not None
    assert status.state == "done"


def test_a_plugins_file_that_changed_since_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rewards = tmp_path / "rewards.py"
    rewards.write_text("def short(question, completion):\n    return 1.0\n")
    own = read_experiment([experiment_file("tiny-quickstart")], [f'grpo.rewards."{rewards}:short"=1.0'])
    for _ in range(2):
        Run(tmp_path / "run", own).close()
    assert not caplog.records
    rewards.write_text("def short(question, completion):\n    return 2.0\n")
    Run(tmp_path / "run", own).close()
    [record] = caplog.records
    assert "rewards.py has changed since this run began" in record.getMessage()


def test_no_password_reaches_the_manifest_or_the_status(tmp_path: Path, experiment: Experiment) -> None:
    run = Run(
        tmp_path, experiment, ["harness", "-s", "a=redis://:PA55@host", "--x=postgresql://h/d?password=PA55"]
    )
    run.set_status("failed", "redis://:PA55@host does not answer")
    run.close()
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and "PA55" in path.read_text()]


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b'{"state": "lost"}', b"\xff\x00"])
def test_a_damaged_status_is_none(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "status.json").write_bytes(text)
    assert read_status(tmp_path) is None


@pytest.mark.parametrize("text", [b"\xff\xfe", b"[policy", b"x ="])
def test_a_damaged_experiment_is_told_from_another_one(
    tmp_path: Path, experiment: Experiment, text: bytes
) -> None:
    Run(tmp_path, experiment).close()
    (tmp_path / "experiment.toml").write_bytes(text)
    with pytest.raises(UsageError, match=r"experiment\.toml: not valid TOML"):
        Run(tmp_path, experiment)


def test_not_a_number_is_written_as_null(tmp_path: Path, experiment: Experiment) -> None:
    run = Run(tmp_path, experiment)
    run.log(1, "grpo", {"loss": math.nan, "kl": math.inf, "reward": 0.5})
    run.close()
    row = json.loads((tmp_path / "metrics.jsonl").read_text())
    assert (row["loss"], row["kl"], row["reward"], row["step"]) == (None, None, 0.5, 1)


def test_rewinding_cuts_the_steps_that_will_be_written_again(tmp_path: Path, experiment: Experiment) -> None:
    run = Run(tmp_path, experiment)
    for step in range(1, 6):
        run.log(step, "grpo", {"reward": float(step)})
    run.rewind(3)
    run.close()
    assert [row["step"] for row in io.read_lines(tmp_path / "metrics.jsonl")] == [1, 2, 3]


def test_other_settings_are_refused(tmp_path: Path, experiment: Experiment) -> None:
    Run(tmp_path, experiment).close()
    with pytest.raises(UsageError, match="holds a run with other settings"):
        Run(tmp_path, experiment.model_copy(update={"seed": 1}))
    Run(tmp_path, experiment).close()  # the refusal let go of the folder


def test_a_second_process_is_refused_by_the_holders_name(tmp_path: Path, experiment: Experiment) -> None:
    run = Run(tmp_path, experiment)
    code = (
        "import sys; from pathlib import Path; from harness.train.run_dir import lock_folder; "
        "from evals.base.errors import UsageError\n"
        "try: lock_folder(Path(sys.argv[1]))\n"
        "except UsageError as error: print(error)"
    )
    said = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
    ).stdout
    run.close()
    assert "is at work in this folder" in said
    assert "process " in said


def test_cores_are_counted_where_the_system_does_not_say_which(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(psutil.Process, "cpu_affinity", raising=False)  # macOS has neither
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    assert hardware().cores == os.cpu_count()
    assert any("cores" in check.found for check in [doctor._device()] if "CPU" in check.found)


def test_a_row_with_half_a_character_survives_a_rewind(tmp_path: Path, experiment: Experiment) -> None:
    run = Run(tmp_path, experiment)
    run.log_samples([{"step": 1, "response": "\ud83d"}, {"step": 2, "response": "x"}])
    run.rewind(1)
    run.set_status("failed", "the judge said \ud83d")
    run.close()
    assert list(io.read_lines(tmp_path / "samples.jsonl")) == [{"step": 1, "response": "\ud83d"}]
