"""AlpacaEval's length-controlled win rate, computed by the alpaca_eval package itself.

Judges like long answers. The package fits a logistic model of the judge's preference on who answered, the
difference in length and the question's difficulty, and predicts the win rate had both answers been equally
long (Dubois et al. 2024, arXiv:2404.04475). The fit is held to a baseline that was told to be brief or
verbose; those judgements are a file of the benchmark (``GAMED``).
"""

from __future__ import annotations

import importlib
import importlib.util
import math
import sys
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
from scipy import stats

from evals.graders.judge.alpaca_eval import package_folder
from evals.stats.metrics import QuestionStats
from evals.stats.tables import FigureTable
from evals.task import Question, Task
from evals.tasks.data import DataFile, read

REPOSITORY = "tatsu-lab/alpaca_eval"
REVISION = "17853a40d13d6685f232795138d844a92b4089c6"
COLUMNS = ("index", "instruction_difficulty", "std_delta_len", "not_gamed_baseline", "preference")
GAMED = DataFile(
    name="alpaca_eval_gamed",
    repo=REPOSITORY,
    revision=REVISION,
    split="gamed",
    columns=("model", *COLUMNS),
    count=1610,
    paths=("df_gamed.csv",),
)
GLM = "length_controlled_v1"
GROUPS = 10
"""Groups of questions that are left out in turn for the standard error: a fit takes most of a second."""


IMAGINED = (1.0, 1.5, 2.0)
"""Preferences of imagined questions, answered at the baseline's length: lost, even, won, which come to
``statistics.PSEUDO_QUESTIONS`` lost and as many won."""
LENGTH = 1000


def length_controlled(
    task: Task, questions: Sequence[Question], measured: Sequence[QuestionStats]
) -> FigureTable | None:
    """The length-controlled win rate of AlpacaEval's duels; None for other tasks and where it has no meaning.

    ``value`` is the package's, as a fraction of 1. ``stderr`` is a delete-a-group jackknife over questions
    with its t interval (the package's own standard error is the spread of its predictions, which leaves
    out that the model was fitted). Among the questions there are then ``IMAGINED`` ones, as in ``win_rate``:
    a judge who always says the same must not make an interval without width. It has no meaning for fewer
    than two judged responses to a group, or where all differ from the baseline's by the same length.

    Raises:
        TaskError: the package or its data are not there.
    """
    if task.grader != "alpaca_eval":
        return None
    golds = {question.id: len(question.gold) for question in questions}
    rows = pd.DataFrame(
        {
            "index": int(each.id),
            "preference": 1 + duel.share,
            # The package takes nothing but the lengths of the answers.
            "output_1": "." * golds[each.id],
            "output_2": "." * duel.length,
        }
        for each in measured
        for duel in each.duels
    )
    if len(rows) < 2 * GROUPS or (rows["output_1"].str.len() - rows["output_2"].str.len()).std() == 0:
        return None
    with tempfile.TemporaryDirectory() as folder:
        gamed = Path(folder) / "df_gamed.csv"
        pd.DataFrame(read(GAMED)).to_csv(gamed, index=False)
        value = _fit(rows, gamed)
        imagined = pd.DataFrame(
            {"index": index, "preference": preference, "output_1": "." * LENGTH, "output_2": "." * LENGTH}
            for index, preference in zip(rows["index"], IMAGINED, strict=False)
        )
        every = pd.concat([rows, imagined], ignore_index=True)
        # The imagined ones fall into different groups: leaving out a won one and a lost one must differ.
        group = np.append(rows["index"].rank(method="dense").astype(int) % GROUPS, range(len(imagined)))
        parts = np.array([_fit(every[group != left_out], gamed) for left_out in range(GROUPS)])
    stderr = math.sqrt((GROUPS - 1) / GROUPS * float(((parts - parts.mean()) ** 2).sum()))
    half = float(stats.t.ppf(0.975, GROUPS - 1)) * stderr
    low, high = parts.mean() - half, parts.mean() + half
    return {
        "value": value,
        "stderr": stderr,
        "ci95": [min(value, max(0.0, float(low))), max(value, min(1.0, float(high)))],
        "model": GLM,
    }


def require() -> None:
    """Raises ``TaskError`` where what the length-controlled win rate takes is not there."""
    package_folder()
    read(GAMED)


def _fit(rows: pd.DataFrame, gamed: Path) -> float:
    """The package's length-controlled win rate of ``rows``, as a fraction of 1."""
    model = _package()
    # The package asks the hub for whatever is newest there; the fit is held to one commit.
    vars(model)["hf_hub_download"] = lambda **_: str(gamed)
    named = rows.assign(annotator="judge", generator_1="baseline", generator_2="model")
    import sklearn

    with sklearn.config_context(), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of scikit-learn 1.10, which the extra excludes
        figures = model.get_length_controlled_winrate(
            named.reset_index(drop=True), GLM, save_weights_dir=None, is_warn_extreme_changes=False
        )
    return float(figures["length_controlled_winrate"]) / 100


def _package() -> ModuleType:
    """The package's module of length control."""
    package_folder()
    name = "pkg_resources"
    absent = importlib.util.find_spec(name) is None
    if absent:
        # The package imports it for two functions that are not used here; setuptools dropped it with 82.
        sys.modules[name] = ModuleType(name)
    try:
        return importlib.import_module("alpaca_eval.metrics.glm_winrate")
    finally:
        if absent:
            del sys.modules[name]
