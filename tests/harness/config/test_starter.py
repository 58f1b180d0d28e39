"""The first experiment file: it reads, and every default that it shows is the default."""

from __future__ import annotations

import re
from pathlib import Path

from harness.config import read_experiment
from harness.config.starter import starter
from harness.sweep.space_table import parse_space


def test_the_starter_reads_and_its_space_fits(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(starter("mine"))
    experiment = read_experiment([file])
    assert experiment.name == "mine"
    assert experiment.sweep is not None
    parse_space(experiment.sweep.space).check(experiment)


def test_what_stands_behind_a_hash_is_the_default(tmp_path: Path) -> None:
    text = starter("mine")
    plain, told = tmp_path / "plain.toml", tmp_path / "told.toml"
    plain.write_text(text)
    freed = re.sub(r"(?m)^#(\w+ = )", r"\1", text)
    told.write_text(freed)
    assert freed.count("\n#") < text.count("\n#") - 40
    assert read_experiment([told]) == read_experiment([plain])
