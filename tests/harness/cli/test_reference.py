"""The page about the commands is current."""

from __future__ import annotations

from pathlib import Path

from harness.cli.app import app
from harness.cli.reference import commands

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "commands.md"


def test_the_committed_page_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == commands(), (
        "docs/reference/commands.md is not what --help says now: run `make reference` "
        "(python scripts/reference.py) and commit it"
    )


def test_every_command_has_its_section() -> None:
    names = [command.name or command.callback.__name__ for command in app.registered_commands]  # type: ignore[union-attr]
    page = commands()
    assert [name for name in names if f"\n## `harness {name}`\n" not in page] == []
    assert len(names) > 10
