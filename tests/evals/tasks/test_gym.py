"""reasoning-gym's generators as tasks; their scorers may not evaluate what a model wrote."""

from __future__ import annotations

import pytest

from evals.graders.base import Response
from evals.graders.gym import GymGrader, harmless
from evals.task import TaskError
from evals.tasks import registry

pytest.importorskip("reasoning_gym", reason="needs the extra [reasoning-gym]")


def test_a_generator_is_a_task_that_its_settings_and_seed_decide() -> None:
    spec = "reasoning_gym:chain_sum?min_terms=2&max_terms=2&size=5&seed=1"
    task, found = registry.load_spec(f"{spec}[:4]")
    assert (task.name, task.grader, len(found)) == (spec, "reasoning_gym", 4)
    assert registry.load_spec(spec)[1][:4] == found
    assert registry.load_spec(spec.replace("seed=1", "seed=2"))[1] != found
    with GymGrader() as grader:
        texts = [f"<think>hm</think><answer>{each.gold}</answer>" for each in found[:2]]
        verdicts = grader.grade(list(zip(found, map(Response, [*texts, "17 or so", ""]), strict=True)))
    assert [verdict.status for verdict in verdicts] == ["correct", "correct", "wrong", "unparsed"]


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ("reasoning_gym:chain_smu", "did you mean 'chain_sum'"),
        ("reasoning_gym:chain_sum?min_term=2", "did you mean 'min_terms'"),
        ("reasoning_gym:chain_sum?min_terms=9&max_terms=2", "does not take these settings"),
    ],
)
def test_what_is_wrong_is_one_sentence(spec: str, told: str) -> None:
    with pytest.raises(TaskError) as error:
        registry.load_spec(spec)
    assert told in str(error.value)


@pytest.mark.parametrize(
    "text",
    ["2*x**2 + 3", "[['1', '2']]", "1 2 3\n4 5 6", "sin(x)*exp(-2*x)", '{"a": 1}', "5°"],
)
def test_answers_pass(text: str) -> None:
    assert harmless(text)


@pytest.mark.parametrize(
    "text",
    ["__import__('os')", "exec('1')", "9**9**9", "(9**20)**20", "99999!", "1<<99999999", "[0]*9999999999",
     "'a'*999999999", "'a'.join(['b'])", "open('x')", "x.__class__", "9**(9*9)"],
)  # fmt: skip
def test_programs_do_not(text: str) -> None:
    assert not harmless(text)


def test_an_evaluating_scorer_never_sees_a_program() -> None:
    [question, *_] = registry.load_spec("reasoning_gym:spiral_matrix?size=1")[1]
    with GymGrader() as grader:
        [right, bad] = grader.grade(
            [(question, Response(f"<answer>{text}</answer>")) for text in (question.gold, "exit(3)")]
        )
    assert (right.status, bad.status) == ("correct", "wrong")
    assert "not scored" in bad.detail
