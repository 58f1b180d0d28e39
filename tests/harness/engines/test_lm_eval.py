"""lm-eval's tasks through our engine say what they say through lm-eval's own model class."""

from __future__ import annotations

import copy
import json
import logging
import os
from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast

from evals import lm_eval
from evals.comparison import compare
from evals.engine import Completion, Group, Request, Sampling, TokenPair
from evals.task import TaskError
from evals.templates import Template
from harness.engines import tokens as text
from harness.engines.hf import TransformersEngine
from harness.engines.vllm_engine import VllmEngine
from harness.models.policy import Policy
from reports import tables
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


def rows_of(folder: Path) -> list[dict[str, Any]]:
    """The rows of an evaluation's samples.jsonl."""
    return [json.loads(line) for line in (folder / "samples.jsonl").read_text().splitlines()]


class CountingEngine:
    """Answers at once, with a text that says which sample it is, and writes down what it was asked."""

    name, model_hash, positions = "transformers", "counting", 512

    def __init__(self, tokenizer: PreTrainedTokenizerFast, dies_at: int = 10**9) -> None:
        self.tokenizer = tokenizer
        self.dies_at = dies_at
        self.asked: list[tuple[str, int]] = []
        self.calls = 0

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[Group]:
        self.calls += 1
        if self.calls == self.dies_at:
            raise KeyboardInterrupt
        prompts = text.encode_prompts(self.tokenizer, requests)
        text.check_lengths(prompts, sampling, self.positions)
        self.asked += [(request.prompt, sampling.max_tokens) for request in requests]
        return [
            Group((), tuple(Completion(f"sample {i}", (1,) * 3, (), "length") for i in range(request.n)))
            for request in requests
        ]

    def loglikelihoods(self, pairs: Sequence[TokenPair]) -> list[tuple[float, bool]]:
        return [(-float(len(right)), False) for _, right in pairs]


@pytest.fixture
def counting(byte_tokenizer: PreTrainedTokenizerFast) -> CountingEngine:
    return CountingEngine(byte_tokenizer)


@pytest.fixture
def starting(byte_tokenizer: PreTrainedTokenizerFast) -> CountingEngine:
    """Its tokenizer puts a start token before a text, as Llama's does."""
    tokenizer = copy.deepcopy(byte_tokenizer)
    tokenizer.bos_token = "<|pad|>"
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="<|pad|> $A", special_tokens=[("<|pad|>", tokenizer.bos_token_id)]
    )
    return CountingEngine(tokenizer)


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
    rows = rows_of(tmp_path / "out")
    assert [row["correct"] for row in rows] == [None] * len(DOCUMENTS)
    assert [row["finish_reason"] for row in rows] == [None] * len(DOCUMENTS)
    assert rows[3]["response"] == DOCUMENTS[3]["text"]
    study = collect([tmp_path / "out"])
    assert not study.problems
    table = tables.suites(study)
    assert table is not None
    assert table.rows[0][3].text == "word_perplexity"
    assert table.rows[0][4].value == pytest.approx(theirs, rel=1e-4)
    with pytest.raises(TaskError, match="no document in it is right or wrong"):
        compare.compare([tmp_path / "out", tmp_path / "out"])


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


def test_a_finished_task_asks_nothing_again_and_another_model_is_refused(
    engine: TransformersEngine,
    make_random_policy: Callable[..., Policy],
    task: Callable[[str], str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path, out = task(CHOICE), tmp_path / "out"
    first = lm_eval.evaluate(engine, path, out)
    written = {file.name: file.read_bytes() for file in out.iterdir()}

    def never(pairs: Sequence[TokenPair]) -> list[tuple[float, bool]]:
        raise AssertionError("asked again")

    monkeypatch.setattr(engine, "loglikelihoods", never)
    assert lm_eval.evaluate(engine, path, out).figures == first.figures
    assert {file.name: file.read_bytes() for file in out.iterdir()} == written
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
    monkeypatch.setattr(lm_eval.model, "BLOCK", 10)
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


def test_a_part_is_named_a_part_and_never_compared_with_the_whole(
    engine: TransformersEngine, task: Callable[[str], str], tmp_path: Path
) -> None:
    path = task(CHOICE)
    assert lm_eval.part(lm_eval.part(path, 2), 8) == f"{path}[:2]"
    whole = lm_eval.evaluate(engine, path, tmp_path / "a" / lm_eval.folder_name(path))
    some = lm_eval.part(path, 2)
    found = lm_eval.evaluate(engine, some, tmp_path / "b" / lm_eval.folder_name(some))
    assert found.scores is not None
    assert whole.scores is not None
    assert found.scores.benchmark == "lm_eval:tiny_choice[:2]"
    assert found.scores.questions == whole.scores.questions[:2]
    assert "part of a benchmark" in found.scores.warnings[0]
    again = lm_eval.evaluate(engine, some, tmp_path / "b" / lm_eval.folder_name(some))
    assert again.scores == found.scores
    with pytest.raises(TaskError, match="no two of these evaluations share a benchmark"):
        compare.compare([tmp_path / "a", tmp_path / "b"])


def test_what_is_not_there_is_told(engine: TransformersEngine, tmp_path: Path) -> None:
    with pytest.raises(TaskError, match=r"knows no such task; near it: .*gsm8k"):
        lm_eval.evaluate(engine, "gsm8", tmp_path)
    with pytest.raises(TaskError, match="no such file"):
        lm_eval.evaluate(engine, str(tmp_path / "none.yaml"), tmp_path)
    with pytest.raises(TaskError, match="--engine transformers"):
        lm_eval.evaluate(object(), "gsm8k", tmp_path)


@pytest.mark.parametrize(("wanted", "given"), [(64, 64), (400, 400), (512, 412), (32768, 412)])
def test_a_prompt_is_never_cut_for_tokens_that_the_model_has_no_positions_for(
    counting: CountingEngine, wanted: int, given: int
) -> None:
    prompt = "Find the number of ordered pairs (a, b). ".ljust(100, "x")
    lm = lm_eval.engine_lm(counting)
    lm.generate_until([asking(prompt, wanted), asking("short", wanted)])
    assert counting.asked == [(prompt, given), ("short", given)]
    assert lm.limits == ({} if given == wanted else {wanted: given})
    assert not lm.shortened


def test_a_prompt_that_leaves_no_room_is_cut_and_fits_with_its_start_token(
    counting: CountingEngine, starting: CountingEngine
) -> None:
    for engine in (counting, starting):
        for wanted, room in ((64, 448), (32768, 256)):
            prompt = "é one two three " * 50
            lm = lm_eval.engine_lm(engine)
            lm.generate_until([asking(prompt, wanted)])
            asked, tokens = engine.asked[-1]
            assert prompt.endswith(asked.removeprefix("\ufffd"))
            assert room - 4 <= len(lm.tok_encode(asked)) <= room
            assert tokens == min(wanted, 512 - len(lm.tok_encode(asked)))
            assert len(lm.shortened) == 1


def asking(prompt: str, tokens: int) -> Any:
    kwargs = {"until": ["\n"], "do_sample": False, "max_gen_toks": tokens}
    return SimpleNamespace(args=(prompt, kwargs))


def test_the_protocol_tells_what_was_cut(
    counting: CountingEngine, task: Callable[[str], str], tmp_path: Path
) -> None:
    path = task(GENERATE.replace("max_gen_toks: 12", "max_gen_toks: 32768"))
    lm_eval.evaluate(counting, path, tmp_path / "out")
    protocol = json.loads((tmp_path / "out" / "scores.json").read_text())["protocol"]
    most = 512 - max(len(str(document["question"])) for document in DOCUMENTS)
    assert protocol["max_gen_toks"] == most
    assert f"max_gen_toks={most} for 32768" in protocol["name"]


def test_our_limit_replaces_the_tasks_own(
    counting: CountingEngine, task: Callable[[str], str], tmp_path: Path
) -> None:
    path = task(GENERATE.replace("max_gen_toks: 12", "max_new_tokens: 12"))  # one of lm-eval's other names
    for limit, allowed in ((100, 100), (32768, 512 - max(len(str(d["question"])) for d in DOCUMENTS))):
        counting.asked.clear()
        out = tmp_path / str(limit)
        lm_eval.evaluate(counting, path, out, max_tokens=limit)
        assert {tokens for _, tokens in counting.asked} == {allowed}
        protocol = json.loads((out / "scores.json").read_text())["protocol"]
        assert protocol["max_gen_toks"] == allowed
        assert f"max_gen_toks={allowed}" in protocol["name"]
    with pytest.raises(TaskError, match="max_tokens or seed; name another folder"):
        lm_eval.evaluate(counting, path, tmp_path / "100")


def test_documents_are_kept_with_prompts_responses_and_ends(
    counting: CountingEngine, task: Callable[[str], str], tmp_path: Path
) -> None:
    scores = lm_eval.evaluate(counting, task(GENERATE), tmp_path / "out").to_json()
    assert scores["truncated"] == 1
    assert scores["unparsed"] is None
    assert scores["tokens"]["total"] == 3 * len(DOCUMENTS)
    row = rows_of(tmp_path / "out")[4]
    assert row["prompt"] == DOCUMENTS[4]["question"]
    assert row["response"] == "sample 0"
    assert row["responses"] == [{"text": "sample 0", "finish_reason": "length", "tokens": 3}]
    assert row["metrics"] == {"exact_match,none": 0.0}
    assert (row["finish_reason"], row["correct"], row["target"]) == ("length", False, "4")
    choices = lm_eval.evaluate(counting, task(CHOICE), tmp_path / "choice").to_json()
    assert (choices["truncated"], choices["unparsed"], choices["tokens"]) == (None, None, None)
    row = rows_of(tmp_path / "choice")[0]
    assert [reply["text"] for reply in row["responses"]] == [" 0", " 0 and 0", " I do not know", " 7"]
    assert row["response"] == " 0"
    assert row["prompt"] == "What is 0 plus 0? Answer:"


def edit(file: Path, old: str, new: str) -> None:
    """Edits a file, and makes sure that the time it was changed at tells."""
    file.write_text(file.read_text().replace(old, new))
    later = file.stat().st_mtime + 10
    os.utime(file, (later, later))


@pytest.mark.parametrize("what", ["document", "included", "function"])
def test_what_was_edited_since_counts_and_is_told(
    counting: CountingEngine,
    task: Callable[[str], str],
    tmp_path: Path,
    what: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    base = Path(task(GENERATE))
    base.write_text(base.read_text().replace("{{options[0]}}", "sample 0"))
    (tmp_path / "own.py").write_text('def text(doc):\n    return doc["question"]\n')
    path = tmp_path / "mine.yaml"
    path.write_text(f"include: {base.name}\ntask: mine\ndoc_to_text: !function own.text\n")
    out = tmp_path / "out"
    assert lm_eval.evaluate(counting, str(path), out).figures["mine"]["exact_match,none"] == 1
    before = json.loads((out / "scores.json").read_text())["data_hash"]
    counting.asked.clear()
    if what == "document":
        edit(tmp_path / "documents.jsonl", "What is 0 plus 0?", "And 0 plus 0?")
    elif what == "included":
        edit(base, "sample 0", "sample 1")
    else:
        edit(tmp_path / "own.py", 'doc["question"]', 'doc["question"] + " Say it."')
    with caplog.at_level(logging.WARNING, "evals"):
        found = lm_eval.evaluate(counting, str(path), out)
    assert found.figures["mine"]["exact_match,none"] == (0 if what == "included" else 1)
    assert len(counting.asked) == {"document": 1, "included": 0, "function": len(DOCUMENTS)}[what]
    assert ("Graded again: 30 of 30" in caplog.text) == (what == "included")
    assert ("requests were asked that were not before" in caplog.text) == (what != "included")
    scores = json.loads((out / "scores.json").read_text())
    assert scores["data_hash"] != before
    assert len(scores["warnings"]) == 1
    lm_eval.evaluate(counting, str(path), out)
    assert json.loads((out / "scores.json").read_text()) == scores  # the change is not forgotten


@pytest.mark.parametrize("sampled", ["temperature: 1.0", "do_sample: true"])
def test_repeats_stay_different_samples_after_a_kill(
    byte_tokenizer: PreTrainedTokenizerFast,
    task: Callable[[str], str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    sampled: str,
) -> None:
    monkeypatch.setattr(lm_eval.model, "BLOCK", 1)
    path = task(GENERATE.replace("do_sample: false", sampled) + "repeats: 4\n")
    with pytest.raises(KeyboardInterrupt):
        lm_eval.evaluate(CountingEngine(byte_tokenizer, dies_at=3), path, tmp_path / "out")
    engine = CountingEngine(byte_tokenizer)
    lm_eval.evaluate(engine, path, tmp_path / "out")
    assert len(engine.asked) == len(DOCUMENTS) - 2
    for row in rows_of(tmp_path / "out"):
        assert [reply["text"] for reply in row["responses"]] == [f"sample {i}" for i in range(4)]


def test_a_reply_cut_short_by_a_kill_is_asked_again(
    counting: CountingEngine, task: Callable[[str], str], tmp_path: Path
) -> None:
    path, out = task(GENERATE), tmp_path / "out"
    lm_eval.evaluate(counting, path, out)
    rows = (out / "samples.jsonl").read_text()
    replies = (out / "replies.jsonl").read_bytes()
    (out / "replies.jsonl").write_bytes(replies[:-9])
    counting.asked.clear()
    lm_eval.evaluate(counting, path, out)
    assert len(counting.asked) == 1
    assert (out / "samples.jsonl").read_text() == rows
    assert (out / "replies.jsonl").read_bytes() == replies


class ThinkingEngine(CountingEngine):
    """Thinks aloud, then says what every document's answer is not."""

    model_hash = "thinking"

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[Group]:
        self.prompts = [request.prompt for request in requests]
        self.stop = sampling.stop
        said = Completion("a thought: 1 plus 1 is 2\n</think>\n\n0a bit more", (1, 2), (), "stop")
        return [Group((1,), (said,) * request.n) for request in requests]


def test_a_model_that_chats_is_asked_through_its_template_and_its_thinking_is_not_graded(
    make_random_policy: Callable[..., Policy], task: Callable[[str], str], tmp_path: Path
) -> None:
    tokenizer = copy.deepcopy(make_random_policy().tokenizer)
    tokenizer.chat_template = (
        "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}"
        "{% if add_generation_prompt %}[assistant]{% endif %}{# <think> #}"
    )
    engine = ThinkingEngine(tokenizer)
    path, out = task(GENERATE.replace("options[0]", "0")), tmp_path / "out"
    found = lm_eval.evaluate(engine, path, out, template=Template(system="Be brief."))
    assert set(engine.prompts) == {
        f"[system]Be brief.[user]{document['question']}[assistant]<think>\n" for document in DOCUMENTS
    }
    assert found.figures["tiny_generate"]["exact_match,none"] == 1.0
    row = rows_of(out)[0]
    assert row["prompt"] in engine.prompts
    assert (row["response"], row["answer"]) == ("a thought: 1 plus 1 is 2\n</think>\n\n0a bit more", "0")
    assert engine.stop == ()  # "a", the stop string of the task, applies only to the answer
    assert json.loads((out / "lm_eval.json").read_text())["protocol"]["template"].startswith("chat-")
    with pytest.raises(TaskError, match="another model, task, template, max_tokens or seed"):
        lm_eval.evaluate(engine, path, out)


def test_a_text_template_leaves_lm_evals_prompts_alone(
    make_random_policy: Callable[..., Policy], task: Callable[[str], str], tmp_path: Path
) -> None:
    engine = ThinkingEngine(copy.deepcopy(make_random_policy().tokenizer))
    found = lm_eval.evaluate(engine, task(GENERATE), tmp_path / "out", template="auto")
    assert set(engine.prompts) == {document["question"] for document in DOCUMENTS}
    assert found.figures["tiny_generate"]["exact_match,none"] == 0.0
    assert "a" in engine.stop
