"""A warm start: which settings of a finished sweep are tried first, in which form, and which are refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evals.base.errors import UsageError
from harness.config import Experiment, dump_toml, validate
from harness.sweep.space_table import parse_space
from harness.sweep.summary import SUMMARY, Chosen, Selection, Summary, Trial
from harness.sweep.warm_start import WARM_START, WarmStart, translate
from tests.harness.sweep.conftest import SPACE

Make = Callable[..., Experiment]
RATE, GROUP = "grpo.learning_rate", "grpo.group_size"
FACTOR = 128 / 192
"""Hidden sizes of tiny-small and tiny."""


def write_sweep(folder: Path, experiment: Experiment, trials: list[Trial], **summary: Any) -> Path:
    """The folder of a finished sweep, of tiny-small."""
    folder.mkdir(exist_ok=True)
    raw = experiment.model_dump(mode="json", exclude_none=True)
    raw["policy"] = {"model": "tiny-small"}
    (folder / "experiment.toml").write_text(dump_toml(validate(raw, where="test")))
    done = {"selection": Selection(complete_trials=len(trials)), **summary}
    Summary(name="small", trials=tuple(trials), **done).write(folder / SUMMARY)
    return folder


def trial(number: int, value: float, rate: float, group: int = 4, **more: Any) -> Trial:
    history = ({"step": 10, "value": value, "stderr": 0.01},)
    params = {RATE: rate, GROUP: group, **more.pop("params", {})}
    table = {"number": number, "state": "complete", "value": value, "history": history, "params": params}
    return Trial.model_validate({**table, **more})


def translated(experiment: Experiment) -> WarmStart:
    assert experiment.sweep is not None
    return translate(experiment, parse_space(experiment.sweep.space))


def test_the_best_trials_come_first_with_their_learning_rate_by_width(
    make_experiment: Make, sweep_it: Callable[..., Any], tmp_path: Path
) -> None:
    small = write_sweep(
        tmp_path / "small",
        make_experiment(),
        [trial(0, 0.2, 3e-3), trial(1, 0.6, 3e-4, 8), trial(2, 0.5, 1e-5, 2), trial(3, 0.4, 1e-3, 2)],
    )
    large = make_experiment(trials=4, warm_start=str(small), warm_start_trials=2)
    summary, _ = sweep_it(large, tmp_path / "large")
    tried = [each["params"] for each in summary["trials"]]
    assert tried[0] == {RATE: 1e-3, GROUP: 4}  # the experiment's own
    assert tried[1] == {RATE: pytest.approx(3e-4 * FACTOR), GROUP: 8}
    assert tried[2] == {RATE: 1e-5, GROUP: 2}  # the range's end
    noted = WarmStart.read(tmp_path / "large" / WARM_START)
    assert noted.learning_rate_factor == pytest.approx(FACTOR)
    assert [each.trial for each in noted.proposals] == [1, 2]
    assert "times 0.667" in str(noted)


def test_a_sweep_resumes_without_the_folder_it_began_from(
    make_experiment: Make, sweep_it: Callable[..., Any], tmp_path: Path
) -> None:
    small = write_sweep(tmp_path / "small", make_experiment(), [trial(0, 0.6, 3e-4, 8)])
    raw = {"warm_start": str(small)}
    begun, _ = sweep_it(make_experiment(trials=1, **raw), tmp_path / "large")
    (small / SUMMARY).unlink()
    ended, _ = sweep_it(make_experiment(trials=2, **raw), tmp_path / "large")
    assert len(begun["trials"]) == 1
    assert ended["trials"][1]["params"] == {RATE: pytest.approx(3e-4 * FACTOR), GROUP: 8}


def test_a_confirmed_winner_is_first_and_the_same_settings_count_once(
    make_experiment: Make, tmp_path: Path
) -> None:
    trials = [
        trial(0, 0.6, 3e-4),
        trial(1, 0.6, 3e-4),
        trial(2, 0.5, 1e-3),
        trial(3, 0.9, 1e-3, state="pruned"),
    ]
    small = write_sweep(tmp_path / "small", make_experiment(), trials, winner=Chosen(trial=2))
    assert [each.trial for each in translated(make_experiment(warm_start=str(small))).proposals] == [2, 0]


def test_a_list_of_learning_rates_has_the_nearest(make_experiment: Make, tmp_path: Path) -> None:
    def space(*rates: float) -> dict[str, Any]:
        return {**SPACE, RATE: list(rates)}

    small = write_sweep(tmp_path / "s", make_experiment(space=space(1e-3, 3e-3)), [trial(0, 0.5, 3e-3)])
    large = make_experiment(space=space(5e-4, 1.5e-3, 4e-3), warm_start=str(small))
    assert translated(large).proposals[0].params[RATE] == 1.5e-3  # 2e-3 there


def test_what_the_schema_refuses_here_is_left_out(make_experiment: Make, tmp_path: Path) -> None:
    small = write_sweep(tmp_path / "s", make_experiment(), [trial(0, 0.9, 1e-3, 8), trial(1, 0.5, 1e-3, 2)])
    large = make_experiment(stage={"completions_per_step": 20}, warm_start=str(small))
    assert [each.trial for each in translated(large).proposals] == [1]  # 20 is not a multiple of 8


@pytest.mark.parametrize(
    ("there", "sentence"),
    [
        ({"space": {RATE: SPACE[RATE]}}, f"has another search space: {GROUP} is only here"),
        (
            {"space": {**SPACE, "grpo.beta": [0.0, 0.1]}},
            "has another search space: grpo.beta is only there",
        ),
        (
            {"space": {**SPACE, GROUP: [4, 16]}},
            f"{GROUP} has the choices 4, 16 there and 2, 4, 8 here",
        ),
        ({"space": {**SPACE, RATE: [1e-4, 1e-3]}}, f"{RATE} is a list of choices there and a range here"),
        (
            {"objective": "dev/cons@8"},
            "was searched for dev/cons@8 (maximize), and this sweep is for dev/pass@1",
        ),
    ],
)
def test_another_search_is_refused_in_a_sentence(
    make_experiment: Make, tmp_path: Path, there: dict[str, Any], sentence: str
) -> None:
    small = write_sweep(tmp_path / "small", make_experiment(**there), [trial(0, 0.5, 1e-3)])
    with pytest.raises(UsageError) as refused:
        translated(make_experiment(warm_start=str(small)))
    assert str(refused.value).startswith("sweep.warm_start: ")
    assert sentence in str(refused.value)


def test_a_folder_without_a_finished_sweep_is_refused(
    make_experiment: Make, sweep_it: Callable[..., Any], tmp_path: Path
) -> None:
    large = make_experiment(warm_start=str(tmp_path / "small"))
    with pytest.raises(UsageError, match=r"sweep.warm_start: .*contains no sweep"):
        sweep_it(large, tmp_path / "large")
    assert not (tmp_path / "large").exists()  # so that the same command goes on once it is mended
    write_sweep(tmp_path / "small", make_experiment(), [trial(0, 0.5, 1e-3)], selection=Selection())
    with pytest.raises(UsageError, match="is not at its end"):
        translated(large)
    write_sweep(tmp_path / "small", make_experiment(), [])
    with pytest.raises(UsageError, match="no complete trial"):
        translated(large)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"warm_start_trials": 5}, "warm_start_trials needs warm_start"),
        ({"warm_start": "runs/small", "sampler": "grid"}, "no effect"),
    ],
)
def test_settings_without_effect_are_refused(
    make_experiment: Make, settings: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(UsageError, match=sentence):
        make_experiment(**settings)
