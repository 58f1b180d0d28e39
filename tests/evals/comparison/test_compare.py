"""Comparisons: paired by question, corrected for being several, said in a sentence."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from evals.comparison.compare import Arm, Comparison, compare, compare_arms
from evals.duel import Duel
from evals.scores import Scores
from evals.stats.intervals import Estimate, mcnemar, permutation_p_value
from evals.stats.metrics import QuestionStats, Vote
from evals.task import TaskError

RNG = np.random.default_rng(0)
DIFFICULTY = RNG.beta(0.4, 0.4, 60)


def scores(shift: float, k: int = 8, benchmark: str = "aime", seed: int = 0, **more: object) -> Scores:
    rates = np.clip(DIFFICULTY + shift, 0, 1)
    correct = np.random.default_rng(seed).binomial(k, rates)
    questions = tuple(
        QuestionStats(f"q{i}", k, int(c), (Vote("1", int(c), True),) * bool(c)) for i, c in enumerate(correct)
    )
    protocol = {
        "name": "r1",
        "sampling": {"temperature": 0.6},
        "template": "tags",
        "samples": k,
        "seed": seed,
    }
    made = Scores(benchmark, questions, "none needed", protocol=protocol, data_hash="x")
    return replace(made, **more)  # type: ignore[arg-type]


def rates(one: Scores) -> np.ndarray:
    return np.array([question.rate for question in one.questions])


def test_pairs_of_folders_of_benchmarks(tmp_path: Path) -> None:
    made = {
        ("base", "aime"): scores(0.0),
        ("base", "math"): scores(0.0, benchmark="math"),
        ("tuned", "aime"): scores(0.15, seed=1),
        ("tuned", "math"): scores(0.01, benchmark="math", seed=2),
        ("third", "aime"): scores(0.05, seed=3),
    }
    for (policy, benchmark), one in made.items():
        one.write(tmp_path / policy / benchmark)
    found = compare([tmp_path / "base", tmp_path / "tuned", tmp_path / "third"])
    assert [(one.a, one.b, one.benchmark) for one in found] == [
        ("base", "tuned", "aime"),
        ("base", "tuned", "math"),
        ("base", "third", "aime"),
        ("tuned", "third", "aime"),
    ]
    differences = rates(made["tuned", "aime"]) - rates(made["base", "aime"])
    first = found[0]
    assert first.difference.value == pytest.approx(differences.mean())
    assert first.difference.stderr == pytest.approx(stats.sem(differences))
    multitest = pytest.importorskip("statsmodels.stats.multitest")
    expected = multitest.multipletests([one.p_value for one in found], method="holm")[1]
    assert [one.p_value_holm for one in found] == pytest.approx(expected.tolist())
    assert (first.gained, first.lost) == (int((differences > 0).sum()), int((differences < 0).sum()))
    assert len(first.flips) == first.gained + first.lost
    assert abs(first.flips[0].a - first.flips[0].b) == pytest.approx(np.abs(differences).max())
    assert first.sentence.startswith("On aime (60 questions) tuned is better than base: pass@1 ")
    assert "no significant difference between tuned and base" in found[1].sentence
    assert first.cautions == ()


def test_the_json_is_the_public_contract(tmp_path: Path) -> None:
    scores(0.0).write(tmp_path / "a")
    scores(0.1, seed=1).write(tmp_path / "b")
    [found] = compare([tmp_path / "a", tmp_path / "b"])
    answer = json.loads(json.dumps(found.to_json()))
    contract = {
        "a",
        "b",
        "benchmark",
        "metric",
        "questions",
        "difference",
        "p_value",
        "p_value_holm",
        "sentence",
    }
    assert contract <= set(answer)
    assert set(answer["difference"]) == {"value", "stderr", "ci95"}
    assert answer["metric"] == "pass@1"
    assert answer["p_value"] == answer["p_value_holm"]


def test_one_sample_a_question_is_mcnemars_case(tmp_path: Path) -> None:
    scores(0.0, k=1).write(tmp_path / "a")
    scores(0.2, k=1, seed=1).write(tmp_path / "b")
    [found] = compare([tmp_path / "a", tmp_path / "b"])
    assert found.test == "mcnemar"
    assert found.p_value == pytest.approx(stats.binomtest(found.gained, found.gained + found.lost).pvalue)


def duels(shift: float) -> Scores:
    """60 questions, one duel each, won in part: a judge's preference is a number between 0 and 1."""
    won = np.clip(np.random.default_rng(0).uniform(0, 0.5, 60) + shift, 0, 1)
    questions = tuple(
        QuestionStats(f"q{i}", 1, int(share > 0.5), duels=(Duel(float(share), 1.0, 10),))
        for i, share in enumerate(won)
    )
    return Scores("alpaca_eval", questions, "none needed", votes=False)


def test_duels_are_not_mcnemars_case() -> None:
    """One sample a question, but with a share of the points: signs alone would leave out most of it."""
    a, b = duels(0.2), duels(0.24)
    [found] = compare_arms([Arm("a", ({"alpaca_eval": a},)), Arm("b", ({"alpaca_eval": b},))])
    assert found.test == "permutation"
    assert found.p_value == permutation_p_value(rates(b) - rates(a))
    assert found.p_value != pytest.approx(mcnemar(found.gained, found.lost))


def test_the_first_argument_is_the_baseline(tmp_path: Path) -> None:
    scores(0.0).write(tmp_path / "base")
    scores(0.3, seed=1).write(tmp_path / "winner")
    [found] = compare([tmp_path / "base", tmp_path / "winner"])
    assert (found.a, found.b) == ("base", "winner")
    assert found.difference.value == pytest.approx(found.value_b - found.value_a)
    assert found.difference.value > 0.1
    assert found.gained > found.lost
    assert found.flips[0].b > found.flips[0].a
    assert "winner is better than base" in found.sentence
    [back] = compare([tmp_path / "winner", tmp_path / "base"])
    assert back.difference.value == -found.difference.value
    assert back.p_value == found.p_value
    assert "base is worse than winner" in back.sentence


def test_a_policy_does_not_differ_from_itself(tmp_path: Path) -> None:
    scores(0.0).write(tmp_path / "a")
    scores(0.0).write(tmp_path / "b")
    [found] = compare([tmp_path / "a", tmp_path / "b"])
    assert (found.difference.value, found.p_value, found.flips) == (0.0, 1.0, ())
    assert found.difference.low < 0 < found.difference.high
    assert "no significant difference" in found.sentence


def test_what_makes_a_comparison_doubtful_is_said(tmp_path: Path) -> None:
    one, other = scores(0.0), scores(0.1, seed=1, data_hash="y")
    assert other.protocol is not None
    hotter = {**other.protocol, "sampling": {"temperature": 1.0}}
    broken = replace(other.questions[1], grader_errors=2)
    other = replace(other, protocol=hotter, questions=(broken, *other.questions[2:]))
    one.write(tmp_path / "a")
    other.write(tmp_path / "b")
    [found] = compare([tmp_path / "a", tmp_path / "b"])
    assert found.questions == 59
    assert "The protocols differ (temperature 0.6 and 1.0)" in found.sentence
    assert "left out (1, 0)" in found.sentence
    assert "not the same" in found.sentence
    assert "could not be graded count as wrong (0, 2)" in found.sentence


def test_votes_can_be_compared(tmp_path: Path) -> None:
    scores(0.0).write(tmp_path / "a")
    scores(0.2, seed=1).write(tmp_path / "b")
    [found] = compare([tmp_path / "a", tmp_path / "b"], metric="cons@8")
    assert (found.metric, found.test) == ("cons@8", "permutation")
    with pytest.raises(TaskError, match="needs 9 samples a question, there are 8"):
        compare([tmp_path / "a", tmp_path / "b"], metric="cons@9")
    with pytest.raises(TaskError, match="accepted: pass@1, or cons@k"):
        compare([tmp_path / "a", tmp_path / "b"], metric="elo")


def test_two_evaluations_of_one_benchmark_are_not_chosen_from(tmp_path: Path) -> None:
    scores(0.0).write(tmp_path / "mine" / "aime")
    scores(0.3).write(tmp_path / "mine" / "aime-old-copy")
    scores(0.0).write(tmp_path / "other" / "aime")
    with pytest.raises(TaskError, match="mine: aime and aime-old-copy both hold an evaluation of aime"):
        compare([tmp_path / "mine", tmp_path / "other"])
    [found] = compare([tmp_path / "mine" / "aime", tmp_path / "other"])
    assert found.difference.value == 0.0


@pytest.mark.parametrize(
    ("protocols", "told"),
    [
        (({"name": "lm-eval 0.4.3", "metric": "acc"}, {"name": "lm-eval 0.4.13", "metric": "acc"}), "0.4.13"),
        (({"name": "x", "sampling": {}}, {"name": "x", "sampling": {}, "system": "Be brief"}), "Be brief"),
        (({"name": "x", "sampling": {}}, None), "recorded for some only"),
        (({"name": "r1", "sampling": {"top_p": 0.9}}, {"name": "mine", "sampling": {"top_p": 0.9}}), ""),
        ((None, None), ""),
    ],
)
def test_ways_of_asking_that_differ_are_a_caution(
    tmp_path: Path, protocols: tuple[dict[str, object] | None, ...], told: str
) -> None:
    for name, protocol in zip("ab", protocols, strict=True):
        scores(0.0, protocol=protocol).write(tmp_path / name)
    [found] = compare([tmp_path / "a", tmp_path / "b"])
    assert (told in " ".join(found.cautions)) if told else found.cautions == ()


def test_greedy_samples_that_are_all_equal_count_once() -> None:
    """Eight equal samples per question say what one says: the interval must not be that of eight."""
    once = replace(
        scores(0.0), questions=tuple(QuestionStats(f"q{i}", 1, int(i % 2)) for i in range(20)), votes=False
    )
    eight = replace(
        once,
        questions=tuple(QuestionStats(q.id, 8, 8 * q.correct, duplicates=7) for q in once.questions),
    )
    [single] = compare_arms([Arm("a", ({"aime": once},)), Arm("b", ({"aime": once},))])
    [repeated] = compare_arms([Arm("a", ({"aime": eight},)), Arm("b", ({"aime": eight},))])
    assert repeated.difference == single.difference


def test_a_difference_of_nothing_has_no_sign() -> None:
    nothing = Estimate(-0.0004, 0.01, -0.0204, 0.0196)
    told = Comparison("a", "b", "x", "pass@1", 500, 0.5, 0.4996, nothing, "permutation", 0.9, 0.9, 1, 2, ())
    assert "difference 0.0 points (95% interval -2.0 to +2.0; p = 0.900)" in told.sentence


def graded(path: Path, rights: dict[str, list[bool]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [{"id": q, "sample": i, "correct": c} for q, cs in rights.items() for i, c in enumerate(cs)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_files_of_graded_samples_will_do(tmp_path: Path) -> None:
    a = graded(tmp_path / "a.jsonl", {"q0": [True, True], "q1": [False, True]})
    b = graded(tmp_path / "sub" / "b.jsonl", {"q1": [False, False], "q0": [True, False]})
    [found] = compare([a, b])
    assert (found.a, found.b, found.questions) == ("a.jsonl", "b.jsonl", 2)
    assert found.difference.value == pytest.approx(-0.5)
    scores(0.0).write(tmp_path / "named")
    [mixed] = compare([a, tmp_path / "named"])
    assert mixed.benchmark == "aime"
    assert mixed.questions == 2


def test_blank_lines_and_verdicts_as_numbers_are_read(tmp_path: Path) -> None:
    a = graded(tmp_path / "a.jsonl", {"q0": [True, True], "q1": [False, True]})
    a.write_text("\n" + a.read_text() + "\n   \n")
    b = tmp_path / "b.jsonl"
    b.write_text('{"id": "q0", "correct": 1.0}\n{"id": "q1", "correct": 0}\n\n')
    [found] = compare([a, b])
    assert (found.value_a, found.value_b) == (0.75, 0.5)
    b.write_text('{"id": "q0", "correct": 0.5}\n')
    with pytest.raises(TaskError, match=r"line 1 needs 'correct' as true or false \(or 1 or 0\), got 0\.5"):
        compare([a, b])


def test_a_sweep_stands_for_its_evaluations_base_first(tmp_path: Path) -> None:
    for name, rights in (("winner-seed-1", [True, True]), ("base", [False, True]), ("a", [True, False])):
        graded(tmp_path / "sweep/evals" / name / "aime" / "samples.jsonl", {"1": rights, "2": rights[::-1]})
    assert [(c.a, c.b) for c in compare([tmp_path / "sweep"])] == [
        ("base", "a"),
        ("base", "winner-seed-1"),
        ("a", "winner-seed-1"),
    ]


def test_names_are_as_long_as_they_must_be(tmp_path: Path) -> None:
    for name in ("x", "y"):
        scores(0.0).write(tmp_path / name / "aime")
    [found] = compare([tmp_path / "x" / "aime", tmp_path / "y" / "aime"])
    assert (found.a, found.b) == ("x/aime", "y/aime")


def test_bad_paths_are_named(tmp_path: Path) -> None:
    scores(0.0).write(tmp_path / "a")
    scores(0.0, benchmark="other").write(tmp_path / "b")
    (tmp_path / "empty").mkdir()
    ungraded = tmp_path / "raw.jsonl"
    ungraded.write_text('{"id": "q0", "response": "x"}\n')
    twice = graded(tmp_path / "twice.jsonl", {"q": [True]})
    twice.write_text(twice.read_text() * 2)
    for paths, told in [
        ([tmp_path / "a"], "at least two"),
        ([tmp_path / "a", tmp_path / "none"], "none: no such file or folder"),
        ([tmp_path / "a", tmp_path / "empty"], "contains neither"),
        ([tmp_path / "a", tmp_path / "b"], "a has aime; b has other"),
        ([tmp_path / "a", ungraded], "line 1 has no 'correct'.*harness score"),
        ([tmp_path / "a", twice], "line 2 repeats sample 0 of id 'q'"),
    ]:
        with pytest.raises(TaskError, match=told):
            compare(paths)


def test_arms_of_several_seeds(tmp_path: Path) -> None:
    base = Arm("base", ({"aime": scores(0.0)},))
    tuned = Arm("tuned", tuple({"aime": scores(0.1 + 0.02 * seed, seed=seed)} for seed in range(1, 4)))
    [found] = compare_arms([base, tuned])
    assert found.test == "t over seeds and questions"
    seeds = [rates(one["aime"]).mean() - rates(scores(0.0)).mean() for one in tuned.seeds]
    assert found.difference.value == pytest.approx(np.mean(seeds))
    assert found.per_seed == pytest.approx(seeds)
    [one_seed] = compare_arms([base, Arm("tuned", tuned.seeds[:1])])
    assert one_seed.test == "permutation"
