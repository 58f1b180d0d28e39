"""ArenaHard (Li et al., 2024): 500 hard prompts of real users, answered against GPT-4's answers.

Graded by a judge in both orders (``evals/graders/judge/arena_hard.py``). The data are arena-hard-auto's own
files, in HARNESS_DATA: its questions, and the baseline's answers, which are the questions' golds.
"""

from __future__ import annotations

from typing import Any

from evals.task import Question, Task, TaskError
from evals.tasks.data import read_given

QUESTIONS = "data/arena-hard-v0.1/question.jsonl of lmarena/arena-hard-auto"
ANSWERS = "data/arena-hard-v0.1/model_answer/gpt-4-0314.jsonl of lmarena/arena-hard-auto, or of any baseline"


def _load(_split: str) -> list[Question]:
    rows = read_given("arena_hard", ("question_id", "turns"), f"it is {QUESTIONS}")
    answers = {
        str(row["question_id"]): _answer(row)
        for row in read_given("arena_hard_baseline", ("question_id", "choices"), f"it is {ANSWERS}")
    }
    questions = []
    for row in rows:
        name = str(row["question_id"])
        if name not in answers:
            raise TaskError(f"arena_hard_baseline.jsonl has no answer to question {name}; it is {ANSWERS}")
        info = {"cluster": row.get("cluster", "")}
        questions.append(Question(name, _content(row["turns"], name), answers[name], info))
    return questions


def _answer(row: dict[str, Any]) -> str:
    try:
        turns = row["choices"][0]["turns"]
    except (IndexError, KeyError, TypeError):
        turns = None
    return _content(turns, str(row["question_id"]))


def _content(turns: Any, name: str) -> str:
    """The text of the one turn that a row has."""
    try:
        content = turns[0]["content"]
    except (IndexError, KeyError, TypeError):
        content = None
    # Answers of arena-hard-auto's later files hold their text a level deeper.
    if isinstance(content, dict):
        content = content.get("answer")
    if not isinstance(content, str):
        raise TaskError(f"ArenaHard's question {name}: needs a turn with its 'content' as text")
    return content


TASK = Task(
    name="arena_hard",
    title="ArenaHard",
    grader="arena_hard",
    splits=("test",),
    benchmark="test",
    load=_load,
    source="lmarena/arena-hard-auto v0.1 (HARNESS_DATA)",
)
