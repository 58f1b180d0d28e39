"""A grader's version tells when verdicts may be others."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from evals.graders import version


@pytest.mark.parametrize("kind", ["math", "integer", "choice", "code"])
@pytest.mark.parametrize(
    "file", ["graders/extract.py", "graders/math/forms.py", "graders/judge/base.py", "sandbox/cell.py"]
)
def test_edited_code_is_another_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, file: str
) -> None:
    evals = Path(version.__file__).parents[1]
    for folder in ("graders", "sandbox"):
        shutil.copytree(evals / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(version, "__file__", str(tmp_path / "graders" / "version.py"))
    before = version.grader_version.__wrapped__(kind)
    assert before == version.grader_version(kind)  # where it lies does not matter
    (tmp_path / file).write_text((tmp_path / file).read_text() + "\n# another rule\n")
    matters = file in ("graders/extract.py", "graders/math/forms.py") or (
        file == "sandbox/cell.py" and kind == "code"
    )
    assert (version.grader_version.__wrapped__(kind) != before) == matters


def test_another_library_is_another_version(monkeypatch: pytest.MonkeyPatch) -> None:
    before = version.grader_version("math")
    monkeypatch.setattr(version, "version", lambda name: "999")
    assert version.grader_version.__wrapped__("math") != before
    assert version.grader_version.__wrapped__("integer") == version.grader_version("integer")


def test_a_judge_is_known_by_its_name_and_prompt() -> None:
    assert version.grader_version("judge") == ""
