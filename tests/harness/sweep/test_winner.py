"""winner.toml: an experiment that trains what the fresh seeds trained, and measures what was measured."""

from __future__ import annotations

from pathlib import Path

from harness import config
from harness.sweep.summary import Summary
from harness.sweep.winner import WINNER, write_winner

EXPERIMENT = {
    "name": "search",
    "seed": 3,
    "policy": {"model": "tiny", "template": "tags"},
    "data": {"train": ["tiny-aime:train"], "dev": ["tiny-aime:dev[:10]"]},
    "stages": [{"kind": "grpo", "steps": 20, "group_size": 8, "completions_per_step": 64}],
    "eval": {"benchmarks": ["tiny-aime"], "samples": 4},
    "sweep": {
        "trials": 4,
        "confirm_steps": 40,
        "space": {
            "grpo.learning_rate": {"low": 1e-5, "high": 1e-3, "log": True},
            "grpo.epsilon.high": {"low": 0.1, "high": 0.4},
        },
    },
}
PARAMS = {"grpo.learning_rate": 0.00012345678, "grpo.epsilon.high": 0.28}


def test_it_trains_as_the_fresh_seeds_did_and_measures_as_the_sweep_did(tmp_path: Path) -> None:
    experiment = config.validate(EXPERIMENT, "test")
    summary = Summary.model_validate({"name": "search", "winner": {"trial": 2, "params": PARAMS}})
    write_winner(experiment, tmp_path, summary)
    written = config.read_experiment([tmp_path / WINNER])
    stage = written.model_dump(mode="json")["stages"][0]
    assert stage["learning_rate"] == PARAMS["grpo.learning_rate"]
    assert stage["epsilon"]["high"] == 0.28
    assert stage["steps"] == 40
    assert written.eval == experiment.eval
    assert (written.name, written.seed) == ("search-winner", 3)
    assert written.sweep is None
    assert written.sweep_of is None
    assert "Trial 2" in (tmp_path / WINNER).read_text()


def test_where_there_is_no_winner_an_earlier_one_goes(tmp_path: Path) -> None:
    experiment = config.validate(EXPERIMENT, "test")
    (tmp_path / WINNER).write_text("old")
    write_winner(experiment, tmp_path, Summary(name="search"))
    assert not (tmp_path / WINNER).exists()
