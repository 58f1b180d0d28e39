"""Shows 1,000,000 samples in the view: seconds to a first page, one in the middle, a search; peak memory.

    python benchmarks/view.py [--samples 1000000] [--folder DIR] [--json]

The samples are those of benchmarks/report.py, in one evaluation; the pages come from a server in a process of
its own, as `harness view` starts one. Memory is that process's peak, of which "idle" is had before any page.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from report import QUESTIONS, write_evaluation

GOALS = {"first_page_s": 1.0, "middle_page_s": 1.0, "growth_mib": 100.0}


def measure(samples: int, folder: Path) -> dict[str, float]:
    """Seconds and MiB, by the names that are printed."""
    write_evaluation(folder / "model" / "made-up", samples // QUESTIONS, random.Random(0))
    size = (folder / "model" / "made-up" / "samples.jsonl").stat().st_size
    command = [sys.executable, "-m", "harness.cli", "view", str(folder), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            found = re.search(r"http://\S+/", server.stdout.readline())
            assert found is not None
            url = found.group()
            fetch(url)
            idle = peak_mib(server.pid)
            key, page = "model/made-up/samples.jsonl", f"{url}samples/model"
            middle = boundary(folder / key, size // 2)
            return {
                "samples": samples // QUESTIONS * QUESTIONS,
                "file_gb": round(size / 1e9, 3),
                "first_page_s": timed(page),
                "middle_page_s": timed(f"{page}?from={middle}:{key}"),
                "filtered_page_s": timed(f"{page}?verdict=wrong"),
                "search_without_a_hit_s": timed(f"{page}?text=nowhere-to-be-found"),
                "idle_mib": round(idle, 1),
                "growth_mib": round(peak_mib(server.pid) - idle, 1),
            }
        finally:
            server.terminate()


def boundary(path: Path, near: int) -> int:
    """Where a line begins at or after ``near``."""
    with path.open("rb") as handle:
        handle.seek(near)
        handle.readline()
        return handle.tell()


def timed(url: str) -> float:
    began = time.perf_counter()
    fetch(url)
    return round(time.perf_counter() - began, 3)


def fetch(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=600) as answer:
        body: bytes = answer.read()
    return body


def peak_mib(process: int) -> float:
    """The most memory that a process has had (Linux)."""
    status = Path(f"/proc/{process}/status").read_text(encoding="utf-8")
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--samples", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, help="where samples are written (default: a temporary folder)")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.samples < QUESTIONS:
        parser.error(f"--samples must be at least {QUESTIONS}: a sample a question")
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        found = measure(options.samples, Path(folder))
    if options.json:
        print(json.dumps(found))
        return
    for name, value in found.items():
        goal = f"   goal: at most {GOALS[name]:g}" if name in GOALS else ""
        print(f"{name:>24} {value:>10g}{goal}")


if __name__ == "__main__":
    main()
