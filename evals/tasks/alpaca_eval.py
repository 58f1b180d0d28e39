"""AlpacaEval 2.0 (Dubois et al., 2024): 805 instructions, answered against GPT-4 Turbo's answers.

A judge prefers one of two answers (``evals/graders/judge/alpaca_eval.py``); the headline is the win rate had
both been equally long (``evals/tasks/length_control.py``). The question's gold is the baseline's answer.
"""

from __future__ import annotations

from evals.task import Question, Task
from evals.tasks import length_control
from evals.tasks.data import DataFile, read

BASELINE = DataFile(
    name="alpaca_eval",
    repo=length_control.REPOSITORY,
    revision=length_control.REVISION,
    split="eval",
    paths=("alpaca_eval_gpt4_baseline.json",),
    columns=("instruction", "output"),
    count=805,
)
FILES = (BASELINE, length_control.GAMED)


def _load(_split: str) -> list[Question]:
    length_control.require()  # before anything is sampled and judged, not after
    return [Question(str(i), row["instruction"], row["output"]) for i, row in enumerate(read(BASELINE))]


TASK = Task(
    name="alpaca_eval",
    title="AlpacaEval 2.0",
    grader="alpaca_eval",
    splits=("test",),
    benchmark="test",
    load=_load,
    source=BASELINE.source,
)
