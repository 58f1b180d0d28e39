"""Rejection sampling with a real engine, and each rule by itself."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from evals.audit import audit_file
from evals.base.errors import JobError, UsageError
from evals.base.progress import Progress
from evals.engine import Completion, Group, Request, Sampling
from evals.graders.base import Verdict
from evals.recorded import score_file
from evals.rollout import Rollout
from evals.task import Question, Task
from evals.tasks import gpqa
from harness import config
from harness.config import SFT, Data, Experiment, Reject
from harness.engines.hf import TransformersEngine
from harness.models.flops import shape_of
from harness.models.policy import Policy, save_policy
from harness.train.checks import _check_ids, check_experiment
from harness.train.pipeline import run_experiment
from harness.train.questions import Asked
from harness.train.rejection import _too_many, broken_rules, sample_and_keep
from harness.train.run_dir import Run
from tests.harness.judged import Judged

QUESTIONS = [Question(str(i), f"{i} plus {i}?", str(2 * i)) for i in range(4)]
TASK = Task("sums", "Sums", "integer", ("train",), "train", lambda split: QUESTIONS, "made here")
GOOD = "<think>two and two make 4</think><answer>4</answer>"


def attempt(text: str, status: Any = "correct", tokens: int = 20) -> Rollout:
    completion = Completion(text, tuple(range(tokens)), (), "length" if tokens >= 50 else "stop")
    return Rollout(Question("q", "2+2?", "4"), "2+2?", completion, Verdict(status), 50)


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
def test_the_first_broken_rule_is_named(made: Rollout, rule: str | None) -> None:
    assert broken_rules(Reject(min_tokens=3), [made]) == [rule]


def test_repetition_duplicates_and_plenty_are_turned_away() -> None:
    again = Rollout(
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
        ([SFT(data="nowhere")], r"sft.data: 'nowhere' is not a file, .* or one of tiny-traces"),
        ([SFT(data="reject"), Reject()], r"sft.data: 'reject' is not a file"),
        ([SFT(name="one", data="tiny-traces"), SFT(data="one")], r"sft.data: 'one' is not a file"),
        (
            [Reject(teacher=config.Policy(model="tiny", template="nonsense")), SFT(data="reject")],
            r"reject.teacher.template: unknown template 'nonsense'; accepted: ",
        ),
        (
            [Reject(keep={"spelling": 1.0}), SFT(data="reject")],
            r"reject.keep.spelling: unknown reward 'spelling'; accepted: accuracy",
        ),
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
        _check_ids("reject", Asked([(TASK, QUESTIONS[:1]), (TASK, [QUESTIONS[0], other])]))


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


def test_a_teacher_is_not_loaded_for_answers_that_are_there(
    tiny_random_policy: Policy, tmp_path: Path
) -> None:
    save_policy(tiny_random_policy, tmp_path / "policy")
    save_policy(tiny_random_policy, tmp_path / "teacher")
    stages = [
        Reject(
            teacher=config.Policy(model=str(tmp_path / "teacher"), template="tags"),
            samples=8,
            max_tokens=60,
            keep={},
        ),
        SFT(data="reject", steps=1, batch_size=2),
    ]
    experiment = Experiment(
        name="test",
        policy=config.Policy(model=str(tmp_path / "policy"), template="tags"),
        data=Data(train="tiny-aime:train[:4]"),
        stages=stages,
    )
    assert run_experiment(experiment, tmp_path / "run", Progress(quiet=True)) == "done"
    (tmp_path / "run/status.json").unlink()
    shutil.rmtree(tmp_path / "teacher")
    assert run_experiment(experiment, tmp_path / "run", Progress(quiet=True)) == "done"


ROW = {
    "Record ID": "r1",
    "Question": "Which?",
    "Correct Answer": "right",
    "Incorrect Answer 1": "w1",
    "Incorrect Answer 2": "w2",
    "Incorrect Answer 3": "w3",
}


class Knowing(TransformersEngine):
    """Always names the right option, by the letter that it has in the prompt."""

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[Group]:
        found = []
        for request in requests:
            letter = next(letter for letter in "ABCD" if f"({letter}) right" in request.prompt)
            text = f"<think>It is right.</think><answer>({letter})</answer>"
            found.append(Group((1,), (Completion(text, (1, 2, 3), (-1.0,) * 3, "stop"),) * request.n))
        return found


def test_shuffled_options_are_kept_in_the_order_that_was_asked(
    tiny_random_policy: Policy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evals.tasks.gpqa.read", lambda file: [ROW])
    question = gpqa.arrange(ROW)
    assert len({gpqa.reorder(question, k).gold for k in range(6)}) > 1
    stage = Reject(samples=6, max_tokens=9, keep={"accuracy": 1.0}, per_question=6)
    experiment = Experiment(
        name="test", policy=config.Policy(model="tiny"), data=Data(train="gpqa_diamond:test"), stages=[stage]
    )
    run = Run(tmp_path, experiment)
    pairs = [(gpqa.TASK, question)]
    path = sample_and_keep(
        run, stage, Knowing(tiny_random_policy), "plain", pairs, Progress(quiet=True), None
    )
    run.close()
    kept = [json.loads(line) for line in path.read_text().splitlines()]
    assert len(kept) == len({row["response"] for row in kept}) > 1
    for row in kept:
        letter = row["response"].partition("(")[2][0]
        assert f"({letter}) right" in row["question"]

    (samples,) = tmp_path.glob("data/reject/*/samples.jsonl")
    assert audit_file(samples, "gpqa_diamond:test", against="labels").rows == ()
    (scores,) = score_file(samples, "gpqa_diamond:test")
    assert scores.pass_at_1().value == 1.0
    samples.rename(tmp_path / "recorded.jsonl")  # somebody else's answers the order of sample 0
    (scores,) = score_file(tmp_path / "recorded.jsonl", "gpqa_diamond:test")
    assert scores.pass_at_1().value < 1.0


def test_lost_token_ids_are_sampled_again(
    tiny_random_policy: Policy, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stage = Reject(samples=3, max_tokens=40, keep={}, per_question=2)
    path = sample(tmp_path, tiny_random_policy, stage)
    before, tokens = path.read_bytes(), tmp_path / "data/reject/sums/tokens.jsonl"
    rows = tokens.read_bytes().splitlines(keepends=True)
    for left in (rows[:5], rows[3:], []):
        path.unlink()
        if left:
            tokens.write_bytes(b"".join(left))
        else:
            tokens.unlink()
        assert sample(tmp_path, tiny_random_policy, stage).read_bytes() == before
        assert sorted(tokens.read_bytes().splitlines(keepends=True)) == sorted(rows)
        assert f"the token ids of {12 - len(left)} samples are lost" in caplog.text
