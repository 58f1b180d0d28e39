"""Writes what the documentation takes from the code: `make reference` runs this."""

from __future__ import annotations

from pathlib import Path

from harness.cli.reference import commands
from harness.config.reference import json_schema_text, markdown
from harness.plan.sizes import in_page

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "reference"

for name, text in {
    "config.md": markdown(),
    "experiment.schema.json": json_schema_text(),
    "commands.md": commands(),
}.items():
    (FOLDER / name).write_text(text, encoding="utf-8")

GPUS = FOLDER.parent / "gpus.md"
GPUS.write_text(in_page(GPUS.read_text(encoding="utf-8")), encoding="utf-8")
