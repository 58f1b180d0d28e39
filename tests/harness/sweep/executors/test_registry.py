"""The contract that every executor keeps; a new one joins by a line in ``EXECUTORS``."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

from harness.sweep.executors.local import LocalExecutor
from harness.sweep.executors.registry import Executor, Exit, Launch

NewExecutor = Callable[[], Executor]


def on_ray(address: str = "") -> Executor:
    from harness.sweep.executors.ray_cluster import RayExecutor

    return RayExecutor(address=address)


def on_slurm() -> Executor:
    from harness.sweep.executors.built_in import SlurmSettings
    from harness.sweep.executors.slurm import SlurmExecutor

    return SlurmExecutor(SlurmSettings().parameters(cpus=1, gpus=0), ask_seconds=0.2)


EXECUTORS: dict[str, Callable[[Path], Executor]] = {
    "local": lambda folder: LocalExecutor(slots=2),
    "ray": lambda folder: on_ray(),
    "carried": lambda folder: on_ray(f"file://{folder}/address"),
    "slurm": lambda folder: on_slurm(),
}
NEEDS = {"ray": "ray_cluster", "carried": "ray_cluster", "slurm": "fake_slurm"}
"""Fixtures."""
SLEEP = "import time; time.sleep(1000)"
STUBBORN = (
    "import signal, time\n"
    "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    "print('up', flush=True)\n"
    "time.sleep(1000)\n"
)
PARENT = (
    "import subprocess, sys, time, pathlib\n"
    "child = subprocess.Popen(['sleep', '1000'])\n"
    "pathlib.Path(sys.argv[1]).write_text(str(child.pid))\n"
)


@pytest.fixture(params=sorted(EXECUTORS))
def new_executor(request: pytest.FixtureRequest, tmp_path: Path) -> NewExecutor:
    if request.param in NEEDS:
        request.getfixturevalue(NEEDS[request.param])
    return partial(EXECUTORS[request.param], tmp_path)


@pytest.fixture
def launch(
    new_executor: NewExecutor, tmp_path: Path
) -> Iterator[Callable[..., tuple[Executor, Launch, Any]]]:
    """``launch(code, *arguments)`` -> the executor, the launch and its handle; ended after the test."""
    begun: list[tuple[Executor, Any]] = []

    def start(code: str, *arguments: str, slot: int = 0, **environment: str) -> tuple[Executor, Launch, Any]:
        executor = new_executor()
        folder = tmp_path / f"attempt-{len(begun) + 1}"
        folder.mkdir()
        command = (sys.executable, "-S", "-c", code, *arguments)
        one = Launch(command, folder, f"token-{os.getpid()}-{folder}", slot, environment)
        handle = executor.launch(one)
        begun.append((executor, handle))
        return executor, one, handle

    yield start
    for executor, handle in begun:
        executor.stop(handle, force=True)
        ended(executor, handle)


def ended(executor: Executor, handle: Any) -> Exit:
    while (how := executor.poll(handle)) is None:
        time.sleep(0.01)
    return how


def until(condition: Callable[[], Any]) -> None:
    while not condition():
        time.sleep(0.01)


def said(executor: Executor, launch: Launch, handle: Any) -> str:
    """What the process has printed, as far as it is here: a poll may have to bring it."""
    executor.poll(handle)
    log = launch.folder / "log.txt"
    return log.read_text() if log.exists() else ""


def alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def test_it_runs_the_command_logs_it_and_tells_its_exit(launch: Callable[..., Any]) -> None:
    code = "import os, sys; print('out'); print(os.environ['WORD'], file=sys.stderr); sys.exit(7)"
    executor, one, handle = launch(code, WORD="err")
    assert ended(executor, handle) == Exit(7)
    assert executor.poll(handle) == Exit(7)
    assert sorted((one.folder / "log.txt").read_text().split()) == ["err", "out"]


def test_it_runs_two_at_a_time_and_polls_without_waiting(launch: Callable[..., Any]) -> None:
    executor, _, handle = launch(SLEEP)
    other, _, second = launch("pass", slot=1)
    assert ended(other, second) == Exit(0)
    assert not other.waits(second)
    assert executor.poll(handle) is None


def test_stop_asks_and_force_ends(launch: Callable[..., Any]) -> None:
    executor, _, handle = launch(SLEEP)
    executor.stop(handle, force=False)
    assert ended(executor, handle).code == -signal.SIGTERM
    executor, one, handle = launch(STUBBORN)
    until(lambda: "up" in said(executor, one, handle))
    executor.stop(handle, force=False)
    time.sleep(0.1)
    assert executor.poll(handle) is None
    executor.stop(handle, force=True)
    assert ended(executor, handle).code == -signal.SIGKILL
    executor.stop(handle, force=True)  # nothing is left to end


def test_children_go_with_their_parent(launch: Callable[..., Any], tmp_path: Path) -> None:
    executor, _, handle = launch(PARENT, str(tmp_path / "child"))
    assert ended(executor, handle) == Exit(0)
    child = int((tmp_path / "child").read_text())
    until(lambda: not alive(child))


def test_another_dispatcher_adopts_a_live_launch(
    launch: Callable[..., Any], new_executor: Callable[[], Executor]
) -> None:
    first, one, handle = launch(STUBBORN)
    until(lambda: "up" in said(first, one, handle))
    second = new_executor()
    adopted = second.adopt(one)
    assert adopted is not None
    assert second.poll(adopted) is None
    assert first.poll(handle) is None
    again = new_executor()
    assert again.adopt(one) is not None  # and a third one
    second.stop(adopted, force=True)
    assert ended(second, adopted).code in (None, -signal.SIGKILL)  # where the executor can know it


def test_a_launch_that_ended_is_not_adopted(launch: Callable[..., Any], new_executor: NewExecutor) -> None:
    executor, one, handle = launch("pass")
    ended(executor, handle)
    assert new_executor().adopt(one) is None


def test_a_launch_that_never_began_never_will(new_executor: NewExecutor, tmp_path: Path) -> None:
    """A dispatcher was killed in the middle of launching, and the process comes up after it was given up."""
    folder = tmp_path / "attempt-1"
    folder.mkdir()
    late = Launch((sys.executable, "-S", "-c", f"open({str(tmp_path / 'ran')!r}, 'w')"), folder, "late", 0)
    executor = new_executor()
    assert executor.adopt(late) is None
    assert ended(executor, executor.launch(late)) != Exit(0)
    assert not (tmp_path / "ran").exists()


class TestLocal:
    """What only processes of this machine have."""

    @pytest.mark.parametrize("new_executor", ["local"], indirect=True)
    def test_a_process_id_that_came_back_is_not_the_launch(self, launch: Callable[..., Any]) -> None:
        executor, one, handle = launch(SLEEP)
        until(lambda: (one.folder / "process").exists() and (one.folder / "process").read_text())
        noted = (one.folder / "process").read_text()
        _, stranger, _ = launch(SLEEP)
        until(lambda: (stranger.folder / "process").exists() and (stranger.folder / "process").read_text())
        begun = noted.rpartition(")")[2].split()[19]
        forged = noted.replace(f" {begun} ", f" {int(begun) - 1} ")  # the same id, begun at another time
        (one.folder / "process").write_text(forged)
        assert LocalExecutor(slots=1).adopt(one) is None
        assert ended(executor, handle).code == -signal.SIGKILL  # found by its token and not left behind

    @pytest.mark.parametrize("new_executor", ["local"], indirect=True)
    def test_a_machine_booted_since_has_none_of_its_processes(self, launch: Callable[..., Any]) -> None:
        _, one, _ = launch(SLEEP)
        until(lambda: (one.folder / "process").exists() and (one.folder / "process").read_text())
        text = (one.folder / "process").read_text()
        (one.folder / "process").write_text("another-boot" + text[text.index(" ") :])
        assert LocalExecutor(slots=1).adopt(one) is None

    def test_cores_and_devices_are_split_between_slots(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        code = "import os; print(os.environ['OMP_NUM_THREADS'], os.environ.get('CUDA_VISIBLE_DEVICES'))"

        def shares(slots: int, devices: list[str], processes: int = 1) -> list[str]:
            executor = LocalExecutor(slots, devices)
            said = []
            for slot in range(slots):
                folder = tmp_path / f"{slots}-{len(devices)}-{slot}-{processes}"
                one = Launch((sys.executable, "-S", "-c", code), folder, "t", slot, processes=processes)
                ended(executor, executor.launch(one))
                said.append((folder / "log.txt").read_text().strip())
            return said

        cores = len(os.sched_getaffinity(0))
        assert shares(2, ["0", "1", "2"]) == [f"{max(1, cores // 2)} {share}" for share in ("0,2", "1")]
        alone = Launch((sys.executable, "-S", "-c", code), tmp_path / "alone", "t", 0, beside=1)
        executor = LocalExecutor(2, ["0"])
        ended(executor, executor.launch(alone))
        assert (tmp_path / "alone/log.txt").read_text().split()[0] == str(cores)
        monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
        waits = "import os; print(os.environ['OMP_WAIT_POLICY'])"
        for asked in (None, "active"):
            if asked:
                monkeypatch.setenv("OMP_WAIT_POLICY", asked)
            one = Launch((sys.executable, "-S", "-c", waits), tmp_path / f"waits-{asked}", "t", 0)
            ended(executor, executor.launch(one))
            assert (tmp_path / f"waits-{asked}/log.txt").read_text().strip() == (asked or "passive")
        assert shares(2, ["7"]) == [f"{max(1, cores // 2)} 7"] * 2
        assert [line.split()[1] for line in shares(1, ["0", "1"])] == ["0,1"]
        assert shares(1, ["0", "1"], processes=2) == [f"{max(1, cores // 2)} 0,1"]

    def test_a_launch_costs_as_many_devices_as_it_has_processes(self) -> None:
        eight = [str(number) for number in range(8)]
        assert LocalExecutor(1, eight).devices_per_launch == 1
        assert LocalExecutor(2, eight, processes=4).devices_per_launch == 4
        assert LocalExecutor(2, ["0"]).devices_per_launch == 0.5
        assert LocalExecutor(3, []).devices_per_launch == 1
