"""A sweep whose study lives in PostgreSQL: a real server, killed dispatchers, a server that goes away."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from evals.base.errors import UsageError
from harness.config import Experiment
from tests.harness.sweep.torment import RunsIn, Start, check_nothing_lost, outcome, selected, torment

Make = Callable[..., Experiment]


def find_programs() -> Path | None:
    """Where initdb and pg_ctl are; Debian does not put them on the PATH."""
    found = shutil.which("initdb")
    if found is not None:
        return Path(found).parent
    return max(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: int(p.parent.name), default=None)


PROGRAMS = find_programs()
pytestmark = pytest.mark.skipif(PROGRAMS is None, reason="PostgreSQL's server is not installed")


@dataclass(frozen=True)
class Server:
    """A server of its own, reached through a socket in its folder."""

    folder: Path
    user: str | None
    """Who runs it, where the tests are run by root, as whom PostgreSQL refuses to run."""

    def _call(self, program: str, *arguments: str) -> None:
        assert PROGRAMS is not None
        subprocess.run(
            [str(PROGRAMS / program), "-D", str(self.folder / "data"), *arguments],
            user=self.user,
            check=True,
            cwd=self.folder,
            stdout=subprocess.DEVNULL,
        )

    def create(self) -> None:
        if self.user is not None:
            shutil.chown(self.folder, self.user)
        self._call("initdb", "--username=postgres", "--auth=trust", "--no-sync")
        self.start()

    def start(self) -> None:
        options = f"-k {self.folder} -c listen_addresses='' -c fsync=off"
        self._call("pg_ctl", "-w", "-l", str(self.folder / "log"), "-o", options, "start")

    def stop(self) -> None:
        self._call("pg_ctl", "-w", "-m", "immediate", "stop")

    def address(self, database: str) -> str:
        return f"postgresql://postgres@/{database}?host={self.folder}"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    folder = Path(tempfile.mkdtemp(prefix="pg-"))  # a socket's path is short, and others can get to it
    one = Server(folder, pwd.getpwnam("nobody").pw_name if os.geteuid() == 0 else None)
    try:
        one.create()
        yield one
    finally:
        one.stop()
        shutil.rmtree(folder)


@pytest.fixture
def storage(server: Server) -> str:
    """An empty database of the test's own."""
    name = f"sweep_{uuid.uuid4().hex}"
    engine = create_engine(server.address("postgres"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return server.address(name)


@pytest.mark.parametrize(("kills", "workers"), [(4, 1), pytest.param(12, 1, marks=pytest.mark.slow), (4, 3)])
def test_kills_lose_nothing(
    make_experiment: Make,
    sweep_it: Callable[..., Any],
    start_dispatcher: Start,
    runs_in: RunsIn,
    fake: Callable[..., None],
    storage: str,
    tmp_path: Path,
    kills: int,
    workers: int,
) -> None:
    trials = max(6, kills // 2)
    experiment = make_experiment(trials=trials, workers=workers, confirm_seeds=1, max_attempts=1000)
    fake(delay=0.05)
    folder = tmp_path / "killed"
    met = torment(start_dispatcher, runs_in, experiment, folder, kills, kills + workers, storage=storage)
    assert met >= kills // 2
    disturbed = check_nothing_lost(folder, trials, 1)
    assert not (folder / "study.db").exists()
    if workers == 1:
        fake()
        undisturbed, _ = sweep_it(experiment, tmp_path / "undisturbed")
        assert outcome(disturbed) == outcome(undisturbed)
        assert selected(disturbed) == selected(undisturbed)


@pytest.mark.parametrize("seconds", [3, pytest.param(12, marks=pytest.mark.slow)])
def test_a_server_that_goes_away_for_a_while_loses_nothing(
    make_experiment: Make,
    sweep_it: Callable[..., Any],
    start_dispatcher: Start,
    fake: Callable[..., None],
    server: Server,
    storage: str,
    tmp_path: Path,
    seconds: int,
) -> None:
    experiment = make_experiment(trials=5, confirm_seeds=1)
    expected, _ = sweep_it(experiment, tmp_path / "expected")
    fake(delay=0.05)
    folder = tmp_path / "sweep"
    dispatcher = start_dispatcher(experiment, folder, storage=storage)
    while not (folder / "trials/1/attempt-1").exists():
        assert dispatcher.is_alive()
        time.sleep(0.01)
    server.stop()
    time.sleep(seconds)
    server.start()
    dispatcher.join()
    assert dispatcher.exitcode == 0
    assert outcome(check_nothing_lost(folder, 5, 1)) == outcome(expected)


def test_one_server_serves_several_sweeps_of_different_names(
    make_experiment: Make, sweep_it: Callable[..., Any], storage: str, tmp_path: Path
) -> None:
    one = make_experiment(trials=2)
    first, _ = sweep_it(one, tmp_path / "a", storage=storage)
    with pytest.raises(UsageError, match="another folder"):
        sweep_it(one, tmp_path / "b", storage=storage)
    other = one.model_copy(update={"name": "other"})
    second, _ = sweep_it(other, tmp_path / "c", storage=storage)
    assert [t["params"] for t in first["trials"]] == [t["params"] for t in second["trials"]]
