"""Right and wrong before and after: counted by hand from scores.json."""

from __future__ import annotations

import json
from pathlib import Path

from reports import comparisons, turned
from reports.collect import collect
from reports.samples import browser


def test_questions_that_turned_are_counted_over_all_seeds(sweep_folder: Path) -> None:
    study = collect([sweep_folder])
    compared = comparisons.compare(study)
    for one in compared.differences:
        rates: dict[str, dict[str, float]] = {}
        for name in ("base", "winner-seed-1", "winner-seed-2"):
            scores = json.loads((sweep_folder / "evals" / name / one.benchmark / "scores.json").read_text())
            rates[name] = {row["id"]: row["correct"] / row["n"] for row in scores["per_question"]}
        before = {key: rate > 0.5 for key, rate in rates["base"].items()}
        after = {key: (rates["winner-seed-1"][key] + rates["winner-seed-2"][key]) / 2 > 0.5 for key in before}
        found = turned.turned(study, one)
        assert set(found.became_right) == {key for key in before if after[key] and not before[key]}
        assert set(found.became_wrong) == {key for key in before if before[key] and not after[key]}
        assert found.right == sum(before[key] and after[key] for key in before)
        assert found.wrong == sum(not before[key] and not after[key] for key in before)


def test_what_turned_is_shown_first_and_every_name_leads_to_it(sweep_folder: Path) -> None:
    study = collect([sweep_folder])
    compared = comparisons.compare(study)
    views = browser.browse(study, compared)
    anchors = browser.anchors(views, study)
    one = next(one for one in compared.differences if one.benchmark == "tiny-aime")
    shown = [view for view in views if view.benchmark == "tiny-aime"]
    assert [view.id for view in shown[:3]] == list(turned.turned(study, one).became_right[:3])
    assert shown[0].turn == "wrong → right"
    links = [
        link for row in turned.table(study, compared, anchors).rows for cell in row for link in cell.links
    ]
    ids = {f"#{view.anchor}" for view in views}
    assert {address for name, address in links if not name.endswith(" more")} <= ids
    assert len({view.anchor for view in views}) == len(views)
