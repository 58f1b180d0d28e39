"""AlpacaEval's length-controlled win rate: a judge that likes long answers must not be believed."""

from __future__ import annotations

import json
import math
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from evals.duel import Duel
from evals.graders.judge.alpaca_eval import AlpacaEvalGrader
from evals.graders.judge.client import Judge
from evals.recorded import score_file
from evals.scores import read_scores
from evals.stats.metrics import QuestionStats
from evals.stats.pairwise import win_rate
from evals.task import TaskError
from evals.tasks.length_control import _package, length_controlled
from evals.tasks.registry import load_spec
from tests.evals.judging import Choice, judge_server, says

pytestmark = pytest.mark.skipif(find_spec("alpaca_eval") is None, reason="needs the extra judge")
QUESTIONS = 200
QUICK = (0.01,)


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """AlpacaEval's files in miniature: baseline answers of 300 characters and judgements of gamed ones."""
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path))
    rng = np.random.default_rng(0)
    baseline = [{"instruction": f"Tell {i}.", "output": "b" * 300} for i in range(QUESTIONS)]
    difficulty = rng.normal(size=QUESTIONS)
    gamed = [
        {
            "model": name,
            "index": i,
            "instruction_difficulty": difficulty[i],
            "std_delta_len": shift + 0.3 * rng.normal(),
            "not_gamed_baseline": False,
            "preference": 1 / (1 + math.exp(shift)),
        }
        for name, shift in (("concise", 1.0), ("verbose", -1.0))
        for i in range(QUESTIONS)
    ]
    for name, rows in (("alpaca_eval", baseline), ("alpaca_eval_gamed", gamed)):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def likes_length(body: dict[str, Any]) -> Choice:
    """As good as the baseline's (a little better: odds e^0.2), and e-fold odds for each 200 characters."""
    first, second = (
        part.split('"""')[0] for part in body["messages"][-1]["content"].split('"output": """')[1:]
    )
    quality = 0.2 if first.startswith("r") else -0.2
    odds = quality + (len(first) - len(second)) / 200
    return says("m", m=-math.log1p(math.exp(-odds)), M=-math.log1p(math.exp(odds)))


def test_length_control_corrects_a_judge_that_likes_length(data: Path) -> None:
    lengths = np.random.default_rng(1).integers(300, 900, QUESTIONS)
    file = data / "rows.jsonl"
    file.write_text(
        "".join(json.dumps({"id": str(i), "response": "r" * int(n)}) + "\n" for i, n in enumerate(lengths))
    )
    with judge_server(likes_length) as url, AlpacaEvalGrader(Judge(url, "long"), QUICK) as grader:
        [scores] = score_file(file, "alpaca_eval", data / "out", grader)
    told = scores.to_json()
    fair = 1 / (1 + math.exp(-0.2))
    assert told["win_rate"]["value"] > 0.75
    assert told["win_rate"]["value"] == pytest.approx(told["pass@1"]["value"])
    controlled = told["length_controlled"]
    assert controlled["value"] == pytest.approx(fair, abs=0.05)
    assert controlled["ci95"][0] <= controlled["value"] <= controlled["ci95"][1]
    assert 0 < controlled["stderr"] < 0.05
    assert read_scores(data / "out/alpaca_eval/scores.json").to_json() == told

    # The package on what a user of it would hand over: whole answers.
    rows = pd.DataFrame(
        {
            "index": i,
            "instruction": f"Tell {i}.",
            "output_1": "b" * 300,
            "output_2": "r" * int(lengths[i]),
            "generator_1": "gpt4_1106_preview",
            "generator_2": "mine",
            "annotator": "long",
            "preference": 1 + question.duels[0].share,
        }
        for i, question in enumerate(scores.questions)
    )
    package = _package()
    gamed = data / "df_gamed.csv"
    pd.read_json(data / "alpaca_eval_gamed.jsonl", lines=True).to_csv(gamed, index=False)
    vars(package)["hf_hub_download"] = lambda **_: str(gamed)
    theirs = package.get_length_controlled_winrate(rows, save_weights_dir=None)
    assert controlled["value"] == pytest.approx(theirs["length_controlled_winrate"] / 100, abs=1e-9)
    assert told["win_rate"]["value"] == pytest.approx(theirs["win_rate"] / 100, abs=1e-9)


def test_too_few_answers_and_one_length_throughout_are_not_controlled(data: Path) -> None:
    file = data / "rows.jsonl"
    file.write_text("".join(json.dumps({"id": str(i), "response": "r" * 400}) + "\n" for i in range(30)))
    with judge_server(likes_length) as url, AlpacaEvalGrader(Judge(url, "long"), QUICK) as grader:
        [scores] = score_file(file, "alpaca_eval", grader=grader)
    assert scores.length_controlled is None
    task, questions = load_spec("alpaca_eval")
    assert length_controlled(task, questions, scores.questions[:5]) is None


@pytest.mark.parametrize("share", [1.0, 0.0])
def test_a_judge_who_always_says_the_same_leaves_an_interval(data: Path, share: float) -> None:
    task, questions = load_spec("alpaca_eval")
    lengths = np.random.default_rng(3).integers(100, 900, QUESTIONS)
    measured = [
        QuestionStats(question.id, 1, int(share), duels=(Duel(share, 1.0, int(length)),))
        for question, length in zip(questions, lengths, strict=True)
    ]
    found = length_controlled(task, questions, measured)
    rate = win_rate(measured)
    assert found is not None
    assert rate is not None
    low, high = found["ci95"]
    assert low <= found["value"] <= high
    assert found["stderr"] > 0
    # As wide as that of the plain win rate, give or take: the same imagined questions stand behind both.
    assert 0.5 < (high - low) / (rate["ci95"][1] - rate["ci95"][0]) < 2


def test_what_is_missing_is_told_before_anything_is_judged(data: Path) -> None:
    (data / "alpaca_eval_gamed.jsonl").unlink()
    with pytest.raises(TaskError, match="harness data fetch alpaca_eval_gamed"):
        load_spec("alpaca_eval")
