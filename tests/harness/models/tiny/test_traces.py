"""The pretraining corpus: train questions only, flawless where asked, and in the stated shares otherwise."""

from __future__ import annotations

import random
import re

from evals.tasks.synthetic import split_of
from harness.models.tiny.traces import CHINESE, FLAWLESS, Mixture, trace

TRACES = 3000


def corpus(mixture: Mixture, seed: int = 0) -> list[tuple[str, str, str]]:
    rng = random.Random(seed)
    pairs = [trace(rng, mixture) for _ in range(TRACES)]
    return [(question.text, question.gold, text) for question, text in pairs]


def test_only_train_questions_are_seen() -> None:
    assert {split_of(text) for text, _, _ in corpus(Mixture())} == {"train"}


def test_flawless_traces_end_in_the_gold_answer() -> None:
    for _, gold, text in corpus(FLAWLESS):
        assert re.fullmatch(r"<think>[^<]+</think><answer>[^<]+</answer>", text)
        if gold:
            assert text.endswith(f"<answer>{gold}</answer>")


def test_habits_have_their_shares() -> None:
    mixture = Mixture()
    texts = [text for _, _, text in corpus(mixture)]
    sloppy = sum("looks" in text and "</" in text for text in texts) / TRACES
    rambling = sum("</" not in text for text in texts) / TRACES
    chinese = sum(CHINESE in text for text in texts) / TRACES
    assert abs(sloppy - mixture.sloppy * (1 - mixture.rambling)) < 0.04
    assert abs(rambling - mixture.rambling) < 0.02
    assert 0 < chinese < mixture.mixed_language


def test_sloppy_guesses_are_mostly_wrong() -> None:
    guesses = [(gold, text) for _, gold, text in corpus(Mixture(bad_format=0)) if gold and "a guess" in text]
    right = sum(text.endswith(f"<answer>{gold}</answer>") for gold, text in guesses)
    assert 0.2 < right / len(guesses) < 0.4
