"""What servers would take: for a served model, a teacher, and a judge of rewards, filters and graders."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from evals.base.progress import Progress
from evals.tasks.registry import load_spec
from harness.config import validate
from harness.models.devices import DEVICES
from harness.models.policy import Policy as Loaded
from harness.models.policy import save_policy
from harness.plan.judging import JUDGING, REPLY, RUBRIC
from harness.plan.plan import plan_here, plan_on
from harness.plan.workload import assumed, work
from tests.harness.plan.planned import raw


def test_the_answers_of_a_server_are_priced_before_they_are_asked_for() -> None:
    """By the price of a million tokens; a model of unknown shape takes no FLOPs and no time of ours."""
    server = {"addresses": "http://127.0.0.1:9/v1", "price_in": 2.0, "price_out": 10.0}
    asked = {
        "name": "asked",
        "policy": {"model": "nobody/nothing", "server": server},
        "data": {"train": []},
        "eval": {"benchmarks": ["tiny-aime"], "samples": 4, "max_tokens": 1000},
    }
    for plan in (
        plan_on(validate(asked, "x"), DEVICES["h100"], 1, 500.0, 3.0),
        plan_here(validate(asked, "x"), Progress(quiet=True), 3.0),
    ):
        questions = load_spec("tiny-aime")[1]
        samples = 4 * len(questions)
        prompts = 4 * sum(len(question.text) for question in questions) / 4
        assert plan.tokens == samples * 500
        assert plan.server_cost == pytest.approx((prompts * 2 + samples * 500 * 10) / 1e6)
        assert (plan.flops, plan.device_hours, plan.memory_gib) == (0.0, 0.0, 0.0)
        assert plan.cost is None
    free = validate({**asked, "policy": {"model": "nobody/nothing", "server": server["addresses"]}}, "x")
    assert plan_on(free, DEVICES["h100"], 1, 500.0, None).server_cost is None


def test_a_teacher_at_a_server_is_priced_in_its_students_plan(
    tiny_random_policy: Loaded, tmp_path: Path
) -> None:
    save_policy(tiny_random_policy, tmp_path / "policy")
    server = {"addresses": ["http://127.0.0.1:9/v1"], "price_in": 0.0, "price_out": 10.0}
    answers = {"samples": 4, "max_tokens": 100, "keep": {}}
    stage = {"kind": "distill", "teacher": {"model": "nobody/nothing", "server": server}, "answers": answers}
    one = raw(tmp_path / "policy", stages=[{**stage, "steps": 2, "batch_size": 2}])
    plan = plan_on(validate(one, "x"), DEVICES["h100"], 1, 50.0, None)
    assert plan.server_cost == pytest.approx(6 * 4 * 50 * 10 / 1e6)


def test_a_judge_and_a_teacher_that_reads_along_are_priced(
    tiny_random_policy: Loaded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_policy(tiny_random_policy, tmp_path / "policy")
    server = {"addresses": ["http://127.0.0.1:9/v1"], "price_in": 2.0, "price_out": 1000.0}
    stage = {
        "kind": "on_policy_distill",
        "teacher": {"model": str(tmp_path / "policy"), "server": server},
        **{"steps": 3, "completions_per_step": 8, "group_size": 4, "max_tokens": 100},
    }
    one = raw(tmp_path / "policy", stages=[stage])

    def priced(experiment: dict[str, Any]) -> dict[str, float]:
        plan = plan_on(validate(experiment, "x"), DEVICES["h100"], 1, 50.0, None)
        return {part.part: part.price for part in plan.parts if part.price is not None}

    [(name, price)] = priced(one).items()
    assert name == "on_policy_distill-teacher"
    prompt = next(w.prompt for w in work(validate(one, "x"), assumed(50.0)) if w.reads)
    assert price == pytest.approx(3 * 8 * ((prompt + 50) * 2 + 1000) / 1e6)

    stage = {"kind": "grpo", "steps": 3, "completions_per_step": 8, "group_size": 4, "max_tokens": 100}
    of = raw(tmp_path / "policy", stages=[{**stage, "rewards": {"judge": 1.0}}])
    assert priced(of) == {}
    monkeypatch.setenv("HARNESS_JUDGE_URL", "http://127.0.0.1:9/v1")
    monkeypatch.setenv("HARNESS_JUDGE_MODEL", "nobody/nothing")
    assert priced(of) == {}
    monkeypatch.setenv("HARNESS_JUDGE_PRICE", "2,10")
    shown = prompt + RUBRIC + 50
    assert priced(of) == {"grpo-judge": pytest.approx(3 * 8 * (shown * 2 + REPLY * 10) / 1e6)}


def test_the_judge_of_a_benchmark_is_priced_apart_from_the_policy(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path))
    rows = [{"question": "Who?" * 2, "answer": "Ada Adas"}] * 3
    (tmp_path / "mine.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    server = {"addresses": "http://127.0.0.1:9/v1", "price_in": 2.0, "price_out": 10.0}
    asked = {
        "name": "asked",
        "policy": {"model": "nobody/nothing", "server": server},
        "data": {"train": []},
        "tasks": {"mine": {"source": str(tmp_path / "mine.jsonl"), "grader": "judge"}},
        "eval": {"benchmarks": ["mine"], "samples": 4, "max_tokens": 1000},
    }

    def priced() -> dict[str, float | None]:
        plan = plan_on(validate(asked, "x"), DEVICES["h100"], 1, 500.0, None)
        assert plan.server_cost == pytest.approx(sum(part.price or 0.0 for part in plan.parts))
        return {part.part: part.price for part in plan.parts}

    own = 3 * 4 * (2 * 2 + 500 * 10) / 1e6
    assert priced() == {"mine": pytest.approx(own)}
    monkeypatch.setenv("HARNESS_JUDGE_URL", "http://127.0.0.1:9/v1")
    monkeypatch.setenv("HARNESS_JUDGE_MODEL", "the-judge")
    assert priced() == {"mine": pytest.approx(own)}
    monkeypatch.setenv("HARNESS_JUDGE_PRICE", "3,30")
    each, rubric, reply = JUDGING["judge"]
    judged = 3 * 4 * each * ((rubric + 2 + 2 + 500) * 3 + reply * 30) / 1e6
    assert priced() == {"mine": pytest.approx(own), "mine: judge": pytest.approx(judged)}


def test_every_response_that_a_judge_is_shown_is_priced(
    tiny_random_policy: Loaded, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Of a judged task's training and dev questions, of a mixture, and of a filter of rejection sampling."""
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path))
    monkeypatch.setenv("HARNESS_JUDGE_URL", "http://127.0.0.1:9/v1")
    monkeypatch.setenv("HARNESS_JUDGE_MODEL", "the-judge")
    monkeypatch.setenv("HARNESS_JUDGE_PRICE", "0,1000000")  # one for each token that it writes
    save_policy(tiny_random_policy, tmp_path / "policy")
    rows = [{"question": f"Who is number {number}?", "answer": "Ada"} for number in range(6)]
    (tmp_path / "mine.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    mine = {"mine": {"source": str(tmp_path / "mine.jsonl"), "grader": "judge"}}
    reject, sft, grpo = raw(tmp_path / "policy")["stages"]
    experiment = raw(
        tmp_path / "policy",
        tasks=mine,
        data={"train": ["mine[:2]", "tiny-aime:train[:6]"], "dev": "mine[2:5]", "dev_samples": 2},
        stages=[{**reject, "keep": {"judge": 0.5}}, sft, {**grpo, "eval_every": 3}],
        eval={"benchmarks": []},
    )
    plan = plan_on(validate(experiment, "x"), DEVICES["h100"], 1, 10.0, None)
    requests = {part.part: (part.price or 0.0) / REPLY for part in plan.parts if "judge" in part.part}
    assert requests == {
        "reject-judge": pytest.approx(8 * 4),
        "reject: judge": pytest.approx(2 * 4),
        "sft: dev: judge": pytest.approx(3 * 2),
        "grpo: judge": pytest.approx(6 * 8 * 2 / 8),
        "grpo: dev: judge": pytest.approx(3 * 3 * 2),
    }
