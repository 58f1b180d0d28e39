"""Where runs are heading: progress in FLOPs, budgets, hold-outs, and the answer to "worth going on?"."""

from __future__ import annotations

import math
import re

import numpy as np
import pandas as pd
import pytest

from reports.outlook import Budget, Track, horizon_of, planned, sentence


def table(values: list[float], **columns: float) -> pd.DataFrame:
    """A dev evaluation every so many steps, a row for each step."""
    every = 10
    steps = range(every * (len(values) - 1) + 1)
    frame = pd.DataFrame({"step": list(steps), "stage": "grpo", **columns})
    frame["dev/pass@1"] = [values[s // every] if s % every == 0 else math.nan for s in steps]
    frame["dev/stderr"] = [0.01 if s % every == 0 else math.nan for s in steps]
    return frame


RISING = [0.2 + 0.05 * n for n in range(7)]
FLAT = [0.2, 0.45, 0.5, 0.501, 0.499, 0.5, 0.5, 0.501, 0.499, 0.5, 0.5, 0.5, 0.499, 0.5]
COST = {"flops/rollout": 1e12, "flops/update": 3e12, "seconds/rollout": 30.0, "seconds/update": 60.0}


def test_a_rising_run_is_worth_going_on_and_a_flat_one_is_not() -> None:
    rising, flat = (Track(table(values, **COST), "dev/pass@1") for values in (RISING, FLAT))
    more = rising.outlook(90, worth=0.01)
    assert (more.go_on, more.axis, more.step, more.horizon) == ("yes", "FLOPs", 60, 90)
    assert more.value == 0.5
    assert more.interval95[0] < more.interval80[0] < more.forecast < more.interval80[1] < more.interval95[1]
    assert more.device_hours == pytest.approx(30 * 90 / 3600)
    assert more.gain_per_device_hour == pytest.approx(more.gain / 0.75)
    assert flat.outlook(140, worth=0.05).go_on == "no"
    assert rising.outlook(60, worth=0.01).go_on == "no"  # there is nowhere to go
    told = sentence(more)
    assert re.match(r"dev/pass@1 is 50% at step 60, \d\d\.?\d?% by its fitted curve, and heading for ", told)
    assert "per device-hour; going on is worth it (" in told


def test_budgets_are_counted_in_what_steps_cost() -> None:
    track = Track(table(RISING, devices=2.0, **COST), "dev/pass@1")
    assert track.further(Budget(steps=25)) == 85
    assert track.further(Budget(device_hours=1.0)) == 60 + 20
    assert track.further(Budget(flops=4e13)) == 70
    bare = Track(table(RISING), "dev/pass@1")
    assert bare.axis == "steps"
    assert bare.outlook(90, 0.01).device_hours is None
    for budget in (Budget(device_hours=1.0), Budget(flops=1.0)):
        with pytest.raises(ValueError, match="give the budget in steps"):
            bare.further(budget)


def test_progress_is_in_flops_where_steps_differ_in_cost() -> None:
    frame = table(RISING, **COST)
    frame["flops/update"] = np.linspace(1e12, 9e12, len(frame))
    track = Track(frame, "dev/pass@1")
    same = Track(table(RISING, **COST), "dev/pass@1")
    assert track.posterior(90).last < same.posterior(90).last == pytest.approx(60 / 90)
    frame.loc[5, ["flops/rollout", "flops/update"]] = math.nan  # one that did not log it: no sum to go by
    assert Track(frame, "dev/pass@1").axis == "steps"


def test_what_came_later_is_held_out() -> None:
    found = Track(table(RISING), "dev/pass@1", until=30).outlook(60, 0.01)
    assert (found.step, found.evaluations) == (30, 4)
    assert [each.step for each in found.held] == [40, 50, 60]
    assert all(each.interval95[0] < each.value < each.interval95[1] for each in found.held)
    with pytest.raises(KeyError):
        Track(table(RISING), "dev/pass@1", until=-1)


def test_each_stage_has_a_curve_of_its_own() -> None:
    first, second = table([0.1, 0.1, 0.1]), table(RISING)
    second = second.assign(stage="later", step=second["step"] + 21)
    track = Track(pd.concat([first, second]), "dev/pass@1")
    assert track.origin == 20
    assert list(track.values) == RISING


def test_the_band_begins_at_the_newest_evaluation_and_stays_a_share() -> None:
    band = Track(table([0.5, 0.7, 0.85, 0.95]), "dev/pass@1").band(90)
    assert (band["step"].iloc[0], band["step"].iloc[-1]) == (30, 90)
    assert band[["low", "middle", "high"]].max().max() == 1.0
    assert (band["low"] <= band["middle"]).all()


def test_where_to_look() -> None:
    assert planned({"stages": [{"steps": 20}, {"steps": 40}]}) == 60
    assert planned({"stages": [{"steps": 20}, {"kind": "reject"}]}) is None
    assert planned({}) is None
    assert planned({"stages": [{"steps": 20}], "budget": {"measure": "flops", "limit": 1e12}}) is None
    assert (horizon_of(30, 60), horizon_of(60, 60), horizon_of(60, None)) == (60, 90, 90)
