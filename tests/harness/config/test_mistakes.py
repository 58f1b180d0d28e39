"""Every mistake of an experiment is told at once, each with its line and the nearest name."""

from __future__ import annotations

from pathlib import Path

import pytest

from evals.base.errors import UsageError
from harness.config import read_experiment
from harness.config.mistakes import line_of

GOOD = """\
name = "one"
seed = 0

[policy]
model = "tiny"

[data]
train = "gsm8k:train"

[[stages]]
kind = "grpo"
group_size = 8

[stages.rewards]
accuracy = 1.0
"""


def told(tmp_path: Path, text: str, *overrides: str) -> list[str]:
    """What is said about a file, a line each, without the folder's name."""
    file = tmp_path / "x.toml"
    file.write_text(text)
    with pytest.raises(UsageError) as caught:
        read_experiment([file], overrides)
    return str(caught.value).replace(f"{tmp_path}/", "").splitlines()


def test_all_mistakes_of_a_file_are_told_at_once_with_their_lines(tmp_path: Path) -> None:
    text = GOOD.replace("seed = 0", "sed = 0").replace("model", "modle").replace("= 8", "= 1")
    said = told(tmp_path, text)
    assert len(said) == 4
    assert said[0] == "x.toml, line 4: policy.model: Field required"
    assert said[1].startswith(
        "x.toml, line 5: unknown key policy.modle; did you mean 'model'? accepted: model,"
    )
    assert said[2].startswith(
        "x.toml, line 12: grpo.group_size: Input should be greater than or equal to 2, got 1"
    )
    assert said[3].startswith("x.toml, line 2: unknown key sed; did you mean 'seed'? accepted: name, seed")


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        (
            "accuracy = 1.0",
            'accuracy = "much"',
            "x.toml, line 15: grpo.rewards.accuracy: Input should be a valid",
        ),
        (
            "group_size = 8",
            "group_size = 7",
            "x.toml, line 10: grpo: completions_per_step (256) must be a mult",
        ),
        ('"grpo"', '"grop"', "evaluate; did you mean 'grpo'?"),
        (
            '"gsm8k:train"',
            "[\n  'a:b',\n  3,\n]",
            "x.toml, line 8: data.train.1: Input should be a valid string",
        ),
        (
            "[data]",
            '[eval]\nsamples = "x"\n[data]',
            "x.toml, line 8: eval.samples: Input should be a valid integ",
        ),
        ("[data]", "[sweep]\nsampler = 'tep'\n[data]", "'grid', got 'tep'; did you mean 'tpe'?"),
        (
            "[data]",
            "[sweep]\nobjective = [1]\n[data]",
            "x.toml, line 8: sweep.objective.0: Input should be a va",
        ),
    ],
)
def test_one_mistake_is_one_sentence(tmp_path: Path, old: str, new: str, sentence: str) -> None:
    said = told(tmp_path, GOOD.replace(old, new))
    assert len(said) == 1
    assert sentence in said[0]


def test_a_value_that_could_have_several_types_fails_once(tmp_path: Path) -> None:
    said = told(tmp_path, GOOD + '[eval]\nsamples = "x"\n')
    assert said == [
        "x.toml, line 17: eval.samples: Input should be a valid integer, unable to parse string as an "
        "integer or a valid dictionary, got 'x'"
    ]


def test_an_override_is_named_in_place_of_a_line(tmp_path: Path) -> None:
    assert told(tmp_path, GOOD, "grpo.group_size=1", "polcy.model=a")[0].startswith(
        "unknown key 'polcy.model': it must start with one of grpo, name, seed"
    )
    said = told(tmp_path, GOOD, "grpo.group_size=1", "policy.dtyp=float32")
    assert said[0].startswith("-s policy.dtyp: unknown key policy.dtyp; did you mean 'dtype'?")
    assert said[1].startswith("-s grpo.group_size: grpo.group_size: Input should be greater")


@pytest.mark.parametrize(
    ("override", "meant"),
    [("grop.beta=1", "'grpo'"), ("polcy.model=a", "'policy'"), ("evals.samples=1", "'eval'")],
)
def test_the_nearest_table_or_stage_is_told(tmp_path: Path, override: str, meant: str) -> None:
    assert told(tmp_path, GOOD, override)[0].endswith(f"; did you mean {meant}?")


def test_the_line_is_that_of_the_file_that_set_the_value(tmp_path: Path) -> None:
    first, second = tmp_path / "first.toml", tmp_path / "second.toml"
    first.write_text(GOOD)
    second.write_text("# over it\n[policy]\ndtype = 'float8'\n")
    with pytest.raises(UsageError, match=r"second\.toml, line 3: policy\.dtype: .* got 'float8'"):
        read_experiment([first, second])
    first.write_text(GOOD.replace("seed = 0", "seed = -1"))
    second.write_text("[tracking]\nwandb = 'off'\n")
    with pytest.raises(UsageError, match=r"first\.toml, line 2: seed: "):
        read_experiment([first, second])


def test_a_byte_order_mark_is_not_a_mistake(tmp_path: Path) -> None:
    file = tmp_path / "x.toml"
    file.write_text(GOOD, encoding="utf-8-sig")
    assert read_experiment([file]).name == "one"


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("a",), 1),
        (("text",), 2),
        (("list", 1), 6),
        (("t",), 11),
        (("t", "x y"), 12),
        (("t", "dotted", "key"), 13),
        (("rows",), 15),
        (("rows", 0, "k"), 16),
        (("rows", 1), 17),
        (("rows", 1, "k"), 18),
        (("rows", 2), None),
        (("text", 0), None),
        ((), None),
    ],
)
def test_lines_of_a_toml_text(path: tuple[int | str, ...], line: int | None) -> None:
    text = (
        'a = 1\ntext = """\n[no]\ntable = 1"""\n# list = 0\nlist = [\n  1,\n  2,\n]\n\n'
        '[t]\n"x y" = 2\ndotted.key = 3\n'
        "\n[[rows]]\nk = 1\n[[rows]]\nk = 2\n"
    )
    assert line_of(text, path) == line
