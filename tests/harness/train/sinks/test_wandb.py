"""W&B as a sink: what an offline run holds, read back with wandb's own reader; failures do no harm."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from evals.base import io
from evals.base.errors import JobError, UsageError
from evals.scores import Scores
from evals.stats.metrics import QuestionStats, Vote
from harness.config import Tracking
from harness.train.sinks import wandb as wandb_sink
from harness.train.sinks.base import CHARACTERS, ROWS
from harness.train.tracker import Tracker
from tests.harness.wandb_service import Service, serve


def tracker(folder: Path) -> Tracker:
    return Tracker(Tracking(), folder, name="run", group="study", kind="train", config={"beta": 0.1})


def records(folder: Path) -> Iterator[dict[str, Any]]:
    """Every record of every offline run under ``folder``, as wandb reads its own files."""
    for path in sorted(folder.glob("wandb/offline-run-*/*.wandb")):
        command = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(path)]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        yield from map(json.loads, said.splitlines())


def items(found: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [record[kind] for record in found if kind in record]


def history(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [one["item"] for one in items(found, "history")]


def metrics_file(folder: Path, steps: range) -> list[dict[str, Any]]:
    """metrics.jsonl with these steps, as a run writes it."""
    rows = [{"step": i, "stage": "grpo", "reward": i / 10, "kl": None, "dev/pass@1": i / 20} for i in steps]
    io.write_text(folder / "metrics.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    return rows


def test_an_offline_run_holds_every_line_once_over_a_resume(tmp_path: Path) -> None:
    rows = metrics_file(tmp_path, range(1, 3))
    first = tracker(tmp_path)
    for row in rows:  # both were sent when the tracker opened
        first.log(row)
    first.close()
    second = tracker(tmp_path)
    for step in (2, 3):  # a resume repeats what came after the last checkpoint
        second.log({"step": step, "stage": "grpo", "reward": step / 10})
    second.close()
    found = list(records(tmp_path))
    assert [(row["step"], row["reward"]) for row in history(found)] == [(1, 0.1), (2, 0.2), (3, 0.3)]
    run = items(found, "run")[0]
    assert (run["run_group"], run["job_type"]) == ("study", "train")
    metrics = items(found, "metric")
    assert any(one.get("glob_name") == "*" and one.get("step_metric") == "step" for one in metrics)


def test_a_killed_run_loses_and_repeats_nothing(tmp_path: Path) -> None:
    """Killed between a line of metrics.jsonl and its sending; the next start sends what is missing."""
    program = (
        "import os, signal, sys\nfrom pathlib import Path\nfrom harness.config import Tracking\n"
        "from harness.train.tracker import Tracker\nfolder = Path(sys.argv[1])\n"
        "one = Tracker(Tracking(), folder, name='run', group='study', kind='train', config={})\n"
        "one.log({'step': 4, 'stage': 'grpo', 'reward': 0.4})\n"
        "import time; time.sleep(1)\nos.kill(os.getpid(), signal.SIGKILL)\n"
    )
    metrics_file(tmp_path, range(1, 4))
    alone = {key: value for key, value in os.environ.items() if key != "WANDB_SERVICE"}  # not this process's
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False, timeout=100, env=alone)
    metrics_file(tmp_path, range(1, 6))
    tracker(tmp_path).close()
    assert [row["step"] for row in history(list(records(tmp_path)))] == [1, 2, 3, 4, 5]


def test_figures_tables_and_files_go_along(tmp_path: Path) -> None:
    metrics_file(tmp_path, range(1, 4))
    long = "x" * (CHARACTERS + 500)
    completions = [
        {
            "step": i,
            "id": f"q{i}",
            "prompt": "p",
            "response": long,
            "rewards": {"accuracy": 1.0},
            "reward": 1.0,
        }
        for i in range(ROWS + 7)
    ]
    io.write_text(tmp_path / "samples.jsonl", "".join(json.dumps(row) + "\n" for row in completions))
    scores = Scores(
        "tiny-aime", tuple(QuestionStats(f"q{i}", 4, i, (Vote("1", i, True),)) for i in range(1, 5)), "none"
    )
    folder = tmp_path / "evals" / "final" / "tiny-aime"
    scores.write(folder)
    graded = {
        "id": "q1",
        "prompt": "1 + 0 = ",
        "sample": 0,
        "status": "correct",
        "answer": "1",
        "response": "1",
        "tokens": None,
    }
    io.write_text(folder / "samples.jsonl", json.dumps(graded) + "\n")
    one = tracker(tmp_path)
    one.best()
    one.completions()
    one.evaluation("final", scores, folder, {"q1": "1"})
    one.close()

    found = list(records(tmp_path))
    summary: dict[str, Any] = {}
    for record in items(found, "summary"):
        summary |= record["update"]
    assert summary["best/dev/pass@1"] == 0.15
    assert summary["best/step"] == 3
    assert summary["eval/tiny-aime/final/pass@1"] == scores.pass_at_1().value
    assert summary["eval/tiny-aime/final/cons@4"] == scores.cons_at_k(4).value
    kinds = {one["type"] for one in items(found, "artifact")}
    assert {"scores", "run_table"} <= kinds
    tables = {path.name: json.loads(path.read_text()) for path in tmp_path.rglob("*.table.json")}
    sizes = {len(table["data"]) for table in tables.values()}
    assert {ROWS, 1} <= sizes
    [evaluated] = [table for table in tables.values() if "gold" in table["columns"]]
    shown = dict(zip(evaluated["columns"], evaluated["data"][0], strict=True))
    assert (shown["prompt"], shown["gold"]) == ("1 + 0 = ", "1")
    texts = [row[table["columns"].index("response")] for table in tables.values() for row in table["data"]]
    assert max(map(len, texts)) < CHARACTERS + 50


LAUNCH = """
import json, sys
from pathlib import Path
from evals.base import io as files
from harness.train.tracker import Tracker
from harness.config import Tracking
folder, mode, steps = Path(sys.argv[1]), sys.argv[2], range(int(sys.argv[3]), int(sys.argv[4]))
settings = Tracking(wandb=mode, tags=["paper"], notes="second machine")
one = Tracker(settings, folder, name="run", group="study", kind="train", config={"beta": 0.1})
for step in steps:
    one.log({"step": step, "stage": "grpo", "reward": step / 10})
row = {"step": steps[-1], "id": "q", "prompt": "p", "response": "r", "reward": 1.0}
files.write_text(folder / "samples.jsonl", json.dumps(row) + chr(10))
one.completions()
one.close()
"""
SYNC = """
import sys
from pathlib import Path
from harness.train.sinks.wandb import sync
print(sync(Path(sys.argv[1])))
"""


@pytest.fixture
def service() -> Iterator[Service]:
    with serve() as running:
        yield running


def with_service(service: Service, program: str, *arguments: object) -> str:
    """Runs a program whose W&B is the service, in a process of its own: wandb reads its settings once."""
    told = {"BASE_URL": service.address, "API_KEY": "k" * 40, "SILENT": "true"}
    here = {key: value for key, value in os.environ.items() if key != "WANDB_SERVICE"}
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        env={**here, **{f"WANDB_{name}": value for name, value in told.items()}},
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["online", "offline"])
def test_the_service_holds_every_step_once_over_resumes(tmp_path: Path, service: Service, mode: str) -> None:
    """Tables take steps of W&B's own; steps after them are not lost for it."""
    with_service(service, LAUNCH, tmp_path, mode, 1, 4)
    with_service(service, LAUNCH, tmp_path, mode, 3, 7)
    if mode == "offline":
        assert with_service(service, SYNC, tmp_path).strip() == "2"
        assert with_service(service, SYNC, tmp_path).strip() == "0"
    [run] = service.runs.values()
    told = [(row["step"], row["reward"]) for row in run.rows() if "reward" in row]
    assert told == [(step, step / 10) for step in range(1, 7)]
    own = [row["_step"] for row in run.rows()]
    assert own == sorted(set(own))
    assert (run.group, run.job_type, run.tags) == ("study", "train", ["paper"])
    assert service.artifacts == ["run_table", "run_table"]


@pytest.mark.slow
def test_two_runs_of_one_experiment_are_two_runs(tmp_path: Path, service: Service) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        with_service(service, LAUNCH, tmp_path / name, "online", 1, 3)
    assert len(service.runs) == 2
    assert all(len([row for row in run.rows() if "reward" in row]) == 2 for run in service.runs.values())


@pytest.mark.slow
@pytest.mark.parametrize("refused", [2, 10**9], ids=["for a while", "to the end"])
def test_an_outage_in_the_middle_loses_nothing(tmp_path: Path, service: Service, refused: int) -> None:
    """W&B's client tries again; what the service did not take by the end goes up with a sync later."""
    hasty = "from harness.train.sinks import wandb as sink\nsink.FINISH_SECONDS = 4.0\n"
    service.refuse_lines = refused
    with_service(service, (hasty if refused > 10 else "") + LAUNCH, tmp_path, "online", 1, 5)
    [run] = service.runs.values()
    if refused > 10:
        assert run.rows() == []
        service.refuse_lines = 0
        assert with_service(service, SYNC, tmp_path).strip() == "1"
    told = [(row["step"], row["reward"]) for row in run.rows() if "reward" in row]
    assert told == [(step, step / 10) for step in range(1, 5)]


def test_off_writes_nothing(tmp_path: Path) -> None:
    off = Tracker(Tracking(wandb="off"), tmp_path, name="run", group="study", kind="train", config={})
    off.log({"step": 1, "reward": 1.0})
    off.best()
    off.close()
    assert list(tmp_path.iterdir()) == []


def test_a_failure_of_wandb_is_said_and_does_not_stop_anything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    import wandb

    def broken(**_: object) -> None:
        raise RuntimeError("no disk")

    monkeypatch.setattr(wandb, "init", broken)
    one = tracker(tmp_path)
    one.log({"step": 1, "reward": 1.0})
    one.completions()
    one.file(tmp_path / "none", "report")
    one.close()
    assert caplog.text.count("W&B is off from here on") == 1


def test_a_file_that_is_gone_ends_tracking_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    one = tracker(tmp_path)
    one.file(tmp_path / "none.html", "report")
    one.log({"step": 1, "reward": 1.0})
    one.close()
    assert "W&B is off from here on" in caplog.text


def test_syncing_needs_a_run_and_a_login(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import wandb

    with pytest.raises(UsageError, match="contains no W&B run that was recorded offline"):
        wandb_sink.sync(tmp_path)
    one = tracker(tmp_path)
    one.log({"step": 1, "reward": 1.0})
    one.close()
    monkeypatch.setattr(wandb, "login", lambda **_: False)
    with pytest.raises(JobError, match="nobody is logged in"):
        wandb_sink.sync(tmp_path)
    [run] = tmp_path.glob("wandb/offline-run-*/*.wandb")
    run.with_name(f"{run.name}.synced").touch()
    assert wandb_sink.sync(tmp_path) == 0
