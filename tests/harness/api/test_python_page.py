"""The session of docs/python.md runs as it is printed."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "python.md"


@pytest.mark.slow
def test_the_session_of_the_page_runs_from_data_to_report(tmp_path: Path) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    assert len(blocks) == 7
    script = tmp_path / "session.py"
    script.write_text("\n".join(blocks), encoding="utf-8")
    run = [sys.executable, str(script)]
    said = subprocess.run(run, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert said.returncode == 0, said.stderr
    assert "done runs/a/checkpoints/step-4" in said.stdout
    assert "On tiny-aime" in said.stdout
    assert (tmp_path / "runs/a/report.html").exists()
    assert (tmp_path / "runs/s/report.html").exists()
