"""The tiny policy: a normal Hugging Face folder, cached by what shapes it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from harness.models.tiny import build
from harness.models.tiny.pretrain import Recipe
from harness.models.tiny.tokenizer import END, TAGS

SHORT = replace(Recipe(), skill_steps=4, habit_steps=2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HARNESS_CACHE", str(tmp_path_factory.mktemp("cache")))
        return build.tiny_folder(SHORT)


def test_the_folder_loads_like_any_other(folder: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(folder)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    assert 0.5e6 < parameters < 1.5e6
    assert len(AutoTokenizer.from_pretrained(folder)) <= model.config.vocab_size


@pytest.mark.parametrize(
    "text", ["Let $x$ be é 漢字\n\n a real", "12+34=46", "<think>so</think><answer>4</answer>", " \t a"]
)
def test_any_text_survives_the_tokenizer(folder: Path, text: str) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert tokenizer.decode(tokenizer(text).input_ids, skip_special_tokens=True) == text


def test_tags_are_one_token_and_digits_one_each(folder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert all(len(tokenizer(tag).input_ids) == 1 for tag in TAGS)
    assert len(tokenizer("123+456").input_ids) == 7
    assert tokenizer.eos_token == END


def test_the_embedded_policies_share_a_tokenizer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A teacher of on-policy distillation scores the tokens of another policy."""
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path))
    folders = {name: build.config_folder(recipe) for name, recipe in build.SIZES.items()}
    words = {name: AutoTokenizer.from_pretrained(each).get_vocab() for name, each in folders.items()}
    assert words["tiny"] == words["tiny-small"] == words["tiny-teacher"]


def test_the_second_call_finds_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_CACHE", str(folder.parent))
    monkeypatch.setattr(build.pretrain, "pretrain", lambda *_: pytest.fail("trained again"))
    assert build.tiny_folder(SHORT) == folder


def test_configuration_and_tokenizer_are_there_without_pretraining(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build.pretrain, "pretrain", lambda *_: pytest.fail("trained for them"))
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path))
    made = build.config_folder(SHORT)
    for name in ("tokenizer.json", "config.json"):
        one, other = (json.loads((each / name).read_text()) for each in (made, folder))
        differing = {key for key in one.keys() | other.keys() if one.get(key) != other.get(key)}
        assert differing <= {"architectures", "dtype"}  # what a model writes beside its configuration
    monkeypatch.setenv("HARNESS_CACHE", str(folder.parent))
    assert build.config_folder(SHORT) == folder


def test_the_same_recipe_gives_the_same_weights(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path))
    again = build.tiny_folder(SHORT)
    assert again != folder
    first, second = (AutoModelForCausalLM.from_pretrained(path).state_dict() for path in (folder, again))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_another_recipe_is_another_folder() -> None:
    assert build.recipe_hash(SHORT) != build.recipe_hash(replace(SHORT, seed=1))
    careful = replace(SHORT, mixture=replace(SHORT.mixture, sloppy=0.1))
    assert build.recipe_hash(SHORT) != build.recipe_hash(careful)


def test_a_comment_in_the_code_keeps_the_folder_and_a_new_version_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The package is copied, a docstring of what shapes the corpus is edited, and the copy is asked."""
    root = Path(build.__file__).parents[3]
    for name in ("evals", "harness"):
        shutil.copytree(root / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    edited = tmp_path / "harness" / "models" / "tiny" / "traces.py"
    edited.write_text("# A comment.\n" + edited.read_text(encoding="utf-8"), encoding="utf-8")
    code = "from harness.models.tiny import build, pretrain; print(build.recipe_hash(pretrain.Recipe()))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    now = build.recipe_hash(build.pretrain.Recipe())
    assert done.stdout.strip() == now
    monkeypatch.setattr(build, "VERSION", build.VERSION + 1)
    assert build.recipe_hash(build.pretrain.Recipe()) != now


def test_a_build_that_breaks_off_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path))

    def interrupt(step: int, _steps: int, _loss: float) -> None:
        if step == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build.tiny_folder(SHORT, interrupt)
    assert [path for path in tmp_path.iterdir() if path.is_dir()] == []
