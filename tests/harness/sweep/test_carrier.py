"""A run's folder carried over an address: all of it, never half of it, and nothing twice."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from evals.base.errors import JobError, UsageError
from harness.sweep.executors.sync import Carrier


@pytest.fixture(params=["file", "memory"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return f"{request.param}://{tmp_path}/address"


def write(folder: Path, **contents: str) -> Path:
    for name, text in contents.items():
        place = folder / name.replace("__", "/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    return folder


def content(folder: Path) -> dict[str, str]:
    return {p.relative_to(folder).as_posix(): p.read_text() for p in folder.rglob("*") if p.is_file()}


def test_what_was_pushed_is_pulled(address: str, tmp_path: Path) -> None:
    run = write(tmp_path / "run", metrics="1\n", checkpoints__step1__weights="w1", data__kept="k")
    write(run, stop="now", fence="", checkpoints__step1__stop="a weight of this name")
    (run / ".lock").touch()
    (run / "checkpoints/.step2.tmp").mkdir()
    (run / "checkpoints/.step2.tmp/weights").write_text("half")
    beside = write(tmp_path, experiment="name = 1") / "experiment"
    there, here = Carrier(address), Carrier(address)
    there.push(run, "run", beside)
    copy = write(tmp_path / "copy", attempt="mine")
    assert here.pull(copy, "run")
    assert content(copy) == {
        "attempt": "mine",
        "metrics": "1\n",
        "checkpoints/step1/weights": "w1",
        "checkpoints/step1/stop": "a weight of this name",
        "data/kept": "k",
        "experiment": "name = 1",
    }


def test_a_heartbeat_is_carried_as_often_as_it_beats(address: str, tmp_path: Path) -> None:
    there, here = Carrier(address), Carrier(address)
    run, copy = write(tmp_path / "run", metrics="1\n"), tmp_path / "copy"
    beats = set()
    for second in range(3):
        (run / ".alive").touch()
        os.utime(run / ".alive", (second, second))
        there.push(run, "run")
        assert here.pull(copy, "run")
        beats.add((copy / ".alive").stat().st_mtime_ns)
    assert len(beats) == 3


def test_what_changes_follows_and_old_checkpoints_go(address: str, tmp_path: Path) -> None:
    there, here = Carrier(address), Carrier(address)
    run = write(tmp_path / "run", metrics="1\n", checkpoints__step1__weights="w1")
    copy = write(tmp_path / "copy", checkpoints__step0__weights="inherited", log="mine")
    there.push(run, "run")
    assert here.pull(copy, "run")
    write(run, metrics="1\n2\n", checkpoints__step2__weights="w2")
    shutil.rmtree(run / "checkpoints/step1")
    there.push(run, "run")
    assert here.pull(copy, "run")
    assert content(copy) == {"metrics": "1\n2\n", "checkpoints/step2/weights": "w2", "log": "mine"}
    late = tmp_path / "late"
    assert Carrier(address).pull(late, "run")  # a dispatcher that took over
    assert content(late) == content(run)


def test_nothing_goes_twice(tmp_path: Path) -> None:
    address = f"file://{tmp_path}/address"
    there, here = Carrier(address), Carrier(address)
    run = write(tmp_path / "run", weights="w", metrics="1\n")
    there.push(run, "start")
    copy = tmp_path / "copy"
    here.pull(copy, "start")
    blobs = sorted((tmp_path / "address/blobs").iterdir())
    write(copy, metrics="1\n2\n")
    here.push(copy, "run")  # the weights, which came from there, do not go back
    after = sorted((tmp_path / "address/blobs").iterdir())
    assert len(blobs) == len(after) == 2
    assert len(set(blobs) & set(after)) == 1
    pulled = copy.joinpath("weights").stat().st_mtime_ns
    here.pull(copy, "run")
    assert copy.joinpath("weights").stat().st_mtime_ns == pulled


def test_a_file_that_vanishes_meanwhile_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Old checkpoints are deleted while the folder is read: no index of half a checkpoint may come of it."""
    there = Carrier(f"file://{tmp_path}/address")
    run = write(tmp_path / "run", checkpoints__step1__a="1", checkpoints__step1__b="1")
    there.push(run, "run")
    write(run, checkpoints__step2__a="2", checkpoints__step2__b="2")
    real = there._fs.put_file

    def put(local: str, remote: str) -> None:
        if local.endswith("step2/b"):
            Path(local).unlink()
        real(local, remote)

    monkeypatch.setattr(there._fs, "put_file", put)
    there.push(run, "run")
    copy = tmp_path / "copy"
    assert Carrier(f"file://{tmp_path}/address").pull(copy, "run")
    assert content(copy) == {"checkpoints/step1/a": "1", "checkpoints/step1/b": "1"}


def test_an_index_that_ran_ahead_of_its_reader(tmp_path: Path) -> None:
    address = f"file://{tmp_path}/address"
    Carrier(address).push(write(tmp_path / "run", metrics="1\n"), "run")
    for blob in (tmp_path / "address/blobs").iterdir():
        blob.unlink()
    assert not Carrier(address).pull(tmp_path / "copy", "run")


def test_a_name_outside_the_folder_is_refused(tmp_path: Path) -> None:
    carrier = Carrier(f"file://{tmp_path}/address")
    carrier.note("run", json.dumps({"../evil": "x"}))
    with pytest.raises(JobError, match="outside"):
        carrier.pull(tmp_path / "copy", "run")


def test_notes(address: str) -> None:
    carrier = Carrier(address)
    assert carrier.noted("stop") is None
    carrier.note("stop", "hopeless")
    carrier.note("fence", "")
    assert Carrier(address).noted("stop") == "hopeless"
    carrier.clear("fence")
    assert (carrier.noted("stop"), carrier.noted("fence")) == (None, "")
    carrier.clear()
    assert carrier.noted("fence") is None


@pytest.mark.parametrize("address", ["nowhere://bucket/runs", "s4:///x"])
def test_an_address_of_no_known_kind(address: str) -> None:
    with pytest.raises(UsageError, match="run_address"):
        Carrier(address)
