"""Files of a sweep that were damaged: made again where something else has what they held, else named."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from evals.base.errors import UsageError
from harness.cli import app
from harness.config import Experiment
from harness.sweep import attempts
from harness.sweep.status import read_summary
from tests.harness.sweep.torment import RunsIn, outcome

Make = Callable[..., Experiment]
Sweep = Callable[..., tuple[dict[str, Any], list[Any]]]
Fake = Callable[..., None]
NONSENSE = [b"", b"{", b"[]", b"{}", b"null", b'{"a": 1', b"\xff\xfe\x00", b"[" * 50_000]


def halved(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def overwritten(path: Path) -> None:
    path.write_bytes(b"no database" * 1000)


def holed(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    content = path.read_bytes()
    path.write_bytes(content[:20_000] + b"\xff" * 20_000 + content[40_000:])


@pytest.mark.parametrize("damage", [halved, overwritten, holed, Path.unlink])
@pytest.mark.parametrize("workers", [1, 4])
def test_a_damaged_study_is_made_again_from_the_trials(
    make_experiment: Make,
    sweep_it: Sweep,
    tmp_path: Path,
    damage: Callable[[Path], object],
    workers: int,
) -> None:
    """Also where other trials would be proposed now: with four workers the results come in any order."""
    first, _ = sweep_it(make_experiment(trials=6, workers=workers, pruner="none"), tmp_path)
    damage(tmp_path / "study.db")
    for journal in ("study.db-wal", "study.db-shm"):
        (tmp_path / journal).unlink(missing_ok=True)
    again, events = sweep_it(make_experiment(trials=6, workers=workers, pruner="none"), tmp_path)
    assert outcome(again) == outcome(first)
    assert "started" not in [event.kind for event in events]
    assert len(list(tmp_path.glob("study.db.damaged-*"))) == (damage is not Path.unlink)


def test_a_study_that_was_lost_while_a_trial_was_at_work_goes_on_with_it(
    make_experiment: Make, sweep_it: Sweep, fake: Fake, tmp_path: Path
) -> None:
    experiment = make_experiment(trials=4, pruner="none")  # else it may end before it crashes
    plain, _ = sweep_it(experiment, tmp_path / "plain")
    fake(crash_at=5, only="trial-1")
    folder = tmp_path / "lost"
    with pytest.raises(KeyboardInterrupt):
        sweep_it(experiment, folder, on_event=interrupt_when_resumed)
    (folder / "study.db").unlink()
    again, _ = sweep_it(experiment, folder)
    assert outcome(again) == outcome(plain)


def interrupt_when_resumed(event: Any) -> None:
    if event.kind == "resumed":
        raise KeyboardInterrupt


def test_settings_outside_the_space_cannot_be_asked_for_again(
    make_experiment: Make, sweep_it: Sweep, tmp_path: Path
) -> None:
    sweep_it(make_experiment(trials=2), tmp_path)
    (tmp_path / "study.db").unlink()
    narrow = make_experiment(trials=2, space={"grpo.group_size": [2]})
    with pytest.raises(UsageError, match=r"study.db is gone, and .*trials/\d/experiment.toml"):
        sweep_it(narrow, tmp_path, accept_space_change=True)


def test_a_damaged_manifest_is_written_anew(make_experiment: Make, sweep_it: Sweep, tmp_path: Path) -> None:
    first, _ = sweep_it(make_experiment(trials=2), tmp_path)
    before = json.loads((tmp_path / "manifest.json").read_text())
    for text in NONSENSE:
        (tmp_path / "manifest.json").write_bytes(text)
        again, _ = sweep_it(make_experiment(trials=2), tmp_path)
        assert outcome(again) == outcome(first)
        assert json.loads((tmp_path / "manifest.json").read_text())["id"] == before["id"]


def test_a_damaged_manifest_of_a_study_elsewhere_is_named(
    make_experiment: Make, sweep_it: Sweep, tmp_path: Path
) -> None:
    address = f"sqlite:///{tmp_path}/elsewhere.db"
    sweep_it(make_experiment(trials=1), tmp_path / "sweep", storage=address)
    (tmp_path / "sweep/manifest.json").write_text('{\n"id":')
    with pytest.raises(UsageError, match=r"manifest.json: line 2: is not valid JSON.*put it back"):
        sweep_it(make_experiment(trials=1), tmp_path / "sweep", storage=address)


@pytest.mark.parametrize("name", ["summary.json", "ledger.json", "trials.csv", "status.json"])
def test_what_the_dispatcher_writes_for_others_is_written_anew(
    make_experiment: Make, sweep_it: Sweep, tmp_path: Path, name: str
) -> None:
    first, _ = sweep_it(make_experiment(trials=3), tmp_path)
    states = [trial["state"] for trial in first["trials"]]
    whole = (tmp_path / name).read_bytes() if (tmp_path / name).exists() else None
    for text in NONSENSE:
        (tmp_path / name).write_bytes(text)
        assert [trial.state for trial in read_summary(tmp_path).trials] == states
    assert CliRunner().invoke(app, ["sweep", "--status", str(tmp_path)]).exit_code == 0
    again, _ = sweep_it(make_experiment(trials=3), tmp_path)
    assert outcome(again) == outcome(first)
    assert whole is None or (tmp_path / name).read_bytes() == whole


@pytest.mark.parametrize("text", [b"\xff\xfe", b'name = "x', b"[stages", b""])
def test_a_damaged_experiment_is_named(
    make_experiment: Make, sweep_it: Sweep, tmp_path: Path, text: bytes
) -> None:
    sweep_it(make_experiment(trials=1), tmp_path)
    (tmp_path / "experiment.toml").write_bytes(text)
    with pytest.raises(UsageError, match=r"experiment\.toml: .*put it back from a copy"):
        sweep_it(make_experiment(trials=1), tmp_path)


@pytest.mark.parametrize("text", NONSENSE[1:4])
@pytest.mark.parametrize("name", ["attempt.json", "status.json", "../experiment.toml", "metrics.jsonl"])
def test_a_damaged_file_of_a_running_trial_does_not_end_the_sweep(
    make_experiment: Make,
    sweep_it: Sweep,
    fake: Fake,
    runs_in: RunsIn,
    tmp_path: Path,
    name: str,
    text: bytes,
) -> None:
    plain, _ = sweep_it(make_experiment(trials=2, pruner="none"), tmp_path / "plain")
    fake(crash_at=5, only="trial-1")
    folder = tmp_path / "damaged"
    with pytest.raises(KeyboardInterrupt):
        sweep_it(make_experiment(trials=2, pruner="none"), folder, on_event=interrupt_when_resumed)
    for trainer in runs_in(folder):  # a real one would hold the folder's lock
        trainer.kill()
        trainer.wait()
    job = folder / "trials/1"
    newest = attempts.attempts_of(job)[-1].folder
    (newest / name).write_bytes(text)
    read_summary(folder)
    if name != "metrics.jsonl":  # what of it is before the checkpoint is for the run itself to mend
        again, _ = sweep_it(make_experiment(trials=2, pruner="none"), folder)
        assert outcome(again) == outcome(plain)
