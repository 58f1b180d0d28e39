"""Live pages beside a job: what `--view` starts, and that it ends with the job."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from evals.base.errors import UsageError
from harness.cli.app import watched

JOB = """
import sys
from pathlib import Path
from harness.cli.app import watched
with watched(Path(sys.argv[1]), False, True).step("train", 2) as update:
    update(1)
    sys.stdin.readline()
"""


def test_a_job_serves_its_pages_until_it_ends(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "stage": "grpo", "reward": 0.25}\n')
    command = [sys.executable, "-c", JOB, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as job:
        assert job.stdin is not None
        assert job.stderr is not None
        line = job.stderr.readline()
        address = re.fullmatch(rf"To watch it: (http://127\.0\.0\.1:\d+/) .*harness view {tmp_path}\n", line)
        assert address is not None, line
        page = httpx.get(address[1])
        assert page.status_code == 200
        assert tmp_path.name in page.text
        job.kill()  # however it ends
    until = time.monotonic() + 20
    while time.monotonic() < until:
        try:
            httpx.get(address[1], timeout=1)
        except httpx.TransportError:
            return
        time.sleep(0.2)
    pytest.fail("the pages are still served after the job has ended")


def test_a_job_without_pages_names_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nowhere = tmp_path / "not there"
    with watched(nowhere, False, True).step("train", 1) as update:
        update(1)
    assert f"To watch it: harness view '{nowhere}'\n" in capsys.readouterr().err


def test_an_address_cannot_be_quiet(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--view prints an address, which --quiet hides"):
        watched(tmp_path, True, True)
