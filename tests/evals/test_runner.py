"""Sampling goes on after any kill and ends as if nothing had happened."""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evals import protocols, regrading
from evals.engine import Completion, Group, Request, Sampling, sample_seed
from evals.graders.base import Response, Verdict
from evals.graders.choice import ChoiceGrader
from evals.graders.integer import IntegerGrader
from evals.pace import Advance
from evals.protocols import Protocol
from evals.records import decode_ids, read_samples
from evals.runner import sample_benchmark
from evals.scores import Scores, read_scores
from evals.task import Question, Task, TaskError
from evals.tasks import gpqa


@dataclass
class DiceEngine:
    """Completions that depend on the seed and, as rounding does on real engines, on the whole batch."""

    model_hash: str = "dice"
    name: str = "transformers"
    tokenizer: Any = None
    fail_after: int = 10**9
    calls: list[list[Request]] = field(default_factory=list)

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[Group]:
        if len(self.calls) >= self.fail_after:
            raise KeyboardInterrupt
        self.calls.append(list(requests))
        batch = sample_seed(0, "".join(request.prompt for request in requests)) % 97
        return [
            Group((1,), tuple(self._one(request.seed + i, batch, sampling) for i in range(request.n)))
            for request in requests
        ]

    def _one(self, seed: int, batch: int, sampling: Sampling) -> Completion:
        rng = np.random.default_rng([seed, batch])
        length = int(rng.integers(1, 6))
        ids = tuple(int(token) for token in rng.integers(0, 70_000, length))
        text = f"<think>é\u2028 {ids}</think> {rng.integers(0, 3)}"
        return Completion(text, ids, (0.0,) * length, "length" if length == sampling.max_tokens else "stop")


class LastWord:
    """Grades the last word: "2" is unreadable, everything else is compared with the gold."""

    isolation = "none needed"

    def grade(self, items: Sequence[tuple[Question, Response]]) -> list[Verdict]:
        words = [(question, response.text.split()[-1]) for question, response in items]
        return [
            Verdict("unparsed") if word == "2" else Verdict("correct" if word == q.gold else "wrong", word)
            for q, word in words
        ]

    def vote_classes(self, question: Question, answers: Sequence[str | None]) -> list[int | None]:
        seen: dict[str, int] = {}
        return [None if answer is None else seen.setdefault(answer, len(seen)) for answer in answers]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None


QUESTIONS = [Question(f"q{i}", f"What is {i} modulo 2?", str(i % 2)) for i in range(7)]
TASK = Task("dice", "Dice", "integer", ("test",), "test", lambda split: QUESTIONS, "made up", samples=4)
PROTOCOL = Protocol("mine", Sampling(max_tokens=5), template="tags", samples=6, seed=3)


def run(
    folder: Path, engine: DiceEngine | None = None, protocol: Protocol = PROTOCOL, block: int = 13
) -> Scores:
    return sample_benchmark(
        engine or DiceEngine(), TASK, QUESTIONS, protocol, folder, LastWord(), block=block
    )


def content(folder: Path) -> tuple[list[dict[str, Any]], str, str]:
    """Everything an evaluation wrote but the measured seconds."""
    rows = [json.loads(line) for line in (folder / "samples.jsonl").read_text().split("\n") if line]
    for row in rows:
        assert row.pop("seconds") >= 0
    return rows, (folder / "tokens.jsonl").read_text(), (folder / "scores.json").read_text()


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    run(folder)
    return folder


def test_every_sample_is_kept_with_its_tokens_and_finish_reason(tmp_path: Path) -> None:
    engine = DiceEngine()
    progress: list[Advance] = []
    scores = sample_benchmark(
        engine,
        TASK,
        QUESTIONS,
        PROTOCOL,
        tmp_path,
        LastWord(),
        progress.append,
        block=13,
    )
    samples = list(read_samples(tmp_path / "samples.jsonl"))
    assert [(s.id, s.sample) for s in samples] == [(q.id, i) for q in QUESTIONS for i in range(6)]
    ids = {
        (row["id"], row["sample"]): decode_ids(row["token_ids"])
        for row in map(json.loads, (tmp_path / "tokens.jsonl").read_text().splitlines())
    }
    assert all(len(ids[s.id, s.sample]) == s.tokens for s in samples)
    assert all(str(ids[s.id, s.sample]) in s.response for s in samples)
    assert {s.finish_reason for s in samples} == {"stop", "length"}
    assert [len(call) for call in engine.calls] == [2, 2, 2, 1]  # 13 // 6 questions a block
    assert engine.calls[0][1] == Request(
        "User: What is 1 modulo 2?\nAssistant:", 6, sample_seed(3, "dice/q1"), logprobs=False
    )
    assert progress[0] == Advance(0, 42, 0, most=PROTOCOL.sampling.max_tokens)
    assert (progress[-1].done, progress[-1].tokens) == (42, sum(s.tokens or 0 for s in samples))
    assert scores.pass_at_1().value == pytest.approx(np.mean([s.correct for s in samples]))
    assert read_scores(tmp_path / "scores.json") == scores


def test_a_finished_evaluation_samples_nothing_again(finished: Path) -> None:
    engine = DiceEngine()
    before = content(finished)
    run(finished, engine)
    assert engine.calls == []
    assert content(finished) == before


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(cut=st.floats(0, 1), cut_tokens=st.floats(0, 1))
def test_files_cut_at_any_byte_end_up_the_same(
    finished: Path, tmp_path_factory: pytest.TempPathFactory, cut: float, cut_tokens: float
) -> None:
    folder = tmp_path_factory.mktemp("cut")
    (folder / "key.json").write_bytes((finished / "key.json").read_bytes())
    samples = (finished / "samples.jsonl").read_bytes()
    samples = samples[: round(cut * len(samples))]
    (folder / "samples.jsonl").write_bytes(samples)
    # Token rows are written first: the file holds at least those of the samples.
    lines = (finished / "tokens.jsonl").read_bytes().splitlines(keepends=True)
    whole = sum(len(line) for line in lines[: samples.count(b"\n")])
    tokens = b"".join(lines)
    (folder / "tokens.jsonl").write_bytes(tokens[: whole + round(cut_tokens * (len(tokens) - whole))])
    run(folder)
    assert content(folder) == content(finished)


def test_an_interrupted_call_goes_on_with_the_next_block(finished: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, DiceEngine(fail_after=2))
    assert len(list(read_samples(tmp_path / "samples.jsonl"))) == 24
    engine = DiceEngine()
    run(tmp_path, engine)
    assert len(engine.calls) == 2
    assert content(tmp_path) == content(finished)


def test_kill_minus_nine(finished: Path, tmp_path: Path) -> None:
    """A process killed in the middle of its work, by the real signal."""
    code = (
        "import os, signal, sys, test_runner as t\n"
        "from pathlib import Path\n"
        "from evals.base import io\n"
        "writes, real = [], io.append_lines\n"
        "def append(path, rows):\n"
        "    writes.append(path)\n"
        "    real(path, rows)\n"
        "    if len(writes) == 5: os.kill(os.getpid(), signal.SIGKILL)\n"
        "io.append_lines = append\n"
        "t.run(Path(sys.argv[1]))\n"
    )
    path = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[2])])
    process = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], env={**os.environ, "PYTHONPATH": path}, check=False
    )
    assert process.returncode == -signal.SIGKILL
    assert not (tmp_path / "scores.json").exists()
    run(tmp_path)
    assert content(tmp_path) == content(finished)


def test_a_corrupt_line_is_named_set_aside_and_sampled_again(
    finished: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("key.json", "tokens.jsonl"):
        (tmp_path / name).write_bytes((finished / name).read_bytes())
    lines = (finished / "samples.jsonl").read_bytes().split(b"\n")
    lines[9] = b"\x00" * 40
    lines[20] = lines[19]
    damaged = b"\n".join(lines)
    (tmp_path / "samples.jsonl").write_bytes(damaged)
    with caplog.at_level(logging.WARNING):
        run(tmp_path)
    assert "samples.jsonl, line 10 is not valid JSON (and 1 more)" in caplog.text
    assert (tmp_path / "samples.corrupt-1.jsonl").read_bytes() == damaged
    rows, _, scores = content(tmp_path)
    expected, _, expected_scores = content(finished)
    assert scores == expected_scores
    assert sorted(rows, key=lambda row: (row["id"], row["sample"])) == expected
    assert len((tmp_path / "tokens.jsonl").read_text().splitlines()) == 42


@pytest.mark.parametrize(
    ("engine", "protocol", "block", "told"),
    [
        (DiceEngine(model_hash="other"), PROTOCOL, 13, r"another model \(dice there, other now\)"),
        (DiceEngine(name="vllm"), PROTOCOL, 13, r"another engine"),
        (DiceEngine(), PROTOCOL.changed(temperature=0.5), 13, r"protocol \(temperature 1.0 there, 0.5 now\)"),
        (DiceEngine(), PROTOCOL.changed(samples=4), 13, r"holds 6 samples a question, 4 were asked for"),
        (DiceEngine(), PROTOCOL, 20, r"another block"),
    ],
)
def test_samples_of_another_evaluation_are_never_mixed(
    finished: Path, engine: DiceEngine, protocol: Protocol, block: int, told: str
) -> None:
    before = content(finished)
    with pytest.raises(TaskError, match=told):
        run(finished, engine, protocol, block)
    assert content(finished) == before


def test_more_samples_are_added_to_those_there(finished: Path, tmp_path: Path) -> None:
    run(tmp_path)
    more = PROTOCOL.changed(samples=10)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, DiceEngine(fail_after=1), more)
    engine = DiceEngine()
    scores = run(tmp_path, engine, more)
    rows, _, _ = content(tmp_path)
    assert rows[:42] == content(finished)[0]
    assert sorted((row["id"], row["sample"]) for row in rows) == [
        (q.id, i) for q in QUESTIONS for i in range(10)
    ]
    assert scores.samples == (10, 10)
    seeds = {request.seed for call in engine.calls for request in call}
    assert sample_seed(3, "dice/q6") + 6 in seeds
    assert {request.n for call in engine.calls for request in call} == {4}
    again = DiceEngine()
    run(tmp_path, again, more)
    assert again.calls == []


class Unavailable(LastWord):
    """A grader that has nothing to grade with."""

    def grade(self, items: Sequence[tuple[Question, Response]]) -> list[Verdict]:
        return [Verdict("grader_error", None, "not there")] * len(items)


def test_what_could_not_be_graded_is_graded_by_the_next_call(finished: Path, tmp_path: Path) -> None:
    scores = sample_benchmark(DiceEngine(), TASK, QUESTIONS, PROTOCOL, tmp_path, Unavailable(), block=13)
    assert scores.to_json()["grader_errors"] == 1
    assert scores.bounds() == (0, 1)
    engine = DiceEngine()
    run(tmp_path, engine)
    assert engine.calls == []
    assert content(tmp_path) == content(finished)


def test_equal_responses_to_a_question_are_reported(tmp_path: Path) -> None:
    class Parrot(DiceEngine):
        def _one(self, seed: int, batch: int, sampling: Sampling) -> Completion:
            return Completion("always 1", (1, 2), (0.0, 0.0), "stop")

    assert run(tmp_path, Parrot()).to_json()["duplicates"] == pytest.approx(5 / 6)


def test_samples_that_are_asked_variants_are_graded_and_voted_on_by_the_option(tmp_path: Path) -> None:
    class FirstOption(DiceEngine):
        """Always takes the option that was shown first."""

        def _one(self, seed: int, batch: int, sampling: Sampling) -> Completion:
            return Completion("\\boxed{A}", (1,), (0.0,), "stop")

    rows = [
        {"Record ID": f"r{i}", "Question": "Which?", "Correct Answer": "right"}
        | {f"Incorrect Answer {j}": f"wrong {j}" for j in (1, 2, 3)}
        for i in range(3)
    ]
    questions = [gpqa.arrange(row) for row in rows]
    engine = FirstOption()
    scores = sample_benchmark(
        engine, gpqa.TASK, questions, PROTOCOL.changed(samples=8), tmp_path, ChoiceGrader(), block=24
    )
    asked = [request for call in engine.calls for request in call]
    assert [request.n for request in asked] == [1] * 24
    assert len({request.prompt for request in asked}) > 12
    samples = list(read_samples(tmp_path / "samples.jsonl"))
    for sample in samples:
        question = next(question for question in questions if question.id == sample.id)
        assert sample.answer == gpqa.reorder(question, sample.sample).info["options"][0]
        assert sample.correct == (sample.answer == "right")
    for stats in scores.questions:
        votes = {vote.answer: vote.count for vote in stats.votes}
        given = [sample.answer for sample in samples if sample.id == stats.id]
        assert votes == {answer: given.count(answer) for answer in given}
        assert all(vote.correct == (vote.answer == "right") for vote in stats.votes)


def test_the_protocols_name_alone_is_no_difference(finished: Path) -> None:
    engine = DiceEngine()
    scores = run(finished, engine, Protocol("other name", PROTOCOL.sampling, "tags", 6, 3))
    assert not engine.calls
    assert scores.protocol is not None
    assert scores.protocol["name"] == "other name"
    run(finished)


def test_a_folder_with_samples_of_unknown_origin_is_refused(tmp_path: Path) -> None:
    (tmp_path / "samples.jsonl").write_text("")
    with pytest.raises(TaskError, match="no key"):
        run(tmp_path)


def test_what_counts_in_an_unclosed_block_is_the_protocol_s(tmp_path: Path) -> None:
    class Unclosed(DiceEngine):
        def _one(self, seed: int, batch: int, sampling: Sampling) -> Completion:
            return Completion("<think>0 or 1? <answer>1</answer>", (1,), (0.0,), "stop")

    def rate(name: str, protocol: Protocol) -> float:
        grader = IntegerGrader()
        return (
            sample_benchmark(Unclosed(), TASK, QUESTIONS, protocol, tmp_path / name, grader).pass_at_1().value
        )

    strict = PROTOCOL.changed(unclosed_answers=False)
    assert rate("counts", PROTOCOL) == pytest.approx(3 / 7)
    assert rate("not", strict) == 0
    protocol = read_scores(tmp_path / "not" / "scores.json").protocol
    assert protocol is not None
    assert protocol["unclosed_answers"] is False
    with pytest.raises(TaskError, match="another protocol"):
        rate("counts", strict)


def mended(gold: str = "", tests: str = "") -> list[Question]:
    """The questions, the first with another gold or with tests."""
    info = {"style": "function", "tests": tests} if tests else {}
    return [replace(QUESTIONS[0], gold=gold or QUESTIONS[0].gold, info=info), *QUESTIONS[1:]]


def evaluated(folder: Path, questions: list[Question], engine: DiceEngine | None = None) -> Scores:
    return sample_benchmark(engine or DiceEngine(), TASK, questions, PROTOCOL, folder, LastWord(), block=13)


def test_a_mended_gold_grades_what_is_there_again_and_says_so(
    finished: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    engine = DiceEngine()
    with caplog.at_level(logging.WARNING):
        scores = evaluated(tmp_path, mended(gold="1"), engine)
    assert engine.calls == []
    fresh = evaluated(tmp_path / "fresh", mended(gold="1"))
    assert scores.questions == fresh.questions != read_scores(finished / "scores.json").questions
    assert scores.data_hash == fresh.data_hash
    [note] = scores.warnings
    assert re.fullmatch(
        "Graded again, because the answers or tests of the questions have changed: [1-6] of 42 verdicts are "
        "others than before.",
        note,
    )
    assert note in caplog.text
    assert evaluated(tmp_path, mended(gold="1"), engine).warnings == (note,)  # and once is enough


def test_mended_tests_and_another_grader_grade_again(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    before = read_scores(tmp_path / "scores.json").data_hash
    with_tests = evaluated(tmp_path, mended(tests="assert f(1) == 3"))
    assert with_tests.data_hash != before
    assert evaluated(tmp_path, mended(tests="assert f(1) == 4")).data_hash not in (
        before,
        with_tests.data_hash,
    )
    monkeypatch.setattr(regrading, "grader_version", lambda kind: "another")
    scores = evaluated(tmp_path, mended(tests="assert f(1) == 4"))
    assert scores.warnings[-1].startswith("Graded again, because the grader has changed: 0 of 42")
    assert len(scores.warnings) == 3


def test_a_folder_that_does_not_say_what_graded_it_is_graded_again(finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    key = json.loads((tmp_path / "key.json").read_text())
    del key["graded"], key["notes"]  # as an older version wrote it
    (tmp_path / "key.json").write_text(json.dumps(key))
    rows = (tmp_path / "samples.jsonl").read_text().replace('"status": "correct"', '"status": "wrong"')
    (tmp_path / "samples.jsonl").write_text(rows)
    assert evaluated(tmp_path, QUESTIONS).questions == read_scores(finished / "scores.json").questions


def test_a_kill_while_grading_again_leaves_it_to_the_next_call(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    monkeypatch.setattr(regrading, "AT_ONCE", 10)

    class Dies(LastWord):
        calls = 0

        def grade(self, items: Sequence[tuple[Question, Response]]) -> list[Verdict]:
            self.calls += 1
            if self.calls == 3:
                raise KeyboardInterrupt
            return super().grade(items)

    questions = mended(gold="1")
    with pytest.raises(KeyboardInterrupt):
        sample_benchmark(DiceEngine(), TASK, questions, PROTOCOL, tmp_path, Dies(), block=13)
    assert content(tmp_path) == content(finished)
    assert evaluated(tmp_path, questions).questions == evaluated(tmp_path / "fresh", questions).questions


def test_rows_carry_what_was_asked(finished: Path) -> None:
    for sample in read_samples(finished / "samples.jsonl"):
        question = next(question for question in QUESTIONS if question.id == sample.id)
        assert sample.prompt == f"User: {question.text}\nAssistant:"


class Letters:
    """A tokenizer of letters, with a start token before them."""

    bos_token = "^"

    def encode(self, text: str, add_special_tokens: bool) -> list[int]:
        return [0] * add_special_tokens + [ord(letter) for letter in text]


@dataclass
class ShortEngine(DiceEngine):
    """A model of few positions, which refuses what it has no room for, as engines do."""

    positions: int = 100
    tokenizer: Any = field(default_factory=Letters)
    most: int = 0

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[Group]:
        assert max(1 + len(request.prompt) for request in requests) + sampling.max_tokens <= self.positions
        self.most = sampling.max_tokens
        return super().generate(requests, sampling)


def test_responses_get_what_the_longest_prompt_leaves_and_the_protocol_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    engine = ShortEngine()
    r1 = protocols.get("r1").changed(template="plain", samples=2)
    longest = 1 + max(len(question.text) for question in QUESTIONS)
    with caplog.at_level(logging.WARNING):
        scores = run(tmp_path / "r1", engine, r1)
    assert engine.most == 100 - longest
    assert scores.protocol is not None
    assert scores.protocol["name"] == f"r1, template=plain, max_tokens={100 - longest}"
    assert scores.protocol["sampling"]["max_tokens"] == 100 - longest
    assert f"responses end after {100 - longest} tokens, not 32,768" in caplog.text
    calls = len(engine.calls)
    run(tmp_path / "r1", engine, r1)
    assert len(engine.calls) == calls  # the same command resumes
    fits = run(tmp_path / "fits", engine, r1.changed(max_tokens=5)).protocol
    assert fits is not None
    assert fits["sampling"]["max_tokens"] == 5


def test_a_prompt_that_leaves_no_position_is_named(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match="the prompt of question 'q0' takes 20 tokens, and the model has 20"):
        run(tmp_path, ShortEngine(positions=20), PROTOCOL.changed(template="plain"))


def test_two_questions_of_one_id_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match="questions 1 and 8 have the same id 'q0'"):
        evaluated(tmp_path, [*QUESTIONS, QUESTIONS[0]])
    task = replace(TASK, load=lambda split: [*QUESTIONS, QUESTIONS[3]])
    with pytest.raises(TaskError, match="dice:test: questions 4 and 8 have the same id 'q3'"):
        task.questions("test")
