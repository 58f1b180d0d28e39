"""Supervised fine-tuning: its loss against transformers' own, its resumption to the bit."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow
import pytest
import torch
from pyarrow import parquet
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast

from evals.base import io
from evals.base.errors import UsageError
from evals.base.progress import Progress
from evals.task import Question
from evals.tasks import registry
from harness import config
from harness.config import SFT, Data, Experiment, Pretrain
from harness.engines.hf import TransformersEngine
from harness.models.policy import Policy, weights_hash
from harness.train import checkpoint
from harness.train.learners import train_stage
from harness.train.loop import Outcome, StageRun
from harness.train.micro_batch import MicroBatch
from harness.train.pipeline import run_experiment
from harness.train.run_dir import Run
from harness.train.sft.chat import Marked
from harness.train.sft.data import load_examples, load_texts
from harness.train.sft.encoding import encode, pack
from harness.train.sft.formats import Example
from harness.train.sft.stage import SftUpdater
from harness.train.sft.stored import Tokens
from tests.harness.models import architectures

EXAMPLES = [Example(f"User: {i}+{i}?\nAssistant:", f" {'so ' * i}{2 * i}") for i in range(1, 9)]


def stage(**settings: Any) -> SFT:
    return SFT(**{"data": "x", "steps": 4, "batch_size": 4, "learning_rate": 1e-3, **settings})


def write(path: Path, rows: list[Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


@pytest.mark.parametrize("budget", [16384, 64])
def test_loss_and_gradient_are_transformers_own(
    make_random_policy: Callable[..., Policy], budget: int
) -> None:
    policy, peer = make_random_policy(), make_random_policy()
    batch = list(encode(EXAMPLES, policy))
    updater = SftUpdater(policy, stage(max_grad_norm=1e9), MicroBatch(budget))
    norm = updater.update(batch, 1)
    longest = max(map(len, batch))
    tokens = torch.zeros((len(batch), longest), dtype=torch.long)
    labels = torch.full((len(batch), longest), -100)
    for i, example in enumerate(batch):
        row, read = torch.tensor([*example.prompt, *example.rest]), len(example.prompt)
        tokens[i, : len(row)] = row
        labels[i, read : len(row)] = row[read:]
    loss = peer.model(input_ids=tokens, labels=labels).loss
    loss.backward()
    gradients = torch.cat([p.grad.flatten() for p in peer.model.parameters() if p.grad is not None])
    assert norm["loss"] == pytest.approx(loss.item(), abs=1e-5)
    assert norm["grad_norm"] == pytest.approx(float(gradients.norm()), rel=1e-4)
    assert norm["tokens"] == sum(len(example.rest) for example in batch)


def test_a_response_ends_where_the_sequence_does(tiny_random_policy: Policy) -> None:
    end = tiny_random_policy.tokenizer.eos_token_id
    assert all(example.rest[-1] == end for example in encode(EXAMPLES, tiny_random_policy))
    with pytest.raises(UsageError, match=r"1 of 1 examples do not fit \d+ positions"):
        encode([Example("x", "y" * 100_000)], tiny_random_policy)


def run_stage(folder: Path, policy: Policy, of: SFT, **options: Any) -> Outcome:
    experiment = Experiment(
        name="test",
        policy=config.Policy(model="tiny", template="tags"),
        data=Data(train="tiny-aime:train"),
        stages=[of],
    )
    run = Run(folder, experiment)
    try:
        return train_stage(of, StageRun(run, policy, TransformersEngine(policy), **options))
    finally:
        run.close()


def test_it_learns_and_goes_on_to_the_same_bits(
    make_random_policy: Callable[..., Policy], tmp_path: Path
) -> None:
    data = write(tmp_path / "x.jsonl", [{"prompt": e.prompt, "response": e.response} for e in EXAMPLES])
    of = stage(data=str(data), steps=6, checkpoint_every=2)
    whole = make_random_policy()
    assert run_stage(tmp_path / "whole", whole, of) == Outcome("done", 6)
    rows = list(io.read_lines(tmp_path / "whole" / "metrics.jsonl"))
    assert rows[-1]["loss"] < rows[0]["loss"]

    reasons = iter([None, None, None, "away"])
    run_stage(tmp_path / "parts", make_random_policy(), of, should_stop=lambda: next(reasons))
    resumed = make_random_policy(seed=5)  # the weights come from the checkpoint
    assert run_stage(tmp_path / "parts", resumed, of) == Outcome("done", 6)
    again = list(io.read_lines(tmp_path / "parts" / "metrics.jsonl"))
    assert [row["loss"] for row in again] == [row["loss"] for row in rows]
    assert weights_hash(resumed.model) == weights_hash(whole.model)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("{", "line 2: is not valid JSON"),
        ("[]", "line 2: is not a JSON object"),
        ({"prompt": "x", "response": " "}, 'line 2: "response" must be text'),
        ({"question": "x", "response": "y"}, 'line 2: needs "messages"'),
        ({"question": "x", "task": "nothing", "response": "y"}, "line 2: .*nothing"),
    ],
)
def test_a_broken_line_is_named_or_left_out(
    row: Any, message: str, tiny_random_policy: Policy, tmp_path: Path
) -> None:
    path = write(tmp_path / "x.jsonl", [{"prompt": "a", "response": "b"}, row])
    with pytest.raises(UsageError, match=message):
        list(load_examples(stage(data=str(path)), tiny_random_policy, "tags", tmp_path, 0))
    kept = load_examples(stage(data=str(path), skip_broken=True), tiny_random_policy, "tags", tmp_path, 0)
    assert list(kept) == [Example("a", "b")]


def test_a_stage_learns_conversations_of_any_shape_and_shows_the_first(
    byte_tokenizer: PreTrainedTokenizerFast, make_random_policy: Callable[..., Policy], tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    policy = make_random_policy()
    tokenizer = copy.deepcopy(byte_tokenizer)
    tokenizer.chat_template = (
        "{% for m in messages %}{{ m.role }}: {{ m.content }}<|endoftext|>{% endfor %}"
        "{% if add_generation_prompt %}assistant: {% endif %}"
    )
    policy = replace(policy, tokenizer=tokenizer)
    rows: list[dict[str, Any]] = [
        {"messages": [{"role": "user", "content": "1+1?"}, {"role": "assistant", "content": "2"}]},
        {"conversations": [{"from": "human", "value": "2+2?"}, {"from": "gpt", "value": "<think>four"}]},
        {"prompt": "3+3=", "completion": "6"},
        {"text": "All of it."},
    ]
    table = tmp_path / "x.parquet"
    columns = dict.fromkeys(key for row in rows for key in row)
    parquet.write_table(pyarrow.Table.from_pylist([dict.fromkeys(columns) | row for row in rows]), table)
    for data in (write(tmp_path / "x.jsonl", rows), table):
        shown: list[str] = []
        of = stage(data=str(data), steps=6, learning_rate=1e-2)
        run_stage(tmp_path / data.suffix, policy, of, show=lambda text, told=shown: told.append(text.plain))
        assert shown[0] == "sft: 4 examples; the first one, of 24 tokens, 2 of them learned:"
        assert shown[1] == "user: 1+1?<|endoftext|>assistant: ⟪2<|endoftext|>⟫"
        losses = [row["loss"] for row in io.read_lines(tmp_path / data.suffix / "metrics.jsonl")]
        assert losses[-1] < losses[0]
        assert "1 of 4 responses do not close the reasoning" in caplog.text
        caplog.clear()
    with pytest.raises(UsageError, match=r"line 1: has messages, and .* no chat template"):
        run_stage(tmp_path / "none", make_random_policy(), stage(data=str(tmp_path / "x.jsonl")))


def test_a_question_is_put_into_the_student_s_template(tiny_random_policy: Policy, tmp_path: Path) -> None:
    write(tmp_path / "kept.jsonl", [{"task": "tiny-aime", "question": "1+1?", "response": "<think>…"}])
    (found,) = load_examples(stage(data="kept"), tiny_random_policy, "tags", tmp_path, 0)
    assert found == Example("User: 1+1?\nAssistant:", "<think>…")


def test_tiny_traces_are_flawless_and_the_seed_s_own(tiny_random_policy: Policy, tmp_path: Path) -> None:
    def load(seed: int) -> list[Example | Marked]:
        return list(load_examples(stage(data="tiny-traces"), tiny_random_policy, "tags", tmp_path, seed))

    assert load(0) == load(0) != load(1)
    for each in load(0):
        assert isinstance(each, Example)
        assert each.response.startswith("<think>")
        assert each.response.endswith("</answer>")


def test_pretraining_learns_every_token_of_joined_texts(tiny_random_policy: Policy, tmp_path: Path) -> None:
    texts = ["one two", "three", "four five six"]
    pieces = pack(texts, tiny_random_policy, 6)
    end = tiny_random_policy.tokenizer.eos_token
    joined = tiny_random_policy.tokenizer(end.join(texts) + end, add_special_tokens=False).input_ids
    ids = [token for piece in pieces for token in (*piece.prompt, *piece.rest)]
    assert ids == joined[: len(ids)]
    assert {len(piece) for piece in pieces} == {6}
    assert len(joined) - len(ids) < 6
    assert list(pack(["hi"], tiny_random_policy, 100)) == [
        Tokens(
            (joined_ids(tiny_random_policy, "hi")[0],),
            (*joined_ids(tiny_random_policy, "hi")[1:], tiny_random_policy.tokenizer.eos_token_id),
            (True, True),
        )
    ]
    with pytest.raises(UsageError, match="do not fit the model's 256 positions"):
        pack(texts, tiny_random_policy, 257)

    data = write(tmp_path / "texts.jsonl", [{"text": text} for text in texts])
    of = Pretrain(data=str(data), steps=6, batch_size=2, sequence_length=8, learning_rate=1e-2)
    assert run_stage(tmp_path / "run", tiny_random_policy, of).state == "done"
    losses = [row["loss"] for row in io.read_lines(tmp_path / "run/metrics.jsonl")]
    assert losses[-1] < losses[0]
    bad = write(tmp_path / "bad.jsonl", [{"text": "fine"}, {"texts": "no"}])
    with pytest.raises(UsageError, match='line 2: "text" must be text'):
        list(load_texts(of.model_copy(update={"data": str(bad)}), tiny_random_policy, "tags", 0))


def joined_ids(policy: Policy, text: str) -> list[int]:
    ids: list[int] = policy.tokenizer(text, add_special_tokens=False).input_ids
    return ids


def test_pretraining_begins_each_text_as_the_tokenizer_does(tiny_random_policy: Policy) -> None:
    policy = replace(tiny_random_policy, tokenizer=copy.deepcopy(tiny_random_policy.tokenizer))
    start, end = "<|pad|>", policy.tokenizer.eos_token_id
    policy.tokenizer.bos_token = start
    policy.tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single=f"{start} $A", special_tokens=[(start, policy.tokenizer.bos_token_id)]
    )
    (piece,) = pack(["one", "two"], policy, 100)
    one, two = (joined_ids(tiny_random_policy, text) for text in ("one", "two"))
    begin = policy.tokenizer.bos_token_id
    assert [*piece.prompt, *piece.rest] == [begin, *one, end, begin, *two, end]


def test_a_model_that_is_only_fine_tuned_needs_no_engine(
    byte_tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    """Its layers attend to a window, which the transformers engine refuses; nothing samples it here."""
    folder = architectures.save("mistral", {"sliding_window": 8}, byte_tokenizer, tmp_path / "policy")
    data = write(tmp_path / "x.jsonl", [{"prompt": e.prompt, "response": e.response} for e in EXAMPLES])
    experiment = Experiment(
        name="x",
        policy=config.Policy(model=str(folder), template="tags"),
        data=Data(train="tiny-aime:train[:4]"),
        stages=[stage(data=str(data), max_tokens=16)],
    )
    assert run_experiment(experiment, tmp_path / "run", Progress(quiet=True)) == "done"
    asks = experiment.data.model_copy(update={"dev": ["tiny-aime:dev[:2]"]})
    with pytest.raises(UsageError, match="cannot be sampled by the transformers engine"):
        run_experiment(experiment.model_copy(update={"data": asks}), tmp_path / "asks", Progress(quiet=True))


@pytest.mark.parametrize("schedule", ["constant", "linear"])
def test_everything_in_a_later_stage_counts_that_stage_s_steps(
    make_random_policy: Callable[..., Policy], tmp_path: Path, schedule: Any
) -> None:
    data = write(tmp_path / "x.jsonl", [{"prompt": e.prompt, "response": e.response} for e in EXAMPLES])
    settings = {"schedule": schedule, "checkpoint_every": 2, "keep_checkpoints": 9, "warmup_steps": 2}
    of, policy = stage(data=str(data), eval_every=2, max_tokens=8, **settings), make_random_policy()
    dev = [(registry.get("tiny-aime"), Question("1", "1+1?", "2"))]
    assert run_stage(tmp_path / "run", policy, of, first_step=5, dev_questions=dev) == Outcome("done", 9)
    rows = list(io.read_lines(tmp_path / "run" / "metrics.jsonl"))
    assert [row["step"] for row in rows] == [6, 7, 8, 9]
    rates = {"constant": [0.5, 1, 1, 1], "linear": [0.5, 1, 1, 0.5]}[schedule]
    assert [row["learning_rate"] / 1e-3 for row in rows] == pytest.approx(rates)
    assert ["dev/pass@1" in row for row in rows] == [False, True, False, True]
    assert checkpoint.steps(tmp_path / "run" / "checkpoints") == [7, 9]

    reasons = iter([None, None, None, "away"])
    parts = {"first_step": 5, "should_stop": lambda: next(reasons)}
    assert run_stage(tmp_path / "parts", make_random_policy(), of, **parts).step == 8
    resumed = make_random_policy(seed=5)
    assert run_stage(tmp_path / "parts", resumed, of, first_step=5) == Outcome("done", 9)
    assert weights_hash(resumed.model) == weights_hash(policy.model)
