"""What the page says of a sweep of which no benchmark was measured."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.sweep.summary import Summary
from reports import prose
from reports.comparisons import Comparisons
from reports.study import Study, Sweep
from reports.sweep_prose import headline, sentences


def sweep(state: str = "done", **changes: Any) -> Sweep:
    """A sweep of two trials, the second of which was chosen without confirmation."""
    trials = [
        {"number": number, "params": {}, "state": "complete", "value": value, "seconds": 30.0}
        for number, value in enumerate((0.25, 0.75))
    ]
    chosen = {"trial": 1, "params": {}, "selection": {"value": 0.75, "stderr": 0.04}, "confirmation": []}
    selection = {"candidate": chosen, "complete_trials": 2, "expected_luck": 0.023}
    told = {"name": "x", "objective": "dev/pass@1", "direction": "maximize", "trials": trials}
    told |= {"selection": selection, "winner": chosen, **changes}
    return Sweep("k", Path(), Summary.model_validate(told), {}, None, state, {}, {})


def test_the_best_trial_is_named_and_that_it_was_not_confirmed() -> None:
    best = "Trial 1 did best, 75.0% on the dev questions, and was not confirmed"
    assert headline([sweep()]) == f"{best}; no benchmark was measured."
    luck = "of 2 equally good trials the best would look 2.3 points too good by luck"
    assert list(sentences(sweep()))[-1] == f"{best}; {luck}."


def test_while_it_runs_nothing_is_best_yet() -> None:
    assert headline([sweep("running")]) == "Training so far; nothing has been evaluated yet."
    nothing = replace(sweep(), summary=Summary.model_validate({"name": "x", "objective": "dev/pass@1"}))
    assert headline([nothing]) == "Training so far; nothing has been evaluated yet."


def test_a_sweep_that_still_runs_has_not_chosen_yet() -> None:
    def told(state: str) -> str:
        undecided = sweep(state, selection={}, winner=None)
        return prose.headline(Study(sweeps=[undecided]), Comparisons((), ()))

    assert told("running") == "Training so far; nothing has been evaluated yet."
    assert told("done") == "The sweep chose no winner."
