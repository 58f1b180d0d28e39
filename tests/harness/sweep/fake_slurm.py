"""A stand-in for Slurm: sbatch, srun, sacct and scancel as submitit calls them, for jobs on this machine.

``commands(folder)`` makes the four commands; each is this file under another name. A job is a folder
``FAKE_SLURM/ID`` with the batch script and its state. While ``FAKE_SLURM/full`` exists, jobs wait.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

NAMES = ("sbatch", "srun", "sacct", "scancel")


def commands(folder: Path) -> Path:
    """The folder to put on PATH."""
    place = folder / "bin"
    place.mkdir()
    for name in NAMES:
        (place / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" -S "{__file__}" {name} "$@"\n')
        (place / name).chmod(0o755)
    return place


def sbatch(home: Path, script: str) -> None:
    number = time.time_ns() // 10**6  # submitit remembers for good what became of an id
    while True:
        try:
            (home / str(number)).mkdir()
            break
        except FileExistsError:
            number += 1
    job = home / str(number)
    (job / "script").write_text(Path(script).read_text())
    (job / "state").write_text("PENDING")
    node = [sys.executable, "-S", __file__, "node", str(number)]
    subprocess.Popen(node, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    print(f"Submitted batch job {number}")


def node(home: Path, number: str) -> None:
    """Runs a job once there is room, unless it was cancelled before."""
    job = home / number
    while (home / "full").exists():
        time.sleep(0.02)
    if (job / "state").read_text() != "PENDING":
        return
    (job / "state").write_text("RUNNING")
    there = {"SLURM_JOB_ID": number, "SLURM_NTASKS": "1", "SLURM_PROCID": "0", "SLURM_JOB_NUM_NODES": "1"}
    step = subprocess.Popen(
        ["bash", str(job / "script")], env={**os.environ, **there}, start_new_session=True
    )
    (job / "step").write_text(str(step.pid))
    code = step.wait()
    if (job / "state").read_text() == "RUNNING":
        (job / "state").write_text("COMPLETED" if code == 0 else "FAILED")


def srun(_home: Path, *words: str) -> None:
    options = {"--output": "", "--error": ""}
    rest = list(words)
    while rest[0].startswith("--"):
        name = rest.pop(0)
        if name in options:
            options[name] = rest.pop(0)
    for stream, name in ((1, "--output"), (2, "--error")):
        path = options[name].replace("%j", os.environ["SLURM_JOB_ID"]).replace("%t", "0")
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), stream)
    os.execvp(rest[0], rest)


def sacct(home: Path, *words: str) -> None:
    print("JobID|State|NodeList")
    for number in (words[i + 1] for i, word in enumerate(words) if word == "-j"):
        if (home / number / "state").exists():
            print(f"{number}|{(home / number / 'state').read_text()}|node1")


def scancel(home: Path, number: str) -> None:
    (home / number / "state").write_text("CANCELLED by 1000")
    if (home / number / "step").exists():
        os.killpg(int((home / number / "step").read_text()), signal.SIGKILL)


if __name__ == "__main__":
    name, *arguments = sys.argv[1:]
    {"sbatch": sbatch, "srun": srun, "sacct": sacct, "scancel": scancel, "node": node}[name](
        Path(os.environ["FAKE_SLURM"]), *arguments
    )
