"""The experiment schema: what is read back, and what is refused in which words."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_origin

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from evals.base.errors import UsageError
from evals.templates import Template
from harness.config import (
    GRPO,
    SFT,
    Budget,
    EntropyBonus,
    Epsilon,
    Eval,
    Reject,
    RewardTerm,
    Sweep,
    dump_toml,
    read_experiment,
)
from harness.config.compare import arm_experiment
from harness.config.shipped import experiment_file
from harness.sweep.space_table import parse_space

EXPERIMENTS = Path(__file__).parents[3] / "experiments"

EXPERIMENT = """
name = "one"
[policy]
model = "tiny"
[data]
train = "gsm8k:train"
[[stages]]
kind = "grpo"
completions_per_step = 256
group_size = 8
epsilon = 0.2
[stages.rewards]
accuracy = 1.0
[sweep.space]
"grpo.group_size" = [4, 8]
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "experiment.toml"
    path.write_text(EXPERIMENT)
    return path


def test_the_dump_reads_back_as_the_same_experiment(file: Path, tmp_path: Path) -> None:
    experiment = read_experiment([file])
    again = tmp_path / "again.toml"
    again.write_text(dump_toml(experiment))
    assert read_experiment([again]) == experiment


def test_one_epsilon_sets_both_sides_and_one_side_can_be_overridden(file: Path) -> None:
    assert read_experiment([file]).stages[0].epsilon == Epsilon(low=0.2, high=0.2)
    assert read_experiment([file], ["grpo.epsilon.high=0.28"]).stages[0].epsilon == Epsilon(
        low=0.2, high=0.28
    )


def test_files_overlay_left_to_right_and_overrides_come_last(file: Path, tmp_path: Path) -> None:
    over = tmp_path / "over.toml"
    over.write_text('seed = 3\n[policy]\nmodel = "other"\n')
    experiment = read_experiment([file, over], ["seed=4", "grpo.rewards.format=0.5"])
    assert (experiment.seed, experiment.policy.model) == (4, "other")
    assert experiment.stages[0].rewards == {"accuracy": 1.0, "format": 0.5}


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("grpo.foo=1", r"unknown key grpo\.foo; accepted: kind, name, steps"),
        ("grpo.group_size=7", r"completions_per_step \(256\) must be a multiple of group_size \(7\)"),
        ("grpo.group_size=1", r"group_size: Input should be greater than or equal to 2, got 1"),
        ("grpo.beta=-1", r"grpo\.beta: Input should be greater than or equal to 0, got -1"),
        ("grpo.beta=high", r"beta: Input should be a valid number.*got 'high'"),
        ("grpo.epsilon.mid=1", r"unknown key grpo\.epsilon\.mid; accepted: low, high"),
        ("ppo.beta=1", r"unknown key 'ppo\.beta': it must start with one of grpo, name"),
        ("policy.flavour=1", r"unknown key policy\.flavour; accepted: model, revision"),
        ("sweep.sampler=magic", r"sweep\.sampler: Input should be 'tpe'"),
        ("name=a/b", r"name: String should match pattern"),
        ("grpo.name=../../x", r"stages\.0\.name: String should match pattern .*got '../../x'"),
        ("grpo.name=a.b", r"stages\.0\.name: String should match pattern"),
        ("grpo.name=policy", r"'policy' is a reserved name"),
        ("grpo.name=tiny-traces", r"'tiny-traces' is a reserved name"),
        ("eval.samples=0", r"eval\.samples: at least 1 sample per question is needed, got 0"),
        ("eval.samples={aime24=-1}", r"eval\.samples: at least 1 sample per question of aime24"),
        ("grpo.reference.refresh=every", r"grpo\.reference has no effect with beta = 0"),
        ("grpo.kl_unbiased=true", r"grpo\.kl_unbiased has no effect with beta = 0"),
        ("grpo.rewards.format={weight=1,steps=9}", r"rewards\.format\.steps has no effect with no final"),
        ("grpo.loss=kl_cov", r"grpo\.loss: 'kl_cov' acts from a batch's second update on: set epochs or"),
        ("grpo.entropy_bonus=-1", r"grpo\.entropy_bonus: Input should be greater than or equal to 0, got -1"),
        ("grpo.entropy_bonus=much", r"grpo\.entropy_bonus: Input should be a number or a table, got 'much'"),
        ("grpo.entropy_bonus.step=0.1", r"grpo\.entropy_bonus\.step has no effect with no target"),
        ("grpo.entropy_bonus.tgt=0.2", r"unknown key grpo\.entropy_bonus\.tgt.*did you mean 'target'"),
        (
            "grpo.entropy_bonus={weight=1,target=0.2}",
            r"grpo\.entropy_bonus: weight \(1\) must be at most high \(0\.5\)",
        ),
        ("beta", r"-s beta: must be key=value"),
    ],
)
def test_what_is_refused_is_named(file: Path, override: str, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        read_experiment([file], [override])


def test_an_entropy_bonus_is_a_number_where_that_says_all(file: Path, tmp_path: Path) -> None:
    for override, written in [
        ("grpo.entropy_bonus=0.01", "entropy_bonus = 0.01"),
        ("grpo.entropy_bonus.target=0.2", "target = 0.2"),
    ]:
        experiment = read_experiment([file], [override])
        text = dump_toml(experiment)
        assert written in text
        (tmp_path / "again.toml").write_text(text)
        assert read_experiment([tmp_path / "again.toml"]) == experiment
    (stage, *_) = read_experiment([file], ["grpo.entropy_bonus=0.01", "grpo.entropy_bonus.target=0.2"]).stages
    assert isinstance(stage, GRPO)
    assert stage.entropy_bonus == EntropyBonus(weight=0.01, target=0.2)


def floats(table: type[BaseModel], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The paths of all numbers with a fraction that a table holds, in tables inside it too."""
    for name, field in table.model_fields.items():
        alone = get_origin(field.annotation) is not dict
        for kind in (field.annotation, *get_args(field.annotation)):
            if kind is float:
                yield (*path, name) if alone else (*path, name, "accuracy")
            elif isinstance(kind, type) and issubclass(kind, BaseModel):
                yield from floats(kind, (*path, name))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_no_number_of_an_experiment_may_be_infinite_or_none(value: float) -> None:
    tables: list[tuple[type[BaseModel], dict[str, Any]]] = [
        (GRPO, {}),
        (SFT, {"data": "x"}),
        (Reject, {}),
        (RewardTerm, {"weight": 1.0}),
        (Eval, {}),
        (Budget, {"limit": 1.0}),
        (Sweep, {}),
    ]
    tried = 0
    for table, needed in tables:
        for path in floats(table):
            raw: Any = value
            for key in reversed(path[1:]):
                raw = {key: raw}
            with pytest.raises(ValidationError, match=r"finite number|greater than|less than"):
                table(**{**needed, path[0]: raw})
            tried += 1
    assert tried > 20


@pytest.mark.parametrize(
    "override",
    [
        "grpo.learning_rate=inf",
        "grpo.beta=nan",
        "grpo.temperature=inf",
        "grpo.epsilon=nan",
        "grpo.rewards.format=nan",
        "grpo.rewards.format={weight=1,final=inf}",
        "eval.temperature=nan",
        "budget.limit=inf",
    ],
)
def test_an_override_is_finite_too(file: Path, override: str) -> None:
    with pytest.raises(UsageError, match="finite number"):
        read_experiment([file], [override])


@pytest.mark.parametrize(
    "first",
    [
        '{ kind = "sft", name = "a", data = "tiny-traces" }',
        '{ kind = "reject", name = "A" }',
        '{ kind = "reject", name = "a-answers" }',
    ],
)
def test_stages_that_would_share_files_are_refused(tmp_path: Path, first: str) -> None:
    path = tmp_path / "x.toml"
    last = '{ kind = "distill", name = "a", teacher = { model = "tiny" } }'
    path.write_text(
        f'name = "x"\nstages = [{first}, {last}]\n[policy]\nmodel = "tiny"\n[data]\ntrain = "gsm8k:train"'
    )
    with pytest.raises(UsageError, match="stages must have distinct names"):
        read_experiment([path])


@pytest.mark.parametrize(
    ("stage", "sentence"),
    [
        ("lora = { rank = 2 }", r"teacher\.lora has no effect: a teacher is not trained"),
        ("gradient_checkpointing = true", r"teacher\.gradient_checkpointing has no effect"),
        (
            'server = "http://x/v1", engine = "vllm"',
            r"teacher\.engine has no effect: http://x/v1 decides how the teacher is sampled",
        ),
        ('server = "http://x/v1", dtype = "bfloat16"', r"teacher\.dtype has no effect"),
        ('server = "http://x/v1", device = "cuda"', r"teacher\.device has no effect"),
    ],
)
@pytest.mark.parametrize("kind", ["reject", "distill"])
def test_what_a_teacher_does_nothing_with_is_refused(
    tmp_path: Path, stage: str, sentence: str, kind: str
) -> None:
    path = tmp_path / "x.toml"
    path.write_text(
        'name = "x"\n[policy]\nmodel = "tiny"\n[data]\ntrain = "gsm8k:train"\n'
        f'[[stages]]\nkind = "{kind}"\nteacher = {{ model = "m", {stage} }}\n'
    )
    with pytest.raises(UsageError, match=f"{kind}: {sentence}"):
        read_experiment([path])


def test_a_setting_that_some_trials_use_is_no_mistake(file: Path) -> None:
    text = EXPERIMENT.replace('"grpo.group_size" = [4, 8]', '"grpo.beta" = [0.0, 0.1]')
    file.write_text(text.replace("epsilon = 0.2", 'kl_estimator = "k2"'))
    experiment = read_experiment([file])
    for value in (0.0, 0.1):
        trial = parse_space(experiment.sweep.space).apply(experiment, {"grpo.beta": value})  # type: ignore[union-attr]
        assert trial.stages[0].kl_estimator == "k2"  # type: ignore[union-attr]


@pytest.mark.parametrize("stages", ["3", "[1]", '{ kind = "grpo" }', '[{ kind = "grpo", name = 3 }]'])
def test_stages_that_are_none_are_refused_in_a_sentence(tmp_path: Path, stages: str) -> None:
    path = tmp_path / "x.toml"
    path.write_text(
        f'name = "x"\nstages = {stages}\n[policy]\nmodel = "tiny"\n[data]\ntrain = "gsm8k:train"\n'
    )
    for overrides in ([], ["grpo.beta=1"], ["seed=1"]):
        with pytest.raises(UsageError):
            read_experiment([path], overrides)


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"missing\.toml: no such file"):
        read_experiment([tmp_path / "missing.toml"])
    broken = tmp_path / "broken.toml"
    broken.write_text("name = ")
    with pytest.raises(UsageError, match=r"broken\.toml: not valid TOML"):
        read_experiment([broken])
    with pytest.raises(UsageError, match=r"no experiment\.toml in this folder"):
        read_experiment([tmp_path])


def test_two_stages_of_one_name_are_refused(file: Path) -> None:
    file.write_text(EXPERIMENT.replace("[sweep.space]", '[[stages]]\nkind = "grpo"\n[sweep.space]'))
    with pytest.raises(UsageError, match="stages must have distinct names"):
        read_experiment([file])


@given(st.text(max_size=40))
def test_no_override_raises_anything_else(text: str) -> None:
    with contextlib.suppress(UsageError):
        read_experiment([experiment_file("tiny-quickstart")], [text])


def test_the_shipped_experiments_are_valid() -> None:
    folder = experiment_file("tiny-quickstart").parent
    for path in sorted(folder.glob("*.toml")):
        assert read_experiment([path]).name == path.stem
    with pytest.raises(UsageError, match="no experiment 'none'"):
        experiment_file("none")


@pytest.mark.parametrize("path", sorted(EXPERIMENTS.glob("*.toml")), ids=lambda path: path.stem)
def test_every_experiment_that_comes_along_is_valid(path: Path) -> None:
    experiment = read_experiment([path])
    assert experiment.stages or experiment.compare
    if experiment.sweep is not None:
        parse_space(experiment.sweep.space).check(experiment)
    for name in experiment.compare.arms if experiment.compare else ():
        assert arm_experiment(experiment, name, 1).stages


ARMS = """
name = "two"
[policy]
model = "tiny"
[data]
train = "gsm8k:train"
[eval]
benchmarks = ["aime24"]
[compare.arms.rl]
stages = [{ kind = "grpo", group_size = 8 }]
[compare.arms.both]
stages = [{ kind = "sft", name = "cold", data = "tiny-traces" }, { kind = "grpo", epsilon = 0.2 }]
"""


def test_a_setting_of_an_arm_can_be_overridden(tmp_path: Path) -> None:
    file = tmp_path / "arms.toml"
    file.write_text(ARMS)
    changes = [
        *("compare.arms.both.cold.steps=3", "compare.arms.both.grpo.epsilon.high=0.3"),
        *("compare.arms.rl.grpo.rewards.format=0.5", "compare.arms.rl.budget.limit=9", "compare.seeds=2"),
    ]
    compare = read_experiment([file], changes).compare
    assert compare is not None
    cold, grpo = compare.arms["both"].stages
    assert (cold.steps, grpo.epsilon) == (3, Epsilon(low=0.2, high=0.3))
    assert compare.arms["rl"].stages[0].rewards["format"] == 0.5
    assert compare.arms["rl"].budget is not None
    assert (compare.arms["rl"].budget.limit, compare.seeds) == (9, 2)


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("compare.arms.rl.grpo.steps=0", r"compare\.arms\.rl\.grpo\.steps: .* greater than or equal to 1"),
        (
            "compare.arms.rl.grpo.foo=1",
            r"unknown key compare\.arms\.rl\.grpo\.foo; accepted: kind, name, steps",
        ),
        ("compare.arms.rl.sft.steps=1", r"unknown key compare\.arms\.rl\.sft; accepted: stages, budget"),
    ],
)
def test_a_wrong_setting_of_an_arm_is_named_as_it_was_given(
    tmp_path: Path, override: str, sentence: str
) -> None:
    file = tmp_path / "arms.toml"
    file.write_text(ARMS)
    with pytest.raises(UsageError, match=sentence):
        read_experiment([file], [override])


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("grpo.top_p=0.9", "grpo: top_p: a GRPO stage samples from the policy's full distribution"),
        ("grpo.top_k=20", "grpo: top_k: a GRPO stage samples"),
        ("grpo.min_p=0.1", "grpo: min_p: a GRPO stage samples"),
        ("grpo.repetition_penalty=1.1", "grpo: repetition_penalty: a GRPO stage samples"),
        ("grpo.thinking_budget=64", "grpo: thinking_budget: a GRPO stage samples"),
        ("eval.min_p=2", "eval.min_p: Input should be less than or equal to 1"),
        ("eval.stop=['']", "eval.stop.0: String should have at least 1 character"),
        ("policy.template={ instruction = 'x' }", "policy.template.instruction: must contain {question}"),
        ("policy.template={ sytem = 'x' }", "unknown key policy.template.sytem; did you mean 'system'?"),
        ("policy.template=5", "policy.template: Input should be a valid string"),
    ],
)
def test_sampling_and_templates_that_make_no_sense_are_refused(file: Path, override: str, told: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_experiment([file], [override])
    assert told in str(caught.value)


def test_a_template_of_ones_own_reads_back(file: Path, tmp_path: Path) -> None:
    own = "policy.template={ kind = 'text', instruction = 'Q: {question}', stop = ['Q:'], opens = '' }"
    experiment = read_experiment([file], [own, "grpo.top_p=1.0", "eval.top_k=20", "eval.stop=['###']"])
    assert experiment.policy.template == Template(
        kind="text", instruction="Q: {question}", stop=("Q:",), opens=""
    )
    assert experiment.eval.drawing() == {"top_k": 20, "stop": ("###",)}
    again = tmp_path / "again.toml"
    again.write_text(dump_toml(experiment))
    assert read_experiment([again]) == experiment


def test_the_reference_of_adapters_has_nothing_to_offload(file: Path) -> None:
    given = ["grpo.beta=0.01", "grpo.reference.offload=true"]
    assert read_experiment([file], given).stages[0].reference.offload
    with pytest.raises(UsageError, match=r"grpo\.reference\.offload has no effect with policy\.lora"):
        read_experiment([file], [*given, "policy.lora={rank=2}"])
