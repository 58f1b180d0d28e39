"""From an experiment to a run, its evaluation, a comparison and a page: on a policy of random weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from harness import GRPO, Experiment, UsageError, compare, evaluate, plan, report, score, train
from harness.api.evaluation import Evaluation
from harness.api.run import RunResult
from harness.config import dump_toml
from harness.models.policy import Policy, save_policy
from harness.train.tracker import Tracker

STEPS = 3


@pytest.fixture
def model(make_random_policy: Callable[..., Policy], tmp_path: Path) -> Path:
    save_policy(make_random_policy(max_position_embeddings=512), tmp_path / "model")
    return tmp_path / "model"


def wanted(model: Path, **more: object) -> Experiment:
    stage = GRPO(steps=STEPS, completions_per_step=8, group_size=4, max_tokens=8, checkpoint_every=1)
    policy = {"model": str(model), "template": "tags"}
    return Experiment(policy=policy, data="tiny-math:train[:20]", stages=stage, **more)  # type: ignore[arg-type]


def test_a_run_is_measured_compared_and_shown(model: Path, tmp_path: Path) -> None:
    run = train(wanted(model), tmp_path / "run", quiet=True)
    assert (run.state, run.reason) == ("done", "")
    assert run.metrics["step"].tolist() == list(range(1, STEPS + 1))
    assert run.checkpoint == tmp_path / "run" / "checkpoints" / f"step-{STEPS}"
    assert len(run.samples) > 0
    assert run.scores == {}
    assert "reward" in run._repr_html_()

    small = {"samples": 2, "max_tokens": 8, "quiet": True}
    after = evaluate(run, "tiny-aime", **small)  # type: ignore[arg-type]
    assert after.folder == tmp_path / "run" / "evals" / "measured"
    assert after["tiny-aime"].protocol is not None
    assert after["tiny-aime"].protocol["template"] == "tags"
    before = evaluate(str(model), ["tiny-aime"], template="tags", folder=tmp_path / "before", **small)  # type: ignore[arg-type]
    assert list(before.table["benchmark"]) == ["tiny-aime"]
    assert len(before.samples("tiny-aime")) == 2 * len(before["tiny-aime"].questions)
    assert "tiny-aime" in before._repr_html_()

    found = compare(before, run, names=["before", "after"])
    difference = after["tiny-aime"].pass_at_1().value - before["tiny-aime"].pass_at_1().value
    assert found.table["difference"].tolist() == [pytest.approx(difference)]
    assert found.sentences == [found[0].sentence]
    assert "before" in found._repr_html_()
    assert [one.b for one in compare(before, after)] == ["measured"]

    page = report(run.folder)
    assert page == run.report == tmp_path / "run" / "report.html"
    shown = page._repr_html_()
    assert 'sandbox="allow-scripts"' in shown
    assert "<script" not in shown  # the page is an attribute's text


def test_an_interrupted_run_goes_on_and_a_finished_one_is_not_done_again(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train(wanted(model), tmp_path / "whole", quiet=True)
    logged = Tracker.log

    def interrupted(self: Tracker, row: dict[str, object]) -> None:
        if row["step"] == 2:
            raise KeyboardInterrupt
        logged(self, row)

    with monkeypatch.context() as patched:
        patched.setattr(Tracker, "log", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train(wanted(model), tmp_path / "run", quiet=True)
    assert RunResult(tmp_path / "run").state == "running"
    again = train(wanted(model), tmp_path / "run", quiet=True)
    columns = ["step", "reward", "loss", "grad_norm"]
    assert again.metrics[columns].equals(whole.metrics[columns])
    written = again.checkpoint.stat().st_mtime_ns
    assert train(wanted(model), tmp_path / "run", quiet=True).checkpoint.stat().st_mtime_ns == written
    with pytest.raises(UsageError, match="run with other settings"):
        train(wanted(model, seed=1), tmp_path / "run", quiet=True)


def test_a_benchmark_in_the_experiment_is_measured_at_its_end(model: Path, tmp_path: Path) -> None:
    asked = {"benchmarks": ["tiny-aime"], "samples": 1, "max_tokens": 8}
    run = train(wanted(model, eval=asked), tmp_path / "run", quiet=True)
    assert list(run.scores) == ["tiny-aime"]
    assert "pass@1" in run._repr_html_()


def test_a_plan_by_data_sheet_needs_nothing_loaded(model: Path) -> None:
    found = plan(wanted(model), "h100", price=2.0)
    assert found.table["part"].tolist()
    assert found.cost is not None
    assert "H100" in found._repr_html_()
    with pytest.raises(UsageError, match="unknown device 'h99'; accepted: h200"):
        plan(wanted(model), "h99")


def test_what_cannot_be_is_told_in_a_sentence(model: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"experiment\.toml: no such file"):
        evaluate(RunResult(tmp_path), "tiny-aime")
    (tmp_path / "experiment.toml").write_text(dump_toml(wanted(model)))
    with pytest.raises(UsageError, match="has no checkpoint yet"):
        evaluate(RunResult(tmp_path), "tiny-aime")
    with pytest.raises(UsageError, match="at least two"):
        compare(tmp_path)
    with pytest.raises(UsageError, match="expected 2 distinct names"):
        compare(tmp_path, tmp_path, names=["a", "a"])
    with pytest.raises(UsageError, match="the run has not been evaluated"):
        compare(RunResult(tmp_path), Evaluation(tmp_path, "m", {}))
    with pytest.raises(UsageError, match="unknown task"):
        evaluate(model, "tiny-maths")
    arms = {"arms": {"a": {"stages": [{"kind": "grpo"}]}}}
    with pytest.raises(UsageError, match="use `harness train FILE` to train its arms"):
        train(Experiment(model=str(model), data="tiny-math:train", compare=arms))


def test_responses_in_memory_are_compared_with_an_evaluation(model: Path, tmp_path: Path) -> None:
    one = evaluate(model, "tiny-aime", 1, template="tags", max_tokens=8, folder=tmp_path / "e", quiet=True)
    rows = [{"id": question.id, "response": "<answer>0</answer>"} for question in one["tiny-aime"].questions]
    found = compare(one, score(rows, benchmark="tiny-aime"))
    assert [each.benchmark for each in found] == ["tiny-aime"]
    assert found[0].b == "side 2"
