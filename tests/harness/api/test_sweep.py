"""A sweep from Python: its events while it is at work, its trials as a table, its study for Optuna."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import optuna
import pytest

from harness import GRPO, Experiment, UsageError, sweep
from harness.models.policy import Policy, save_policy


@pytest.mark.slow
def test_a_sweep_is_told_while_it_goes_and_shown_when_it_is_done(
    make_random_policy: Callable[..., Policy], tmp_path: Path
) -> None:
    save_policy(make_random_policy(max_position_embeddings=512), tmp_path / "model")
    wanted = Experiment(
        policy={"model": str(tmp_path / "model"), "template": "tags"},
        data="tiny-math:train[:20]",
        dev="tiny-aime:dev[:2]",
        stages=GRPO(steps=1, completions_per_step=8, group_size=4, max_tokens=8, checkpoint_every=1),
        sweep={
            "trials": 2,
            "sampler": "grid",
            "confirm_seeds": 0,
            "space": {"grpo.learning_rate": [1e-5, 1e-4]},
        },
        tracking={"wandb": "off"},
    )
    told: list[str] = []
    result = sweep(wanted, tmp_path / "sweep", on_event=lambda event: told.append(event.kind), quiet=True)
    assert told.count("complete") == 2
    assert result.trials["number"].tolist() == [0, 1]
    assert set(result.trials["grpo.learning_rate"]) == {1e-5, 1e-4}
    # Nothing is confirmed and a policy of random weights solves nothing: the first trial is the best.
    assert result.winner is not None
    assert result.winner["trial"] == 0
    assert result.best_params == {"grpo.learning_rate": result.trials["grpo.learning_rate"][0]}
    [study] = optuna.get_all_study_summaries(f"sqlite:///{result.study}")
    assert study.n_trials == 2
    assert "grpo.learning_rate" in result._repr_html_()
    assert "<iframe" in result.report._repr_html_()
    told.clear()
    again = sweep(wanted, tmp_path / "sweep", on_event=lambda event: told.append(event.kind), quiet=True)
    assert again.trials.equals(result.trials)
    assert "complete" not in told


def test_an_experiment_without_a_sweep_is_not_swept(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"has no \[sweep\] table"):
        sweep(Experiment(model="tiny", data="tiny-math:train", stages=GRPO()), tmp_path)
