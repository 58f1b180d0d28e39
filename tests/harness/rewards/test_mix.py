"""What a term of the mix can say besides its weight."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForSequenceClassification, PreTrainedTokenizerFast

from evals.base.errors import JobError, UsageError
from evals.engine import Completion
from evals.graders.base import Verdict
from evals.rollout import Rollout
from evals.task import Question
from harness.config import GRPO, RewardTerm, read_experiment
from harness.rewards import check_names, make_mix

GOOD = "<think>Two and two make four.</think>\n<answer>4</answer>"


def attempt(text: str, status: Any = "correct", tokens: int = 10) -> Rollout:
    completion = Completion(text, (1,) * tokens, (-1.0,) * tokens, "stop")
    return Rollout(Question("q-7", "2+2?", "4", {}), "2+2?", completion, Verdict(status), 100)


def test_a_gate_lets_a_reward_count_only_where_another_does() -> None:
    mix = make_mix({"accuracy": 1.0, "format": RewardTerm(weight=0.5, when="accuracy")})
    right, wrong, failed = mix.score([attempt(GOOD), attempt(GOOD, "wrong"), attempt(GOOD, "grader_error")])
    assert (right.total, wrong.total) == (1.5, 0.0)
    assert math.isnan(failed.total)
    assert wrong.parts["format"] == 1.0  # what is logged is the function's own value


def test_a_schedule_moves_a_weight_and_stays_at_its_end() -> None:
    mix = make_mix({"accuracy": 1.0, "format": RewardTerm(weight=1.0, final=0.0, steps=11)})
    totals = [mix.score([attempt(GOOD, "wrong")], step)[0].total for step in (1, 6, 11, 500)]
    assert totals == pytest.approx([1.0, 0.5, 0.0, 0.0])


def test_normalised_terms_are_trl_s_normalize_then_sum() -> None:
    """TRL: (r - mean) / (std + 1e-4) per function within the group, then the weighted sum."""
    group = [attempt(GOOD, tokens=20), attempt("4", tokens=60), attempt(GOOD, "wrong"), attempt("5", "wrong")]
    weights = {"accuracy": 1.0, "length": 3.0}
    plain = make_mix(dict.fromkeys(weights, 1.0)).score(group)
    columns = torch.tensor([[score.parts[name] for name in weights] for score in plain], dtype=torch.float64)
    scaled = (columns - columns.mean(0)) / (columns.std(0) + 1e-4)
    expected = (scaled * torch.tensor(list(weights.values()))).sum(1)
    mix = make_mix({name: RewardTerm(weight=weight, normalize=True) for name, weight in weights.items()})
    assert [score.total for score in mix.score(group)] == pytest.approx(expected.tolist(), abs=1e-12)


def test_what_could_not_be_scored_takes_no_part_in_the_normalisation() -> None:
    mix = make_mix({"accuracy": RewardTerm(weight=1.0, normalize=True)})
    lone, failed = mix.score([attempt(GOOD), attempt(GOOD, "grader_error")])
    assert lone.total == 0.0
    assert math.isnan(failed.total)


def test_a_function_of_one_s_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_rewards.py").write_text(
        "def brevity(attempt): return -attempt.tokens / 10\ndef nothing(attempt): return None\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    mix = make_mix({"accuracy": 1.0, "own_rewards:brevity": 0.5})
    assert mix.score([attempt(GOOD, tokens=4)])[0].total == pytest.approx(0.8)
    assert math.isnan(make_mix({"own_rewards:nothing": 1.0}).score([attempt(GOOD)])[0].total)


def test_a_function_of_one_s_own_that_fails_leaves_the_completion_out_and_says_so_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "failing_rewards.py").write_text(
        "def last(attempt): return int(attempt.text.split()[-1])\n"
        "def words(attempt): return 'many' if attempt.verdict.correct else 1\n"
        "def huge(attempt): return 10 ** 400 if attempt.verdict.correct else float('nan')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    bad, good = attempt("no number", "correct"), attempt("so 4", "wrong")
    mix = make_mix({"failing_rewards:last": 1.0})
    for _ in range(2):
        (first, second), (third,) = mix.score_step([[bad, good], [bad]])
        assert math.isnan(first.total)
        assert math.isnan(third.total)
        assert first.parts == {"failing_rewards:last": None}
        assert second.total == 4.0
    told = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert len(told) == 1
    assert "rewards.failing_rewards:last: ValueError: invalid literal" in told[0]
    assert "question q-7" in told[0]
    with pytest.raises(JobError, match=r"last: failed on all 2 completions of a step: ValueError: invalid"):
        mix.score_step([[bad], [bad]])
    assert mix.score_step([[good]])[0][0].total == 4.0  # each step is counted by itself
    words, huge = (make_mix({f"failing_rewards:{name}": 1.0}) for name in ("words", "huge"))
    assert [score.parts["failing_rewards:words"] for score in words.score_step([[bad, good]])[0]] == [
        None,
        1.0,
    ]
    with pytest.raises(JobError, match=r"huge: failed on all 2 completions of a step: (Overflow|no finite)"):
        huge.score_step([[bad, good]])


def test_own_settings_a_file_and_a_whole_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "mine.py").write_text(
        "from pydantic import BaseModel, Field\n"
        "from evals.base.registry import takes\n"
        "from harness.rewards import whole_group\n"
        "class Words(BaseModel):\n"
        "    words: int = Field(10, ge=1)\n"
        "@takes(Words)\n"
        "def short(attempt, settings):\n"
        "    return float(len(attempt.text.split()) <= settings.words)\n"
        "@whole_group\n"
        "def shortest(group):\n"
        "    least = min(attempt.tokens for attempt in group)\n"
        "    return [float(attempt.tokens == least) for attempt in group]\n"
        "@whole_group\n"
        "def lost(group): return [1.0]\n"
    )
    monkeypatch.chdir(tmp_path)
    stage = GRPO(
        rewards={
            "mine.py:short": {"weight": 0.5, "settings": {"words": 2}},  # type: ignore[dict-item]
            "brief": {"weight": 1.0, "function": "mine.py:shortest"},  # type: ignore[dict-item]
            "accuracy": 0.0,
        }
    )
    assert GRPO.model_validate(stage.model_dump()) == stage
    monkeypatch.chdir("/")  # the files go by absolute paths from here on
    check_names(stage.rewards)
    scores = make_mix(stage.rewards).score([attempt("one two", tokens=9), attempt("one two three", tokens=4)])
    assert [score.total for score in scores] == [0.5, 1.0]
    assert scores[0].parts == {"mine.py:short": 1.0, "brief": 0.0, "accuracy": 1.0}
    lost = make_mix({"lost": RewardTerm(weight=1.0, function=f"{tmp_path}/mine.py:lost")})
    with pytest.raises(JobError, match=r"lost: failed on all 2 .* ValueError: 1 values for 2 completions"):
        lost.score_step([[attempt("a"), attempt("b")]])
    for settings, said in [
        ({"word": 2}, "rewards.short.settings: unknown key 'word'; did you mean 'words'"),
        ({"words": 0}, "rewards.short.settings.words: Input should be greater"),
    ]:
        own = RewardTerm(weight=1.0, function=f"{tmp_path}/mine.py:short", settings=settings)
        with pytest.raises(UsageError, match=said):
            check_names({"short": own})


def reward_model(folder: Path, outputs: int) -> str:
    words = {word: place for place, word in enumerate(["[PAD]", "[UNK]", "2+2?", "4", "5"])}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", model_max_length=64
    ).save_pretrained(folder)
    torch.manual_seed(0)
    shape = LlamaConfig(
        vocab_size=5,
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        num_labels=outputs,
        pad_token_id=0,
    )
    LlamaForSequenceClassification(shape).save_pretrained(folder)
    return str(folder)


def test_a_reward_model_scores_prompt_and_response(tmp_path: Path) -> None:
    name = reward_model(tmp_path, outputs=1)
    mix = make_mix({"reward_model": RewardTerm(weight=2.0, model=name)})
    together = mix.score([attempt(" 4"), attempt(" 5 5 5")])
    alone = [mix.score([attempt(text)])[0].total for text in (" 4", " 5 5 5")]
    assert [score.total for score in together] == pytest.approx(alone, abs=1e-5)
    assert alone[0] != pytest.approx(alone[1], abs=1e-3)


def test_a_classifier_of_many_classes_is_no_reward_model(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has 3 outputs, but a reward model has 1"):
        make_mix({"reward_model": RewardTerm(weight=1.0, model=reward_model(tmp_path, outputs=3))})


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"no_module:f": 1.0}, "No module named 'no_module'"),
        (
            {"math:no_function": 1.0},
            "rewards.math:no_function: .*: math has no 'no_function'",
        ),
        ({":f": 1.0}, "must be .file.py:name. or .module:name."),
        (
            {"format": RewardTerm(weight=1.0, when="accuracy")},
            "'accuracy' is not in the mix",
        ),
        ({"reward_model": 1.0}, "rewards.reward_model.model"),
        ({"format": RewardTerm(weight=1.0, model="x")}, "rewards.format.model"),
    ],
)
def test_a_mix_that_cannot_work_is_refused(weights: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        check_names(weights)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ('"much"', "grpo.rewards.format: Input should be a valid number"),
        ('{ weight = "much" }', "grpo.rewards.format.weight: Input should be a valid number"),
        ("{ when = 'accuracy' }", "grpo.rewards.format.weight: Field required"),
        ("{ weight = 1, wen = 'accuracy' }", "unknown key grpo.rewards.format.wen"),
    ],
)
def test_a_bad_entry_is_named(entry: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_text(
        'name = "x"\n[policy]\nmodel = "tiny"\n[data]\ntrain = "gsm8k:train"\n[[stages]]\nkind = "grpo"\n'
        f"[stages.rewards]\naccuracy = 1\nformat = {entry}\n"
    )
    with pytest.raises(UsageError, match=message):
        read_experiment([path])
