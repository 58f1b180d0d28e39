"""Tables [tasks.NAME]: read, written down with a run, refused in a sentence."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from evals.base.errors import UsageError
from evals.graders.base import Response
from evals.graders.registry import check_grader, grader_of
from evals.templates import render
from harness import config
from harness.train.checks import check_experiment


def experiment(**tasks: Any) -> config.Experiment:
    raw = {"name": "x", "policy": {"model": "tiny"}, "data": {"train": "mine:train"}, "tasks": tasks}
    return config.validate(raw, "x.toml")


def test_a_table_is_written_down_and_read_again(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("q,answer\n" + "".join(f"What is {i}?,{i}\n" for i in range(5)))
    made = experiment(
        mine={
            "source": str(tmp_path / "a.csv"),
            "columns": {"question": "q"},
            "grader": "exact",
            "splits": {"train": "[:3]", "test": "[3:]"},
        }
    )
    again = config.validate(tomllib.loads(config.dump_toml(made)), "again")
    assert again == made
    task, found = config.tasks_of(again.tasks).load_spec("mine:train[1:]")
    assert (task.grader, [each.gold for each in found]) == ("exact", ["1", "2"])


@pytest.mark.parametrize(
    ("name", "table", "told"),
    [
        ("gsm8k", {"source": "a.csv"}, "a task with this name already exists"),
        ("a b", {"source": "a.csv"}, "must start with a letter"),
        ("mine", {}, "tasks.mine.source: give a file"),
        ("mine", {"source": "gsm8k"}, "'gsm8k' is not a source"),
        ("mine", {"splits": {"train": "[:8]"}}, "tasks.mine.splits.train"),
        ("mine", {"source": "a.csv", "grader": "maths"}, "did you mean 'math'"),
        ("mine", {"source": "a.csv", "grader": {"ignore_case": True}}, "grader.kind"),
        ("mine", {"source": "a.csv", "columns": {"qestion": "q"}}, "qestion is not a kind of column"),
        ("mine", {"source": "a.csv", "colums": {}}, "colums"),
    ],
)
def test_what_is_wrong_is_told(name: str, table: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError) as error:
        experiment(**{name: table})
    assert told in str(error.value)


def test_a_grader_has_settings(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("question,answer\nCapital of France?,Paris\n")

    def made(**grader: Any) -> config.Experiment:
        return experiment(mine={"source": str(tmp_path / "a.csv"), "grader": {"kind": "exact", **grader}})

    again = config.validate(tomllib.loads(config.dump_toml(made(ignore_case=True))), "again")
    found = {}
    for each in (made(), again):
        task, [question] = config.tasks_of(each.tasks).load_spec("mine")
        with grader_of(task) as grader:
            [verdict] = grader.grade([(question, Response("paris"))])
        found[task.graded_by] = verdict.status
        check_grader(task)
    assert found == {"exact": "wrong", 'exact {"ignore_case": true}': "correct"}
    task = config.tasks_of(made(ignore_cases=True).tasks).get("mine")
    with pytest.raises(UsageError, match="grader exact: unknown key 'ignore_cases'; did you mean"):
        check_grader(task)


def test_examples_are_drawn_from_a_table_and_never_from_what_is_asked(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("question,answer\n" + "".join(f"What is {i}?,{i}\n" for i in range(5)))
    raw = {
        "name": "x",
        "policy": {"model": "tiny", "template": {"kind": "text", "examples": "mine:train[:2]"}},
        "data": {"train": "mine:train"},
        "tasks": {"mine": {"source": str(tmp_path / "a.csv"), "splits": {"train": "[:3]", "test": "[3:]"}}},
        "stages": [{"steps": 1}],
    }
    for made in (config.validate(raw, "x"), config.validate(raw, "x").model_copy(deep=True)):
        task, found = config.tasks_of(made.tasks).load_spec("mine")
        prompt = render(found[0], task, made.policy.template, None)
        assert prompt.count("What is") == 3
        assert prompt.startswith("What is 0?")
    check_experiment(config.validate(raw | {"eval": {"benchmarks": ["mine"]}}, "x"))
    shown = {
        **raw,
        "eval": {"benchmarks": ["mine"]},
        "policy": {**raw["policy"], "template": {"kind": "text", "examples": "mine:test[:1]"}},
    }
    with pytest.raises(UsageError, match="1 of its questions are asked by mine itself"):
        check_experiment(config.validate(shown, "x"))


def test_a_file_of_tables_need_not_be_an_experiment(tmp_path: Path) -> None:
    path = tmp_path / "t.toml"
    path.write_text('[tasks.mine]\nsource = "a.csv"\n')
    assert list(config.read_tasks(path).own) == ["mine"]
    path.write_text("[eval]\n")
    with pytest.raises(UsageError, match=r"has no \[tasks.NAME\] table"):
        config.read_tasks(path)


def test_the_folder_of_a_run_brings_its_own_tables(tmp_path: Path) -> None:
    assert not config.read_tasks(None, str(tmp_path)).own
    run = tmp_path / "run"
    run.mkdir()
    (run / "experiment.toml").write_text('[tasks.mine]\nsource = "a.csv"\n')
    assert list(config.read_tasks(None, str(run)).own) == ["mine"]
    other = tmp_path / "t.toml"
    other.write_text('[tasks.yours]\nsource = "a.csv"\n')
    assert list(config.read_tasks(other, str(run)).own) == ["yours"]
