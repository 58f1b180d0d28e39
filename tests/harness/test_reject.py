"""Rejection sampling with a real engine, and each rule by itself."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from evals.engine import Completion
from evals.grading.verdict import Verdict
from evals.tasks.task import Question, Task
from harness import config
from harness.config import SFT, Data, Experiment, Reject
from harness.engines.transformers import TransformersEngine
from harness.errors import JobError, UsageError
from harness.flops import shape_of
from harness.policy import Policy, save_policy
from harness.progress import Progress
from harness.recipe import _check_ids, check_experiment, run_experiment
from harness.reject import _too_many, broken_rules, sample_and_keep
from harness.rewards import Attempt
from harness.run import Run
from tests.harness.judged import Judged

QUESTIONS = [Question(str(i), f"{i} plus {i}?", str(2 * i)) for i in range(4)]
TASK = Task("sums", "Sums", "integer", ("train",), "train", lambda split: QUESTIONS, "made here")
GOOD = "<think>two and two make 4</think><answer>4</answer>"


def attempt(text: str, status: Any = "correct", tokens: int = 20) -> Attempt:
    completion = Completion(text, tuple(range(tokens)), (), "length" if tokens >= 50 else "stop")
    return Attempt(Question("q", "2+2?", "4"), "2+2?", completion, Verdict(status), 50)


@pytest.mark.parametrize(
    ("made", "rule"),
    [
        (attempt(GOOD), None),
        (attempt(GOOD, "wrong"), "accuracy"),
        (attempt(GOOD, "grader_error"), "not graded"),
        (attempt(GOOD + "!"), "format"),
        (attempt(GOOD.replace("two and", "二 and")), "language"),
        (attempt(GOOD, tokens=50), "truncated"),
        (attempt(GOOD, tokens=2), "too short"),
    ],
)
def test_the_first_broken_rule_is_named(made: Attempt, rule: str | None) -> None:
    assert broken_rules(Reject(min_tokens=3), [made]) == [rule]


def test_repetition_duplicates_and_plenty_are_turned_away() -> None:
    again = Attempt(
        Question("q", "2+2?", "4"), "", Completion(GOOD, (1, 2) * 20, (), "stop"), Verdict("correct"), 50
    )
    assert broken_rules(Reject(), [again]) == ["repetition"]
    assert _too_many(Reject(), attempt(GOOD.replace(" ", "  ")), {GOOD}) == "duplicate"
    assert _too_many(Reject(), attempt(GOOD), {"another"}) == "enough for its question"
    assert _too_many(Reject(per_question=2), attempt(GOOD), {"another"}) is None


def test_a_judge_sees_what_passed_the_rules(judge: Judged) -> None:
    stage = Reject(keep={"accuracy": 1.0, "judge": 0.3}, judge_rubric="Is it exclaimed?")
    made = [attempt("!!!!!"), attempt("!"), attempt("!!!!!!", "wrong"), attempt("nonsense")]
    assert broken_rules(stage, made) == [None, "judge", "accuracy", "not graded"]
    assert len(judge.asked) == 3
    assert all("Is it exclaimed?" in prompt for prompt in judge.asked)


def sample(folder: Path, policy: Policy, stage: Reject) -> Path:
    experiment = Experiment(
        name="test",
        policy=config.Policy(model="tiny", template="tags"),
        data=Data(train="sums"),
        stages=[stage],
    )
    run = Run(folder, experiment)
    try:
        pairs = [(TASK, question) for question in QUESTIONS]
        engine, shape = TransformersEngine(policy), shape_of(policy.model)
        return sample_and_keep(run, stage, engine, "tags", pairs, Progress(quiet=True), shape)
    finally:
        run.close()


def test_what_is_kept_says_where_it_comes_from(tiny_random_policy: Policy, tmp_path: Path) -> None:
    stage = Reject(samples=3, max_tokens=40, keep={}, per_question=2)
    path = sample(tmp_path / "a", tiny_random_policy, stage)
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    told = json.loads(path.with_suffix(".json").read_text())
    counts, cost = told["rules"], told["cost"]
    assert sum(counts.values()) == 12
    assert counts["kept"] == len(rows) > 0
    assert max(Counter(row["id"].partition("#")[0] for row in rows).values()) <= 2
    assert {"task", "question", "response", "tokens", "model", "stage"} <= set(rows[0])

    samples = [json.loads(line) for line in (tmp_path / "a/data/reject/sums/samples.jsonl").open()]
    assert cost["tokens"] == sum(row["tokens"] for row in samples)
    parameters = shape_of(tiny_random_policy.model).parameters
    assert cost["flops"] > 2 * parameters * cost["tokens"]  # the prompts, and attention
    assert cost["device_seconds"] > 0

    before = path.read_bytes()
    assert sample(tmp_path / "a", tiny_random_policy, stage).read_bytes() == before  # not done again
    assert sample(tmp_path / "b", tiny_random_policy, stage).read_bytes() == before  # the seed's own


def test_nothing_kept_ends_the_run_with_the_counts(tiny_random_policy: Policy, tmp_path: Path) -> None:
    with pytest.raises(JobError, match=r"reject: no response passed the rules.*accuracy \d+"):
        sample(tmp_path, tiny_random_policy, Reject(samples=2, max_tokens=40, keep={"accuracy": 1.0}))


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        ([Reject()], "no stage trains the policy"),
        ([SFT(data="nowhere")], r"sft.data: 'nowhere' is no file and none of tiny-traces"),
        ([SFT(data="reject"), Reject()], r"sft.data: 'reject' is no file"),
        ([SFT(name="one", data="tiny-traces"), SFT(data="one")], r"sft.data: 'one' is no file"),
        (
            [Reject(teacher=config.Policy(model="tiny", template="nonsense")), SFT(data="reject")],
            r"reject.teacher.template: unknown template 'nonsense'; accepted: ",
        ),
        ([Reject(keep={"spelling": 1.0}), SFT(data="reject")], r"reject.keep.spelling: accepted: accuracy"),
        ([Reject(keep={"judge": 0.5}), SFT(data="reject")], r"rewards\.judge: set HARNESS_JUDGE_URL"),
    ],
)
def test_stages_that_cannot_work_are_refused(
    stages: list[Any], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HARNESS_JUDGE_URL", raising=False)
    experiment = Experiment(
        name="x", policy=config.Policy(model="tiny"), data=Data(train="tiny-aime:train"), stages=stages
    )
    with pytest.raises(UsageError, match=message):
        check_experiment(experiment)


def test_two_questions_of_one_id_are_refused() -> None:
    other = Question("0", "something else?", "1")
    with pytest.raises(UsageError, match=r"reject.data: two questions of sums have the id '0'"):
        _check_ids("reject", [(TASK, QUESTIONS[0]), (TASK, QUESTIONS[0]), (TASK, other)])


def test_answers_of_a_policy_that_has_moved_on_are_not_sampled_again(
    tiny_random_policy: Policy, tmp_path: Path
) -> None:
    save_policy(tiny_random_policy, tmp_path / "policy")
    experiment = Experiment(
        name="test",
        policy=config.Policy(model=str(tmp_path / "policy"), template="tags"),
        data=Data(train="tiny-aime:train[:4]"),
        stages=[
            Reject(name="kept", samples=8, max_tokens=60, keep={}, per_question=4),
            SFT(data="kept", steps=1, batch_size=2),
        ],
    )
    assert run_experiment(experiment, tmp_path / "run", Progress(quiet=True)) == "done"
    (tmp_path / "run/status.json").unlink()
    (tmp_path / "run/data/kept.jsonl").unlink()
    with pytest.raises(JobError, match=r"kept\.jsonl is gone"):
        run_experiment(experiment, tmp_path / "run", Progress(quiet=True))
