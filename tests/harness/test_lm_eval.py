"""lm-eval's tasks through our engine say what they say through lm-eval's own model class."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from evals import compare, lm_eval
from evals.engine import Group, Request, Sampling
from evals.tasks.task import TaskError
from harness.engines.transformers import TransformersEngine
from harness.engines.vllm import VllmEngine
from harness.policy import Policy
from reports.collect import collect

pytest.importorskip("lm_eval", reason="lm-eval is not installed")

CHOICE = """\
task: tiny_choice
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{question}}}} Answer:"
doc_to_choice: "{{{{options}}}}"
doc_to_target: label
metric_list:
  - metric: acc
  - metric: acc_norm
"""
GENERATE = """\
task: tiny_generate
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
test_split: test
output_type: generate_until
doc_to_text: "{{{{question}}}}"
doc_to_target: "{{{{options[0]}}}}"
generation_kwargs: {{until: ["a"], max_gen_toks: 12, do_sample: false}}
metric_list:
  - metric: exact_match
"""
ROLLING = """\
task: tiny_rolling
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
test_split: test
output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: "{{{{text}}}}"
metric_list:
  - metric: word_perplexity
"""
DOCUMENTS = [
    {
        "question": f"What is {a} plus {b}?",
        "options": [str(a + b), f"{a} and {b}", "I do not know", "7"],
        "label": (a + b) % 4,
        "text": f"Sum of {a} and {b}. " * (1 + 4 * a),  # some are longer than the model's positions
    }
    for a in range(6)
    for b in range(5)
]


@pytest.fixture
def task(tmp_path: Path) -> Callable[[str], str]:
    """``task(yaml)`` writes a task over the documents and returns the YAML's path."""

    def write(template: str) -> str:
        data = tmp_path / "documents.jsonl"
        data.write_text("".join(json.dumps(document) + "\n" for document in DOCUMENTS))
        name = template.splitlines()[0].removeprefix("task: ")
        path = tmp_path / f"{name}.yaml"
        path.write_text(template.format(data=data))
        return str(path)

    return write


def _by_hflm(policy: Policy, path: str) -> dict[str, Any]:
    import lm_eval as peer
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    model = HFLM(pretrained=policy.model, tokenizer=policy.tokenizer, batch_size=4, add_bos_token=False)
    manager = TaskManager(include_path=str(Path(path).parent), include_defaults=False)
    return dict(peer.simple_evaluate(model, tasks=[Path(path).stem], task_manager=manager))


def _responses(found: dict[str, Any], name: str) -> list[Any]:
    return [row["resps"] for row in sorted(found["samples"][name], key=lambda row: row["doc_id"])]


@pytest.fixture
def engine(tiny_random_policy: Policy) -> TransformersEngine:
    return TransformersEngine(tiny_random_policy)


def test_multiple_choice_agrees_with_hflm(
    tiny_random_policy: Policy, engine: TransformersEngine, task: Callable[[str], str], tmp_path: Path
) -> None:
    path = task(CHOICE)
    theirs = _by_hflm(tiny_random_policy, path)
    result = lm_eval.evaluate(engine, path, tmp_path / "out")
    row = theirs["results"]["tiny_choice"]
    for metric in ("acc,none", "acc_stderr,none", "acc_norm,none"):
        assert result.figures["tiny_choice"][metric] == pytest.approx(row[metric])
    assert result.scores is not None
    assert result.scores.pass_at_1().value == pytest.approx(row["acc,none"])
    assert len(result.scores.questions) == len(DOCUMENTS)


def test_loglikelihoods_are_hflms(
    tiny_random_policy: Policy, engine: TransformersEngine, task: Callable[[str], str]
) -> None:
    import lm_eval as peer
    from lm_eval.tasks import TaskManager

    path = task(CHOICE)
    theirs = _responses(_by_hflm(tiny_random_policy, path), "tiny_choice")
    manager = TaskManager(include_path=str(Path(path).parent), include_defaults=False)
    ours = peer.simple_evaluate(lm_eval.engine_lm(engine), tasks=["tiny_choice"], task_manager=manager)
    for mine, other in zip(_responses(ours, "tiny_choice"), theirs, strict=True):
        for (value, greedy), (expected, expected_greedy) in zip(chain(*mine), chain(*other), strict=True):
            assert float(value) == pytest.approx(float(expected), abs=1e-3)
            assert greedy == expected_greedy


def test_rolling_agrees_with_hflm(
    tiny_random_policy: Policy, engine: TransformersEngine, task: Callable[[str], str], tmp_path: Path
) -> None:
    path = task(ROLLING)
    theirs = _by_hflm(tiny_random_policy, path)["results"]["tiny_rolling"]["word_perplexity,none"]
    result = lm_eval.evaluate(engine, path, tmp_path / "out")
    assert result.figures["tiny_rolling"]["word_perplexity,none"] == pytest.approx(theirs, rel=1e-4)
    assert result.scores is None
    assert not (tmp_path / "out" / "scores.json").exists()


def test_greedy_generation_agrees_with_hflm(
    tiny_random_policy: Policy, engine: TransformersEngine, task: Callable[[str], str]
) -> None:
    import lm_eval as peer
    from lm_eval.tasks import TaskManager

    path = task(GENERATE)
    theirs = _responses(_by_hflm(tiny_random_policy, path), "tiny_generate")
    manager = TaskManager(include_path=str(Path(path).parent), include_defaults=False)
    ours = peer.simple_evaluate(lm_eval.engine_lm(engine), tasks=["tiny_generate"], task_manager=manager)
    assert _responses(ours, "tiny_generate") == theirs


def test_repeats_are_samples_of_one_request(
    engine: TransformersEngine, task: Callable[[str], str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[Request] = []
    generate = engine.generate

    def spy(requests: list[Request], sampling: Sampling) -> list[Group]:
        asked.extend(requests)
        return generate(requests, sampling)

    monkeypatch.setattr(engine, "generate", spy)
    sampled = GENERATE.replace("do_sample: false", "do_sample: true, temperature: 1.0") + "repeats: 3\n"
    lm_eval.evaluate(engine, task(sampled), tmp_path / "out")
    assert len(asked) == len(DOCUMENTS)
    assert {request.n for request in asked} == {3}


def test_a_finished_task_is_read_and_another_model_is_refused(
    engine: TransformersEngine,
    make_random_policy: Callable[..., Policy],
    task: Callable[[str], str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path, out = task(CHOICE), tmp_path / "out"
    first = lm_eval.evaluate(engine, path, out)
    monkeypatch.setattr(lm_eval, "_run", None)  # a second run would call it
    assert lm_eval.evaluate(engine, path, out).figures == first.figures
    other = TransformersEngine(make_random_policy(seed=1))
    with pytest.raises(TaskError, match="another model"):
        lm_eval.evaluate(other, path, out)


@pytest.mark.parametrize("template", [CHOICE, GENERATE, ROLLING])
def test_killed_in_the_middle_it_goes_on_with_what_is_missing(
    engine: TransformersEngine,
    task: Callable[[str], str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    template: str,
) -> None:
    path = task(template)
    whole = lm_eval.evaluate(engine, path, tmp_path / "whole")
    monkeypatch.setattr(lm_eval, "BLOCK", 10)
    calls: list[int] = []

    def limited(name: str, most: int) -> None:
        usual = getattr(TransformersEngine, name)

        def call(self: TransformersEngine, asked: list[Any], *rest: Any) -> Any:
            if len(calls) == most:
                raise KeyboardInterrupt
            calls.append(len(asked))
            return usual(self, asked, *rest)

        monkeypatch.setattr(engine, name, call.__get__(engine))

    for name in ("generate", "loglikelihoods"):
        limited(name, 2)
    with pytest.raises(KeyboardInterrupt):
        lm_eval.evaluate(engine, path, tmp_path / "killed")
    done = sum(calls)
    for name in ("generate", "loglikelihoods"):
        limited(name, 10**6)
    resumed = lm_eval.evaluate(engine, path, tmp_path / "killed")
    assert resumed.figures.keys() == whole.figures.keys()
    for name, row in whole.figures.items():
        assert resumed.figures[name] == pytest.approx(row, abs=1e-3)
    again = sum(calls) - done
    calls.clear()
    lm_eval.evaluate(engine, path, tmp_path / "uninterrupted")
    assert done + again == sum(calls)  # nothing was asked twice
    assert [file.name for file in (tmp_path / "killed").iterdir() if file.name.startswith("requests")] == []


@pytest.mark.vllm
def test_tasks_run_through_vllm(
    make_random_policy: Callable[..., Policy],
    task: Callable[[str], str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("vllm")
    policy = make_random_policy(hidden_size=64, num_attention_heads=2, num_key_value_heads=1)
    engines = TransformersEngine(policy), VllmEngine(policy)
    # Texts that are too long are cut into the same windows.
    monkeypatch.setattr(TransformersEngine, "positions", engines[1].positions)
    for template in (CHOICE, GENERATE, ROLLING):
        path = task(template)
        ours, vllms = (lm_eval.evaluate(one, path, tmp_path / one.name / Path(path).stem) for one in engines)
        assert vllms.figures.keys() == ours.figures.keys()
        for name, row in ours.figures.items():
            assert vllms.figures[name] == pytest.approx(row, rel=0.02, abs=1e-3)


def test_compare_and_report_read_the_results(
    engine: TransformersEngine,
    make_random_policy: Callable[..., Policy],
    task: Callable[[str], str],
    tmp_path: Path,
) -> None:
    path = task(CHOICE)
    folders = [tmp_path / "a" / "lm_eval-tiny", tmp_path / "b" / "lm_eval-tiny"]
    for folder, one in zip(folders, (engine, TransformersEngine(make_random_policy(seed=1))), strict=True):
        lm_eval.evaluate(one, path, folder)
    [found] = compare.compare([tmp_path / "a", tmp_path / "b"])
    assert found.benchmark == "lm_eval:tiny_choice"
    assert found.questions == len(DOCUMENTS)
    study = collect([tmp_path / "a", tmp_path / "b"])
    assert study.problems == []
    assert [evaluation.benchmark for evaluation in study.evaluations] == ["lm_eval:tiny_choice"] * 2


def test_what_is_not_there_is_told(engine: TransformersEngine, tmp_path: Path) -> None:
    with pytest.raises(TaskError, match=r"knows no such task; near it: .*gsm8k"):
        lm_eval.evaluate(engine, "gsm8", tmp_path)
    with pytest.raises(TaskError, match="no such file"):
        lm_eval.evaluate(engine, str(tmp_path / "none.yaml"), tmp_path)
    with pytest.raises(TaskError, match="--engine transformers"):
        lm_eval.evaluate(object(), "gsm8k", tmp_path)
