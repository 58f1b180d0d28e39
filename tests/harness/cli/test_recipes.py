"""What recipes/ tells machines to run are commands that exist, with options that they have."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
import typer.main
import yaml

from harness.cli import app

ROOT = Path(__file__).parents[3]
SKY = yaml.safe_load((ROOT / "recipes" / "sky.yaml").read_text(encoding="utf-8"))


def lines() -> list[str]:
    said = f"{SKY['setup']}\n{SKY['run']}"
    return [line.strip() for line in said.splitlines() if line.strip().startswith("harness ")]


def parse(line: str) -> None:
    """Raises click's errors where the command or an option does not exist."""
    commands = typer.main.get_command(app)
    _, name, *words = shlex.split(line)
    found = commands.commands[name]  # type: ignore[attr-defined]
    found.make_context(name, words)


def test_the_keys_are_those_of_a_sky_task() -> None:
    assert set(SKY) <= {"name", "resources", "workdir", "envs", "setup", "run", "num_nodes", "file_mounts"}
    assert (ROOT / SKY["envs"]["EXPERIMENT"]).is_file()
    assert len(lines()) == 5


@pytest.mark.parametrize("line", lines())
def test_each_command_parses(line: str) -> None:
    parse(line)


def test_an_option_that_does_not_exist_is_found() -> None:
    with pytest.raises(Exception, match="No such option"):
        parse("harness train some.toml --nothing-like-it 3")
    with pytest.raises(KeyError):
        parse("harness trian some.toml")
