"""The page about every command, made from what their --help prints."""

from __future__ import annotations

import typer.cli
import typer.main

from harness.cli.app import app
from harness.config.reference import unread

NOTE = "Made from each command's `--help` by `make reference`."


def commands() -> str:
    """What each command is for, then a section for each: usage, arguments, options."""
    command = typer.main.get_command(app)
    context = typer.Context(command, info_name="harness", **app.info.context_settings or {})
    text = typer.cli.get_docs_for_click(obj=command, ctx=context, name="harness", title="Commands")
    # Typer cuts the list of commands at 45 characters a line: it is written anew, with whole sentences.
    top, _, listed = text.partition("**Commands**:")
    title, _, about = top.partition("\n\n")
    sections = listed[listed.index("\n## ") :].strip().split("\n## ")
    purposes = [section.partition("\n\n")[2].partition("\n\n")[0] for section in sections]
    names = [section.removeprefix("## ").partition("\n")[0] for section in sections]
    rows = [f"| {name} | {purpose} |" for name, purpose in zip(names, purposes, strict=True)]
    table = "\n".join(["| command | does |", "|---|---|", *rows])
    return unread(f"{title}\n\n{NOTE}\n\n{about}{table}\n\n" + "\n\n## ".join(sections)).rstrip() + "\n"
